"""Which candidates are tried next: a pool, what is expected of it, and who may choose from it."""
