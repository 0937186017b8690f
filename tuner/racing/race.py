"""Successive elimination: measure many candidates in blocks, drop what is significantly slower.

A race is a state machine over complete blocks. It draws no random numbers and reads no clock, so
the same blocks always give the same race, live or replayed from a record.

Why it decides as it does:

- **Leader.** Every block is centred on the median of its live entrants first; without that, the
  drift of the machine between blocks would outweigh the differences. The leader has the lowest
  Hodges-Lehmann centre.
- **Level.** ``alpha`` is divided by the number of looks (Bonferroni). With n pairs the smallest
  one-sided p is 2^-n: 1/256 at 8 pairs, below 0.05 / 8 looks = 1/160, so the first look drops
  those that were slower in all 8 blocks. Earlier looks could drop nobody; they are not counted.
- **Selection.** The leader is the luckiest of many, so a test against it is too bold towards its
  equals. It is not corrected for the number of entrants: that would stop the first looks from
  deciding at all, and who is dropped wrongly is nearly as slow as the leader. Replays
  (``benchmarks/measuring/statistics_targets.py``) bound the harm.
- **Hopeless.** Twice as slow as the leader in every one of the first blocks is no accident and
  needs no test: such an entrant goes before the first look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite, log

import numpy as np

from farm.measurement import Estimate
from farm.units import Seconds
from tuner.racing.statistics import (
    FloatArray,
    hodges_lehmann,
    net_ratio,
    paired_interval,
    ratio_interval,
    signed_rank_p,
)


class Finish(StrEnum):
    """Why a race is over."""

    ONE_LEFT = "one-left"  # at most one unprotected entrant is live
    EQUIVALENT = "equivalent"  # the survivors are as fast as the leader
    BLOCK_LIMIT = "block-limit"


@dataclass(frozen=True, slots=True)
class RaceRules:
    """When a race drops an entrant and when it ends.

    alpha: probability of dropping an entrant that is as fast as the leader, over all looks.
    equivalence: relative difference in latency that does not matter, 0.01 = 1 %.
    first_look, max_blocks: blocks. A third more blocks lie between looks each time: 8, 11, 15...
    hopeless_ratio, hopeless_blocks: dropped after so many blocks when so much slower in each.
    """

    alpha: float = 0.05
    equivalence: float = 0.01
    first_look: int = 8
    max_blocks: int = 64
    hopeless_ratio: float = 2.0
    hopeless_blocks: int = 3

    def __post_init__(self) -> None:
        """Raise ValueError where no race could follow these rules."""
        if not 0 < self.alpha < 1 or self.equivalence <= 0 or self.hopeless_ratio <= 1:
            raise ValueError(
                "a race needs alpha between 0 and 1, equivalence above 0 and hopeless_ratio "
                f"above 1; got {self}"
            )
        if min(self.first_look, self.max_blocks, self.hopeless_blocks) < 1:
            raise ValueError(f"the blocks in the rules of a race are at least 1; got {self}")

    def looks(self) -> tuple[int, ...]:
        """After which blocks the race tests; only looks that can drop somebody."""
        looks = []
        look = self.first_look
        while look <= self.max_blocks:
            looks.append(look)
            look = -(-look * 4 // 3)
        while looks and 2.0 ** -looks[0] > self.alpha / len(looks):
            looks.pop(0)
        return tuple(looks)


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a race dropped an entrant.

    blocks: after how many. ratio: its latency over the leader's. p_value: one-sided, of the
    hypothesis that it is no slower; None where it was hopeless, which needs no test.
    """

    entrant: str
    leader: str
    blocks: int
    ratio: float
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a race knows about one entrant.

    ratio: its latency over the leader's, in the blocks that both ran; 1.25 = 25 % slower. With
    too few blocks for an interval, its limits are 0 and infinity.
    dropped_at: after how many blocks it left the race; None while it is live.
    """

    entrant: str
    median: Seconds
    ratio: Estimate
    dropped_at: int | None


class Race:
    """A race between entrants, fed block by block until ``finished``."""

    def __init__(
        self,
        entrants: Sequence[str],
        rules: RaceRules = RaceRules(),
        protect: frozenset[str] = frozenset(),
        *,
        net: bool = False,
    ) -> None:
        """Start a race. Entrants in ``protect`` are never dropped, nor waited for at the end.

        net: it is not of latencies, but of net energies, which may be 0 and below: they are
        compared by their differences in place of those of their logs.

        Raises ValueError when entrants are missing or named twice, or a protected one is none.
        """
        if not entrants or len(set(entrants)) != len(entrants):
            raise ValueError(f"a race needs entrants with different names; got {list(entrants)}")
        if not protect <= set(entrants):
            raise ValueError(f"protected but not in the race: {sorted(protect - set(entrants))}")
        self.rules = rules
        self._protect = protect
        self._looks = rules.looks()
        self._net = net
        self._values: dict[str, list[float]] = {entrant: [] for entrant in entrants}
        self._dropped_at: dict[str, int] = {}
        self._drops: list[Drop] = []
        self._blocks = 0
        self._equivalent = False

    @property
    def blocks(self) -> int:
        """Complete blocks recorded so far."""
        return self._blocks

    @property
    def live(self) -> tuple[str, ...]:
        """Who runs in the next block, in the order of entry."""
        return tuple(entrant for entrant in self._values if entrant not in self._dropped_at)

    @property
    def drops(self) -> tuple[Drop, ...]:
        """Who was dropped and why, in the order in which that happened."""
        return tuple(self._drops)

    @property
    def leader(self) -> str | None:
        """The fastest live entrant; before the first block the first one; None without any."""
        if self._blocks == 0:
            return next(iter(self.live), None)
        return min(self.live, key=self._centres().__getitem__, default=None)

    @property
    def finished(self) -> Finish | None:
        """Why the race is over, None while it goes on. Nothing is decided before a first look."""
        contenders = [entrant for entrant in self.live if entrant not in self._protect]
        alone = len(self.live) <= 1
        if alone or (len(contenders) <= 1 and self._blocks >= self.rules.first_look):
            return Finish.ONE_LEFT
        if self._equivalent:
            return Finish.EQUIVALENT
        return Finish.BLOCK_LIMIT if self._blocks >= self.rules.max_blocks else None

    def record(self, seconds: Mapping[str, float]) -> tuple[str, ...]:
        """Take the latencies of one complete block; returns who was dropped after it.

        Raises ValueError when the race is over, when not exactly the live entrants are given, or
        when a latency is not positive and finite, or a net energy not finite.
        """
        self._check_block(seconds)
        for entrant, latency in seconds.items():
            self._values[entrant].append(latency)
        self._blocks += 1
        drops = list(self._slower())
        self._drops += drops
        for drop in drops:
            self._dropped_at[drop.entrant] = self._blocks
        if self._blocks in self._looks:
            self._equivalent = self._survivors_equivalent()
        return tuple(drop.entrant for drop in drops)

    def withdraw(self, entrant: str) -> None:
        """Take a live entrant, also a protected one, out of the race: it cannot run any more."""
        if entrant not in self.live:
            raise ValueError(f"{entrant!r} is not live in this race and cannot be withdrawn")
        self._dropped_at[entrant] = self._blocks

    def standings(self, beside: str | None = None) -> list[Standing]:
        """Live entrants, then those that left, each best first; without those that never ran.

        beside: whom ratios are over in place of the leader.
        """
        leader = beside or self.leader
        if leader is None:
            leader = max(self._values, key=lambda entrant: len(self._values[entrant]))
        standings = [
            self._standing(entrant, leader) for entrant, ran in self._values.items() if ran
        ]
        return sorted(
            standings, key=lambda s: (s.dropped_at is not None, s.entrant != leader, s.ratio.value)
        )

    def _check_block(self, seconds: Mapping[str, float]) -> None:
        if self.finished is not None:
            raise ValueError(f"the race is over ({self.finished}) and takes no more blocks")
        if set(seconds) != set(self.live):
            raise ValueError(
                f"a block holds one time for each live entrant; missing: "
                f"{sorted(set(self.live) - set(seconds))}, not live: "
                f"{sorted(set(seconds) - set(self.live))}"
            )
        for entrant, latency in seconds.items():
            if not ((latency > 0 or self._net) and isfinite(latency)):
                raise ValueError(
                    f"the latency of {entrant!r} must be positive and finite; got {latency}"
                )

    def _centres(self) -> dict[str, float]:
        """The Hodges-Lehmann centre of each live entrant's log latency, blocks centred."""
        live = self.live
        values = np.array([self._values[entrant] for entrant in live])
        scores = values if self._net else np.log(values)
        centred = scores - np.median(scores, axis=0) if live else scores
        return {entrant: hodges_lehmann(row) for entrant, row in zip(live, centred, strict=True)}

    def _challengers(self, leader: str) -> list[str]:
        """Live entrants that may be dropped, without the leader."""
        return [e for e in self.live if e not in self._protect and e != leader]

    def _slower(self) -> Iterator[Drop]:
        """Who is hopeless or, at a look, significantly slower than the leader."""
        early, look = self._blocks == self.rules.hopeless_blocks, self._blocks in self._looks
        leader = self.leader
        if leader is None or not (early or look):
            return
        for entrant in self._challengers(leader):
            d = self._differences(entrant, leader)
            if early and self._is_hopeless(entrant, leader):
                ratio = self._ratio(entrant, leader).value
                yield Drop(entrant, leader, self._blocks, ratio, None)
            elif look and hodges_lehmann(d) > 0:
                p_value = signed_rank_p(d, "greater")
                if p_value <= self.rules.alpha / len(self._looks):
                    ratio = self._ratio(entrant, leader).value
                    yield Drop(entrant, leader, self._blocks, ratio, p_value)

    def _is_hopeless(self, entrant: str, leader: str) -> bool:
        """Nothing is so many times what is below 0."""
        d = self._differences(entrant, leader, self.rules.hopeless_ratio)
        return bool(np.all(d >= 0) and min(self._values[leader]) > 0)

    def _survivors_equivalent(self) -> bool:
        """Whether two one-sided tests per survivor, at the level of a look, exclude 1 %."""
        leader = self.leader
        if leader is None:
            return True
        limit = 1.0 + self.rules.equivalence
        confidence = 1 - 2 * self.rules.alpha / len(self._looks)
        return all(
            paired_interval(self._differences(entrant, leader, 1 / limit), confidence).low >= 0
            and paired_interval(self._differences(entrant, leader, limit), confidence).high <= 0
            for entrant in self._challengers(leader)
        )

    def _pairs(self, entrant: str, leader: str) -> tuple[FloatArray, FloatArray]:
        """Both in the blocks that both ran, [blocks] each."""
        ran = min(len(self._values[entrant]), len(self._values[leader]))
        return np.array(self._values[entrant][:ran]), np.array(self._values[leader][:ran])

    def _differences(self, entrant: str, leader: str, ratio: float = 1.0) -> FloatArray:
        """Above 0 where the entrant needs more than so many times the leader's, [blocks].

        ln(entrant / leader) - ln(ratio); of net energies entrant - ratio * leader.
        """
        own, other = self._pairs(entrant, leader)
        found: FloatArray = (
            own - ratio * other if self._net else np.log(own) - np.log(other) - log(ratio)
        )
        return found

    def _ratio(self, entrant: str, leader: str) -> Estimate:
        """The entrant's over the leader's."""
        confidence = 1 - self.rules.alpha
        if self._net:
            return net_ratio(*self._pairs(entrant, leader), confidence)
        return ratio_interval(self._differences(entrant, leader), confidence)

    def _standing(self, entrant: str, leader: str) -> Standing:
        median = Seconds(float(np.median(self._values[entrant])))
        ratio = Estimate(1.0, 1.0, 1.0)
        if entrant != leader:
            ratio = self._ratio(entrant, leader)
        return Standing(entrant, median, ratio, self._dropped_at.get(entrant))


