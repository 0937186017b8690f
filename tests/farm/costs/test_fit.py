"""Rooflines: constants that are known are found again, and errors are told honestly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.costs.families import Family
from farm.costs.fit import Point, errors_of, fit_roofline
from farm.costs.roofline import Level, Roof, Roofline
from farm.costs.work import KernelWork
from farm.errors import PlanError
from farm.prediction import Basis
from farm.units import Seconds

CACHE = 1e5
LIMITS = (CACHE,)
FAST, SLOW = 1e10, 1e9  # bytes per second, in the cache and beyond
PEAK, OVERHEAD = 1e11, 2e-6


def truth(work: KernelWork) -> float:
    speed = FAST if work.traffic <= CACHE else SLOW
    flops = work.flops / PEAK if work.family is Family.CONVOLUTION else 0.0
    return OVERHEAD + flops + work.traffic / speed


def kernels(noise: float = 0.0) -> list[Point]:
    """Element-wise ones of many sizes, and convolutions."""
    random = np.random.default_rng(3)
    elements = [KernelWork(Family.ELEMENTWISE, 10.0**k, 8 * 10.0**k) for k in np.arange(2, 7, 0.5)]
    traffic = [1e3, 1e4, 5e4, 2e5, 1e6]
    waves = [KernelWork(Family.CONVOLUTION, ops, b) for b in traffic for ops in (1e5, 1e7, 1e8)]
    return [
        Point(work, Seconds(truth(work) * math.exp(noise * random.standard_normal())))
        for work in (*elements, *waves)
    ]


def test_constants_that_are_known_are_found() -> None:
    roofline = fit_roofline(kernels(), LIMITS)
    assert [level.bytes_per_second for level in roofline.levels] == pytest.approx([FAST, SLOW])
    assert [level.limit for level in roofline.levels] == [CACHE, math.inf]
    wave = roofline.roofs[Family.CONVOLUTION]
    assert wave.peak == pytest.approx(PEAK)
    assert wave.overhead == pytest.approx(OVERHEAD)
    assert wave.rows == 15
    assert wave.spread < 1e-6


def behind(cache: float, noise: float) -> list[Point]:
    """Kernels that move 4 KiB to 1 GiB, four times as fast from a cache of that size."""
    random = np.random.default_rng(5)
    return [
        Point(
            KernelWork(Family.MOVEMENT, 0.0, size),
            Seconds(
                (OVERHEAD + size / (4 * FAST if size <= cache else FAST))
                * math.exp(noise * random.standard_normal())
            ),
        )
        for size in 2.0 ** np.arange(12, 30.5, 0.5)
    ]


@pytest.mark.parametrize("size", [2.0**20, 2.0**25])
def test_a_cache_that_nobody_tells_of_is_found(size: float) -> None:
    levels = fit_roofline(behind(size, 0.03), None).levels
    assert [level.limit for level in levels] == [size, math.inf]
    speeds = [level.bytes_per_second for level in levels]
    assert speeds == pytest.approx([4 * FAST, FAST], rel=0.1)


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.2])
def test_none_is_found_where_kernels_show_none(noise: float) -> None:
    (level,) = fit_roofline(behind(0.0, noise), None).levels
    assert level.limit == math.inf
    assert level.bytes_per_second == pytest.approx(FAST, rel=0.3)


def test_of_few_kernels_there_is_one_level() -> None:
    assert len(fit_roofline(behind(2.0**20, 0.0)[:3], None).levels) == 1


def test_the_spread_is_that_of_kernels_that_were_left_out() -> None:
    roofline = fit_roofline(kernels(noise=0.2), LIMITS)
    assert 0.1 < roofline.roofs[Family.CONVOLUTION].spread < 0.4
    assert 0.1 < roofline.roofs[Family.ELEMENTWISE].spread < 0.6


def test_nine_of_ten_kernels_lie_in_the_interval() -> None:
    roofline = fit_roofline(kernels(noise=0.2), LIMITS)
    seen = kernels(noise=0.2)
    inside = [
        found.low <= point.seconds <= found.high
        for point in seen
        for found in [roofline.predict(point.work)]
    ]
    assert np.mean(inside) >= 0.85


def test_half_of_the_kernels_are_slower_than_predicted() -> None:
    points = kernels(noise=0.3)
    errors = errors_of(fit_roofline(points, LIMITS), points)
    assert np.median(errors[Family.CONVOLUTION]) == pytest.approx(1.0)


def test_kernels_that_something_disturbed_count_for_little() -> None:
    points = kernels(noise=0.05)
    points[14] = Point(points[14].work, Seconds(30 * points[14].seconds))
    wave = fit_roofline(points, LIMITS).roofs[Family.CONVOLUTION]
    assert wave.peak == pytest.approx(PEAK, rel=0.15)
    assert wave.spread < 0.3


def test_a_prediction_says_what_it_rests_on() -> None:
    found = fit_roofline(kernels(), LIMITS).predict(KernelWork(Family.CONVOLUTION, 1e7, 1e4))
    assert (found.unit, found.basis, found.rows) == ("s", Basis.ROOFLINE, 15)
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(2e-6 + 1e-4 + 1e-6)


def test_a_family_that_was_not_measured_is_as_all_together() -> None:
    slow = [Point(KernelWork(Family.POOL, 1e6, 1e4 * k), Seconds(1e-3 * k)) for k in range(1, 6)]
    roofline = fit_roofline([*kernels(), *slow], LIMITS)
    unknown = roofline.predict(KernelWork(Family.OTHER, 1e6, 1e4))
    known = roofline.predict(KernelWork(Family.CONVOLUTION, 1e6, 1e4))
    assert unknown.spread > known.spread
    assert unknown.rows == len(kernels()) + 5


def test_a_view_that_no_kernel_is_told_of_costs_nothing() -> None:
    roofline = fit_roofline(kernels(), LIMITS)
    found = roofline.predict(KernelWork(Family.VIEW, 0.0, 0.0))
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == roofline.general.overhead


def test_a_level_without_kernels_is_as_the_next_one() -> None:
    roofline = fit_roofline(kernels(), (10.0, *LIMITS))
    assert roofline.levels[0].bytes_per_second == roofline.levels[1].bytes_per_second


def test_below_the_resolution_of_a_clock_errors_say_nothing() -> None:
    coarse = [Point(p.work, Seconds(round(p.seconds, 6))) for p in kernels()]
    coarse.append(Point(KernelWork(Family.ELEMENTWISE, 1.0, 8.0), Seconds(0.0)))
    roofline = fit_roofline(coarse, LIMITS, resolution=1e-6)
    assert roofline.roofs[Family.CONVOLUTION].peak == pytest.approx(PEAK, rel=0.1)
    assert roofline.predict(KernelWork(Family.ELEMENTWISE, 1.0, 8.0)).low == pytest.approx(
        0.0, abs=2e-6
    )


def test_kernels_that_take_no_time_tell_nothing() -> None:
    with pytest.raises(PlanError, match="No kernel took any time"):
        fit_roofline([Point(KernelWork(Family.POOL, 1.0, 1.0), Seconds(0.0))], LIMITS)


_WORKS = st.builds(
    KernelWork,
    st.sampled_from(Family),
    st.integers(0, 10**10).map(float),
    st.integers(0, 10**9).map(float),
)


@settings(max_examples=40)
@given(
    st.lists(st.builds(Point, _WORKS, st.floats(1e-7, 1.0).map(Seconds)), min_size=1, max_size=12),
    _WORKS,
)
def test_whatever_was_measured_predictions_are_ordered(points: list[Point], work: KernelWork):
    found = fit_roofline(points, LIMITS, resolution=1e-6).predict(work)
    assert 0.0 <= found.low <= found.value <= found.high < math.inf


def test_the_peak_of_what_never_computes_is_unknown() -> None:
    roof = Roof(Seconds(1e-6), Seconds(0.0), 1.0, 0.1, 4)
    assert roof.peak is None
    flat = Roofline((Level(math.inf, 1e9),), roof)
    assert flat.predict(KernelWork(Family.POOL, 1e9, 1e3)).value == pytest.approx(2e-6)
