"""Priors: what is expected of candidates before any of them was tried, each by other knowledge."""