@dataclass(frozen=True, slots=True)
class Replay:
    """How a race over recorded blocks ended.

    regret: latency of the winner over that of the best entrant, minus 1. runs: how often an
    entrant ran in a block. exhaustive_runs: the same if nobody had ever been dropped.
    """

    winner: str
    regret: float
    runs: int
    exhaustive_runs: int


def replay(
    blocks: FloatArray,
    names: Sequence[str],
    rules: RaceRules = RaceRules(),
    truth: FloatArray | None = None,
) -> Replay:
    """Race over recorded latencies, ``blocks`` [blocks, entrants] in seconds, no protection.

    truth: true latencies [entrants] in any one unit; by default ``relative_latencies(blocks)``.
    Raises ValueError when a block does not hold one positive finite latency per name.
    """
    if blocks.ndim != 2 or blocks.shape[1] != len(names) or len(blocks) == 0:
        raise ValueError(f"{len(names)} entrants need blocks of as many; got {blocks.shape}")
    if truth is None:
        truth = relative_latencies(blocks)
    limit = min(rules.max_blocks, len(blocks))
    race = Race(names, replace(rules, max_blocks=limit))
    columns = {name: column for column, name in enumerate(names)}
    runs = 0
    while race.finished is None:
        row = blocks[race.blocks]
        runs += len(race.live)
        race.record({name: float(row[columns[name]]) for name in race.live})
    winner = race.leader or names[0]
    regret = float(truth[columns[winner]] / truth.min()) - 1
    return Replay(winner, regret, runs, limit * len(names))


def relative_latencies(blocks: FloatArray) -> FloatArray:
    """Each entrant's median over all ``blocks`` [blocks, entrants], the drift removed.

    Relative to the median entrant of each block, [entrants].
    """
    logs = np.log(blocks)
    latencies: FloatArray = np.exp(
        np.median(logs - np.median(logs, axis=1, keepdims=True), axis=0)
    )
    return latencies
