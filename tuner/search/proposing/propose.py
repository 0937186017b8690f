"""Proposes candidates: of ten seven by planners and predictions, two by Optuna, one by luck.

Predictions are a Gaussian process over the pool of all candidates, whose mean is the prior's; the
next candidate is the one with the best lower confidence bound, and within a cohort each is taken
for measured as predicted before the next is chosen. What is drawn at random tells how good the
predictions are where nothing else looks.

A proposer has no state but its space and its prior: what it proposes follows from the history
alone, so that a resumed run proposes what the interrupted one would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice

import numpy as np

from farm.candidate import Candidate
from tuner.runs.history import Entry
from tuner.runs.record.details import Proposed
from tuner.search.expecting.cold import ColdPrior
from tuner.search.memory_gate import MemoryGate
from tuner.search.package_room import PackageRoom
from tuner.search.prior import Expected, Prior
from tuner.search.proposing.doomed import is_doomed
from tuner.search.proposing.families import Family, family, one_of_each
from tuner.search.proposing.planners import Sensitivity, planned
from tuner.search.proposing.pool import pool
from tuner.search.proposing.surrogate import Surrogate
from tuner.search.regression.process import Rows
from tuner.search.space import Space
from tuner.search.stages import Stage


class _Turn(Enum):
    """Whose turn it is to choose the next trial."""

    MODEL = auto()
    OPTUNA = auto()
    LUCK = auto()


_M, _O, _R = _Turn.MODEL, _Turn.OPTUNA, _Turn.LUCK
TURNS = (_M, _M, _M, _M, _M, _O, _M, _M, _R, _O)
"""Of ten trials in a row, the first being that after the baseline."""
_PLANNED_SHARE = 2  # every second of those by planners and predictions, at most, is a planner's


@dataclass(frozen=True, slots=True)
class Proposal:
    """New candidates, none of which was tried before, and why; none where nothing is left."""

    chosen: tuple[tuple[Candidate, Proposed], ...] = ()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What is proposed, the most promising first."""
        return tuple(candidate for candidate, _ in self.chosen)

    @property
    def stage(self) -> Stage:
        """Who proposed the first one."""
        return Stage(self.chosen[0][1].stage) if self.chosen else Stage.EXHAUSTED


class Proposer:
    """Proposes for one device and model.

    sensitivity: asked only for candidates that were measured. prior: None for what is expected
    where nothing is known. among: all that may be proposed, where the space is not free. gate:
    keeps back what needs too much memory. room: keeps back packages that a device has none for.
    """

    def __init__(
        self,
        space: Space,
        sensitivity: Sensitivity,
        seed: int,
        prior: Prior | None = None,
        among: Sequence[Candidate] = (),
        gate: MemoryGate | None = None,
        room: PackageRoom | None = None,
    ) -> None:
        self._space = space
        self._gate, self._room = gate or MemoryGate(), room
        self._among = tuple(among)
        self._sensitivity = sensitivity
        self._seed = seed
        self._prior = prior or ColdPrior(space)

    def propose(self, history: Sequence[Entry], count: int) -> Proposal:
        """At most ``count`` new candidates, fewer where no more are left."""
        if not history or self._space.only_splits:
            return self._first_of_planners(history, count)
        cohort = _Cohort(self._pool(history), self._prior, self._seed, history)
        plans = self._planned(history)
        chosen: list[tuple[Candidate, Proposed]] = []
        for at in range(count):
            turn = TURNS[(len(history) - 1 + at) % len(TURNS)]
            plan = next(plans, None) if turn is _M and at % _PLANNED_SHARE == 0 else None
            found = cohort.plan(plan) if plan else cohort.choose(turn)
            if found is None:
                break
            chosen.append(found)
        return Proposal(tuple(chosen))

    def _pool(self, history: Sequence[Entry]) -> tuple[Candidate, ...]:
        """What may be chosen, and may do."""
        seen = {entry.candidate for entry in history}
        offered = self._among or pool(self._space, history)
        fresh = [c for c in offered if c not in seen and not is_doomed(c, history)]
        return self._through(fresh)

    def _through(self, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Those that memory may suffice for."""
        found = self._gate.through(candidates)
        return self._room.through(found) if self._room else found

    def _first_of_planners(self, history: Sequence[Entry], count: int) -> Proposal:
        chosen = ((candidate, Proposed(stage)) for stage, candidate in self._planned(history))
        return Proposal(tuple(islice(chosen, count)))

    def _planned(self, history: Sequence[Entry]) -> Iterator[tuple[Stage, Candidate]]:
        """What planners propose and was not tried, each once."""
        seen = {entry.candidate for entry in history}
        for stage, candidate in planned(self._space, history, self._sensitivity):
            if self._among and candidate not in self._among:
                continue
            is_new = candidate not in seen and not is_doomed(candidate, history)
            if is_new and self._through([candidate]):
                seen.add(candidate)
                yield stage, candidate


class _Cohort:
    """Candidates that are tried together, chosen one after the other."""

    def __init__(
        self, pool_: Sequence[Candidate], prior: Prior, seed: int, history: Sequence[Entry]
    ) -> None:
        self._history = history
        self._seed = seed
        self._pool = tuple(pool_)
        self._prior, self._tried = prior, Rows.of(history)
        self._known = {family(entry.candidate) for entry in history}
        self._asked: set[Family] = set()
        self._left = dict.fromkeys(range(len(self._pool)))
        self._surrogate = Surrogate(self._pool, prior, self._tried)

    def choose(self, turn: _Turn) -> tuple[Candidate, Proposed] | None:
        """The next one by whose turn it is; None where the pool is empty."""
        if not self._left:
            return None
        left = list(self._left)
        if turn is _M:
            may = one_of_each(left, self._pool, self._known, self._asked)
            return self._take(self._surrogate.best(may), Stage.PREDICTED)
        if turn is _O:
            offered = [self._pool[at] for at in left]
            from tuner.search.proposing.sampler import sample  # noqa: PLC0415  (loads Optuna)

            candidate = sample(offered, self._history, self._seed)
            return self._take(left[offered.index(candidate)], Stage.SAMPLE)
        rng = np.random.default_rng([self._seed, len(self._history), len(left)])
        known = self._known | self._asked
        may = [at for at in left if family(self._pool[at]) not in known] or left
        return self._take(may[int(rng.integers(len(may)))], Stage.RANDOM)

    def plan(self, planned: tuple[Stage, Candidate]) -> tuple[Candidate, Proposed]:
        """One that a planner proposes, with what is predicted of it."""
        stage, candidate = planned
        if candidate in self._pool and (at := self._pool.index(candidate)) in self._left:
            return self._take(at, stage)
        alone = Surrogate([candidate], self._prior, self._tried)
        return candidate, _said(stage, alone.expected(0))

    def _take(self, at: int, stage: Stage) -> tuple[Candidate, Proposed]:
        expected = self._surrogate.expected(at)
        self._surrogate.believe(at)
        self._asked.add(family(self._pool[at]))
        del self._left[at]
        return self._pool[at], _said(stage, expected)


def _said(stage: Stage, expected: Expected) -> Proposed:
    return Proposed(stage, expected.sentence, expected.ratio)
