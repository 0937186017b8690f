"""What one night's blocks say by themselves."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from db.records import BlockSample
from farm.candidate import Candidate, CPackageEmulated, Fake
from farm.errors import InfrastructureError
from farm.measurement import Metric
from tuner.nightly.tonight import ALPHA, compare_tonight, of_sample

GOOD = np.exp(np.random.default_rng(5).normal(log(1e-3), 0.02, 24))


def noisy(factor: float) -> np.ndarray:
    return GOOD * factor * np.exp(np.random.default_rng(6).normal(0.0, 0.01, len(GOOD)))


def test_a_step_of_three_per_cent_is_seen_at_once() -> None:
    found = compare_tonight(Metric.LATENCY, noisy(1.03), GOOD)
    assert found.ratio.low < 1.03 < found.ratio.high
    assert found.p_value < ALPHA
    assert found.looks_changed
    assert found.pairs == 24
    assert found.uncertainty == pytest.approx(found.noise / 24**0.5, rel=0.3)


def test_the_same_twice_looks_unchanged() -> None:
    assert not compare_tonight(Metric.LATENCY, noisy(1.0), GOOD).looks_changed


def test_a_small_difference_wakes_nobody_however_sure_it_is() -> None:
    found = compare_tonight(Metric.LATENCY, GOOD * 1.005, GOOD)
    assert found.p_value < ALPHA
    assert not found.looks_changed


def test_less_throughput_is_worse() -> None:
    found = compare_tonight(Metric.THROUGHPUT, GOOD * 0.9, GOOD)
    assert found.ratio.value == pytest.approx(1 / 0.9)
    assert found.log_ratio > 0


def test_what_is_counted_needs_no_more_than_eight_blocks() -> None:
    found = compare_tonight(Metric.LATENCY, np.full(8, 1.03e-3), np.full(8, 1e-3))
    assert (found.noise, found.uncertainty) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert found.looks_changed
    assert not compare_tonight(Metric.LATENCY, np.full(8, 1e-3), np.full(8, 1e-3)).looks_changed


@pytest.mark.parametrize(("factor", "pairs"), [(1.3, 15), (1.03, 15), (1.0, 60)])
def test_a_confirmation_has_as_many_pairs_as_the_effect_needs(factor: float, pairs: int) -> None:
    found = compare_tonight(Metric.LATENCY, noisy(factor), GOOD)
    assert 15 <= found.pairs_to_confirm <= pairs


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (Metric.LATENCY, 2e-3),
        (Metric.CPU_SECONDS, 3e-3),
        (Metric.THROUGHPUT, 2 / 2e-3),
        (Metric.FIRST_RESULT, 0.2),
        (Metric.PEAK_MEMORY, 1 << 20),
    ],
)
def test_each_metric_has_a_value_in_each_block(metric: Metric, value: float) -> None:
    sample = BlockSample("t", 2e-3, 3e-3, 10, 0, 1 << 20, load_seconds=0.2)
    assert of_sample(metric, Candidate(Fake(), callers=2), sample) == pytest.approx(value)


def test_what_no_clock_sees_is_not_nothing() -> None:
    sample = BlockSample("t", 1e-3, 0.0, 10, 0)
    assert of_sample(Metric.CPU_SECONDS, Candidate(Fake()), sample) > 0
    assert of_sample(Metric.PEAK_MEMORY, Candidate(Fake()), sample) > 0
    assert of_sample(Metric.FIRST_RESULT, Candidate(Fake()), sample) == 1e-3
    assert of_sample(Metric.CPU_SECONDS, Candidate(CPackageEmulated()), sample) == 1e-3


def test_energy_is_compared_though_a_block_is_below_nothing() -> None:
    rng = np.random.default_rng(2)
    good, worse = rng.normal(1e-3, 4e-4, 40), rng.normal(3e-3, 4e-4, 40)
    good[3] = -1e-4
    found = compare_tonight(Metric.ENERGY, worse, good)
    assert found.ratio.low < 3.0 < found.ratio.high
    assert found.looks_changed
    assert 0.0 < found.uncertainty < 0.2
    with pytest.raises(InfrastructureError, match="does not tell the energy of a run"):
        compare_tonight(Metric.ENERGY, good, rng.normal(0.0, 1e-3, 40))
