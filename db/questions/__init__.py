"""What is asked of a store: trials in a table, any SELECT, names for completion."""
