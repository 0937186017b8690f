"""How the command ends, for the shell."""

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
