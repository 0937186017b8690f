"""Engines as their own documentation says to use them, and races of them in one run."""
