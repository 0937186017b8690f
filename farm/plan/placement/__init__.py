"""Where each operator runs: a problem of operators, places and links, and its solution."""
