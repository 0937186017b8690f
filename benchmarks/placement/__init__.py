"""Placements: beside the best possible ones, on recorded cuts, and as they run."""
