"""What a race decided about one entrant, found again by the race's own rules from its blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from db.records import Block, BlockSample
from farm.measurement import Estimate
from tuner.racing.race import Drop, Finish, Race, RaceRules
from tuner.search.rules import COHORT_RULES, COUNTED_RULES, EARLIER_RULES, FINAL_RULES

Score = Callable[[BlockSample], float]
"""The objective in one block, less is better."""

_RULES = (COHORT_RULES, FINAL_RULES, EARLIER_RULES)


@dataclass(frozen=True, slots=True)
class Appearance:
    """One entrant in one race.

    rivals: how many others raced. blocks: kept ones in which it ran. leader: who led in the end;
    "" where the rules of the race are not known any more. drop: None where it was not dropped.
    ratio: over the leader in the end, None for the leader itself. finish: None where the budget
    ended the race, or the entrant failed.
    """

    race: int
    rivals: int
    blocks: int
    leader: str
    drop: Drop | None
    ratio: Estimate | None
    finish: Finish | None


def appearance(
    blocks: Sequence[Block],
    entrant: str,
    protected: str,
    score: Score,
    *,
    counted: bool = False,
    net: bool = False,
) -> Appearance:
    """What became of an entrant.

    blocks: all of one race, in order. entrant, protected: ids of trials; the second one, the
    baseline, is never dropped. counted: whether all who raced are counted, not timed.
    net: whether the objective is a net energy, see ``Race``.
    """
    ids = [sample.trial_id for sample in blocks[0].samples]
    ran = sum(block.kept and any(s.trial_id == entrant for s in block.samples) for block in blocks)
    rules = (COUNTED_RULES, *_RULES) if counted else _RULES
    known = (_replayed(blocks, protected, each, score, net=net) for each in rules)
    race = next((race for race in known if race is not None), None)
    number, rivals = blocks[0].race, len(ids) - 1
    if race is None or race.leader is None:
        return Appearance(number, rivals, ran, "", None, None, None)
    drop = next((drop for drop in race.drops if drop.entrant == entrant), None)
    standing = next((s for s in race.standings() if s.entrant == entrant), None)
    ratio = standing.ratio if standing and race.leader != entrant else None
    return Appearance(number, rivals, ran, race.leader, drop, ratio, race.finished)


def _replayed(
    blocks: Sequence[Block], protected: str, rules: RaceRules, score: Score, *, net: bool
) -> Race | None:
    """The race as it was run; None where it was run by other rules than these."""
    entrants = sorted(sample.trial_id for sample in blocks[0].samples)
    race = Race(entrants, rules, frozenset({protected}.intersection(entrants)), net=net)
    for block in blocks:
        samples = {sample.trial_id: sample for sample in block.samples}
        missing = [entrant for entrant in race.live if entrant not in samples]
        is_other = missing or race.finished or set(samples) - set(race.live)
        if block.kept and is_other:
            return None
        for entrant in missing:  # it failed in this block
            race.withdraw(entrant)
        if block.kept:
            race.record({entrant: score(samples[entrant]) for entrant in race.live})
    return race
