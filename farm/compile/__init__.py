"""Compile passes: from the user's graph and a candidate to the artifact an engine loads."""
