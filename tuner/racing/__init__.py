"""Races: candidates measured in interleaved blocks, compared by paired statistics."""
