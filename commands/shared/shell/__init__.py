"""The command in a shell: its help, completion and exit codes, and what is said to wrong usage."""
