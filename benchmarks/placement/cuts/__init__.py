"""Cuts of models into parts: recorded on a machine, and replayed without it."""
