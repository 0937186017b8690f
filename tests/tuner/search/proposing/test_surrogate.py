"""What is expected once some were tried: near ones are, others are not, and failures spread."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import pytest

from farm.candidate import Candidate, OnnxRuntimeCpu, OpenVino, Precision, StaticInt8
from farm.measurement import Outcome
from tests.tuner.search.proposals import SPACE, entry
from tuner.search.prior import Expected
from tuner.search.proposing.pool import pool
from tuner.search.proposing.surrogate import Surrogate
from tuner.search.regression.alike import FAILURE, LATENCY, REFUSAL, correlation
from tuner.search.regression.process import Rows

POOL = pool(SPACE, [])


class Flat:
    """Expects the same of all."""

    def __init__(self, ratio: float = 1.0, spread: float = 0.5, rows: int = 7) -> None:
        self.one = Expected(ratio, spread, rows, 0.1)

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        return (self.one,) * len(candidates)


def test_correlations_are_those_of_a_covariance() -> None:
    for effects in (LATENCY, FAILURE, REFUSAL):
        found = correlation(POOL, POOL, effects)
        assert np.allclose(np.diag(found), 1.0)
        assert np.allclose(found, found.T)
        assert np.linalg.eigvalsh(found).min() > -1e-9
        assert found.min() >= 0.0


def test_what_differs_in_less_is_more_alike() -> None:
    first = Candidate(OnnxRuntimeCpu(threads=1))
    others = [
        Candidate(OnnxRuntimeCpu(threads=1, memory_pattern=False)),
        Candidate(OnnxRuntimeCpu(threads=2)),
        Candidate(OpenVino(threads=1)),
        Candidate(OpenVino(threads=1), Precision(quantization=StaticInt8())),
    ]
    found = correlation([first], others, LATENCY)[0]
    assert list(found) == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


def test_without_trials_it_is_the_prior() -> None:
    surrogate = Surrogate(POOL[:3], Flat(0.5), Rows.of([]))
    assert surrogate.expected(0) == Expected(pytest.approx(0.5), pytest.approx(0.5), 7, 0.1)


def test_an_inaccurate_precision_says_nothing_of_another_one_of_the_engine() -> None:
    int8 = Precision(quantization=StaticInt8())
    refused = [
        entry(Candidate(OnnxRuntimeCpu(threads=n), int8), None, Outcome.REJECTED) for n in (1, 2)
    ]
    asked = [
        Candidate(OnnxRuntimeCpu(threads=1, memory_pattern=False)),
        Candidate(OpenVino(), int8),
    ]
    surrogate = Surrogate(asked, Flat(), Rows.of(refused))
    assert surrogate.expected(0).failure == pytest.approx(0.1, abs=0.01)
    assert surrogate.expected(1).failure > 0.6


def test_what_was_measured_says_more_of_what_is_near() -> None:
    tried = Candidate(OpenVino(threads=1))
    near, far = Candidate(OpenVino(threads=1, pinning=True)), Candidate(OnnxRuntimeCpu(threads=2))
    surrogate = Surrogate([tried, near, far], Flat(), Rows.of([entry(tried, 0.25)]))
    own, close, distant = (surrogate.expected(at) for at in range(3))
    assert own.ratio == pytest.approx(0.25, rel=0.05)
    assert own.ratio < close.ratio < distant.ratio < 1.0
    assert own.spread < close.spread < distant.spread < 0.5
    assert own.rows == 8


def test_what_fails_makes_its_like_unlikely() -> None:
    tried = Candidate(OpenVino(threads=1), Precision(quantization=StaticInt8()))
    like = Candidate(OpenVino(threads=2), Precision(quantization=StaticInt8()))
    other = Candidate(OpenVino(threads=2))
    history = [entry(tried, None, Outcome.RUN_ERROR)]
    surrogate = Surrogate([like, other], Flat(), Rows.of(history))
    assert surrogate.expected(0).failure > 0.3 > surrogate.expected(1).failure
    bounds = surrogate.bounds()
    assert bounds[0] > bounds[1]


def test_a_rejected_one_tells_how_fast_it_is() -> None:
    tried = Candidate(OpenVino(threads=1), Precision(quantization=StaticInt8()))
    surrogate = Surrogate([tried], Flat(), Rows.of([entry(tried, 0.2, Outcome.REJECTED)]))
    assert surrogate.expected(0).ratio == pytest.approx(0.2, rel=0.05)


def test_what_is_believed_makes_its_like_less_attractive() -> None:
    surrogate = Surrogate(POOL, Flat(), Rows.of([entry(SPACE.baseline(), 1.0)]))
    before = surrogate.bounds()
    surrogate.believe(5)
    after = surrogate.bounds()
    alike = correlation([POOL[5]], POOL, LATENCY)[0]
    assert np.all(after >= before - 1e-12)
    assert int(np.argmax(after - before)) == 5
    assert (after - before)[alike > 0.6].min() > (after - before)[alike < 0.55].max()


def test_beliefs_are_as_if_it_had_been_measured() -> None:
    """The variances after two beliefs are those after the same two trials."""
    history = [entry(SPACE.baseline(), 1.0)]
    believing = Surrogate(POOL, Flat(), Rows.of(history))
    for at in (3, 9):
        believing.believe(at)
    means = [Surrogate(POOL, Flat(), Rows.of(history)).expected(at).ratio for at in (3, 9)]
    tried = [*history, entry(POOL[3], means[0]), entry(POOL[9], means[1])]
    measured = Surrogate(POOL, Flat(), Rows.of(tried))
    assert believing._variance == pytest.approx(measured._variance, rel=1e-5)
    assert believing.expected(3).spread > measured.expected(3).spread, "what is said stays"


def test_a_prior_that_is_too_sure_is_corrected() -> None:
    history = [entry(c, ratio) for c, ratio in zip(POOL[:12], [0.1, 3.0] * 6, strict=False)]
    sure = Surrogate(POOL[12:], Flat(spread=0.1), Rows.of(history))
    assert max(sure.expected(at).spread for at in range(20)) > 0.12
    calm = [entry(c, 1.0) for c in POOL[:12]]
    wide = Surrogate(POOL[12:], Flat(spread=0.5), Rows.of(calm))
    assert max(wide.expected(at).spread for at in range(20)) < 0.3
    assert log(wide.expected(0).ratio) == pytest.approx(0.0, abs=0.01)
