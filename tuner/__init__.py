"""Deciding: candidate spaces, proposals, races, statistics, and the tuning loop."""
