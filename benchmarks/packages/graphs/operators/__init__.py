"""Operators that a random graph may grow by."""
