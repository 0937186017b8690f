"""What is expected by the cost models of a device; and what by several priors at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, log

from farm.candidate import Candidate
from farm.errors import FarmError
from farm.prediction import Basis, Prediction
from tuner.goals import Objective
from tuner.learning.values import CandidatePrediction, Predictor, Subject
from tuner.search.prior import Expected, Prior

_LEAST_SPREAD = 0.05  # a model is not measured twice alike
_WIDEST = 1e3  # spread of what nothing is known of


@dataclass(frozen=True, slots=True)
class LearnedPrior:
    """Predicted values over that of the baseline.

    Of what was not learnt it says nothing: a spread so wide that any other prior goes before it.
    """

    predictor: Predictor
    subject: Subject
    baseline: Candidate
    objective: Objective
    _known: dict[Candidate, Expected] = field(default_factory=dict, compare=False)

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        """See ``Prior``."""
        new = [c for c in dict.fromkeys(candidates) if c not in self._known]
        if new:
            self._learn(new)
        return tuple(self._known[c] for c in candidates)

    def _learn(self, new: Sequence[Candidate]) -> None:
        told = {said.candidate: said for said in self._told([self.baseline, *new])}
        reference = self._score(told.get(self.baseline))
        for candidate in new:
            own = self._score(told.get(candidate))
            if own is None or reference is None or own.basis is not Basis.LEARNED:
                self._known[candidate] = Expected(1.0, _WIDEST, 0)
                continue
            spread = max(_LEAST_SPREAD, own.spread)
            failure = told[candidate].failure
            ratio = own.value / reference.value
            self._known[candidate] = Expected(ratio, spread, own.rows, failure)

    def _told(self, candidates: Sequence[Candidate]) -> Iterable[CandidatePrediction]:
        """Engine by engine, so that one of which nothing is known hides no other."""
        kinds = dict.fromkeys(candidate.engine.kind for candidate in candidates)
        for kind in kinds:
            group = [c for c in candidates if c.engine.kind == kind]
            try:
                yield from self.predictor.predict(self.subject, group)
            except FarmError:
                continue

    def _score(self, said: CandidatePrediction | None) -> Prediction | None:
        """What is minimised; of what was not learnt, what comes nearest to it."""
        if said is None:
            return None
        match self.objective:
            case Objective.MEMORY:
                return said.peak_memory
            case Objective.CPU:
                return said.cpu_seconds
            case Objective.ENERGY:
                return said.energy
            case Objective.LATENCY | Objective.P99:
                return said.latency
            case Objective.THROUGHPUT | Objective.LOAD:
                return None


@dataclass(frozen=True, slots=True)
class Joint:
    """Several priors as one: each weighs by how sure it is.

    They rest on the same trials, so that none makes another surer: together they are as sure as
    the surest.
    """

    priors: tuple[Prior, ...]

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        """See ``Prior``."""
        told = [prior.expect(candidates) for prior in self.priors]
        return tuple(_joined(each) for each in zip(*told, strict=True))


def _joined(told: Sequence[Expected]) -> Expected:
    told = [each for each in told if each.spread < _WIDEST] or told
    weights = [each.spread**-2 for each in told]
    whole = sum(weights)
    pairs = list(zip(weights, told, strict=True))
    mean = sum(weight * log(each.ratio) for weight, each in pairs) / whole
    failure = sum(weight * each.failure for weight, each in pairs) / whole
    spread = min(each.spread for each in told)
    return Expected(exp(mean), spread, max(each.rows for each in told), failure)
