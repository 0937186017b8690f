"""Nights: whether regressions are found, and nothing else."""
