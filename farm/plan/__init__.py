"""Planners: each is a pure function from a problem to a solution, with a validator of its own."""
