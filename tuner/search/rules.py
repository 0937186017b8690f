"""The rules by which a search races."""

from __future__ import annotations

from tuner.racing.race import RaceRules

COHORT_RULES = RaceRules(max_blocks=15, hopeless_ratio=1.3)
"""Who is 30 % behind in each of the first blocks leaves the rest of them to the others.

Successive halving, but for that nobody who keeps up has to leave. By replays of recorded tables
(``benchmarks/search/replay_search.py``) it loses nothing, and its races take fewer runs.
"""
EARLIER_RULES = RaceRules(max_blocks=15)
"""By which older farms raced their cohorts."""
FINAL_RULES = RaceRules(max_blocks=48)
# Counts are the same in every block: the second one only shows that they are.
COUNTED_RULES = RaceRules(max_blocks=2)
TOO_SLOW = 2.5
"""A quick objective so many times the best's is not worth a race."""
