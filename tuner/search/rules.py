"""The rules by which a search races."""

from __future__ import annotations

from tuner.racing.race import RaceRules

COHORT_RULES = RaceRules(max_blocks=15)
FINAL_RULES = RaceRules(max_blocks=48)
# Counts are the same in every block: the second one only shows that they are.
COUNTED_RULES = RaceRules(max_blocks=2)
TOO_SLOW = 2.5
"""A quick objective so many times the best's is not worth a race."""
