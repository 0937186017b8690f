"""What cost models say becomes a prior, and several priors become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu, OpenVino
from farm.errors import DeviceError
from farm.prediction import Basis, Prediction
from farm.units import Bytes
from tests.tuner.search.proposals import SPACE
from tuner.goals import Objective
from tuner.learning.values import CandidatePrediction, Subject
from tuner.search.expecting.learned import Joint, LearnedPrior
from tuner.search.prior import Expected

SUBJECT = Subject("0" * 64, (), 0, Bytes(0), Bytes(0))
BASELINE = SPACE.baseline()
FAST, SLOW = Candidate(OpenVino(threads=1)), Candidate(OnnxRuntimeCpu(threads=1))


class Told:
    """Predicts what it was told; of packages it knows nothing. asked: how many at a time."""

    def __init__(self, basis: Basis = Basis.LEARNED) -> None:
        self.basis = basis
        self.asked: list[int] = []

    def predict(
        self, subject: Subject, candidates: Sequence[Candidate]
    ) -> tuple[CandidatePrediction, ...]:
        self.asked.append(len(candidates))
        if any(isinstance(c.engine, CPackage) for c in candidates):
            raise DeviceError("The calibration knows nothing of packages.")
        return tuple(self._one(c) for c in candidates)

    def _one(self, candidate: Candidate) -> CandidatePrediction:
        value = {FAST: 1e-3, SLOW: 3e-3}.get(candidate, 2e-3)
        seconds = Prediction(value, value / 2, value * 2, "s", self.basis, 40)
        memory = Prediction(5e6, 4e6, 6e6, "B", self.basis, 7)
        return CandidatePrediction(candidate, seconds, seconds, memory, None, 0.2)


def prior(objective: Objective = Objective.LATENCY, basis: Basis = Basis.LEARNED) -> LearnedPrior:
    return LearnedPrior(Told(basis), SUBJECT, BASELINE, objective)


def test_ratios_are_of_predicted_latencies() -> None:
    fast, slow, own = prior().expect([FAST, SLOW, BASELINE])
    assert (fast.ratio, slow.ratio, own.ratio) == (0.5, 1.5, 1.0)
    assert fast.rows == 40
    assert fast.failure == 0.2
    assert fast.spread == pytest.approx(0.4214, abs=1e-3), "of an interval of 90 %"


def test_of_an_unknown_engine_it_says_nothing() -> None:
    package = Candidate(CPackage())
    found = prior().expect([FAST, package, SLOW])
    assert [each.ratio for each in found] == [0.5, 1.0, 1.5]
    assert found[1].spread > 100.0


@pytest.mark.parametrize("objective", [Objective.LOAD, Objective.THROUGHPUT, Objective.ENERGY])
def test_nor_of_what_no_model_predicts(objective: Objective) -> None:
    assert prior(objective).expect([FAST])[0].spread > 100.0


def test_a_roofline_was_not_learnt() -> None:
    assert prior(basis=Basis.ROOFLINE).expect([FAST])[0].spread > 100.0


def test_another_objective_has_its_own_ratios() -> None:
    assert (
        prior(Objective.MEMORY).expect([FAST, SLOW])
        == (Expected(1.0, pytest.approx(0.123, abs=1e-3), 7, 0.2),) * 2
    )


def test_nothing_is_predicted_twice() -> None:
    asked = prior()
    assert asked.expect([FAST, SLOW]) == asked.expect([FAST, SLOW])
    predictor = asked.predictor
    assert isinstance(predictor, Told)
    assert sum(predictor.asked) == 3, "with the baseline"


class One:
    """Expects one thing of everything."""

    def __init__(self, expected: Expected) -> None:
        self.expected = expected

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        return (self.expected,) * len(candidates)


def test_of_several_the_surer_one_weighs_more() -> None:
    sure, unsure = Expected(0.5, 0.1, 10, 0.0), Expected(2.0, 1.0, 3, 0.4)
    (found,) = Joint((One(sure), One(unsure))).expect([FAST])
    assert 0.5 < found.ratio < 0.52
    assert found.spread == 0.1
    assert found.rows == 10
    assert found.failure < 0.01


def test_two_that_agree_are_no_surer_than_one() -> None:
    one = Expected(0.5, 0.3, 10, 0.1)
    (found,) = Joint((One(one), One(one))).expect([FAST])
    assert found == replace(one, ratio=pytest.approx(0.5), spread=pytest.approx(0.3))


def test_who_knows_nothing_does_not_count() -> None:
    one = Expected(0.5, 0.3, 10, 0.1)
    joint = Joint((One(one), prior(basis=Basis.ROOFLINE)))
    (found,) = joint.expect([FAST])
    assert found.spread == pytest.approx(0.3)
    assert found.ratio == pytest.approx(0.5)
