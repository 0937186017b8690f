"""Rules of thumb: rough, of every candidate, and sound about what nobody doubts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.candidate import (
    Candidate,
    CPackage,
    DynamicInt8,
    Fake,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVino,
    Pipeline,
    Precision,
    StaticInt8,
)
from tests.tuner.search.proposals import SPACE
from tuner.search.expecting.cold import SPREAD, ColdPrior
from tuner.search.proposing.pool import pool

PACKAGES = (
    CPackage(target="avx2", compiler="zig"),
    CPackage(target="avx2", compiler="gcc"),
    CPackage(target="portable", compiler="zig"),
)
SMALL = replace(SPACE, packages=PACKAGES)
LARGE = replace(SMALL, small=False)
INT8 = Precision(quantization=StaticInt8(bias_correction=True))


def ratio(candidate: Candidate, space=SMALL) -> float:
    return ColdPrior(space).expect([candidate])[0].ratio


@pytest.mark.parametrize("space", [SMALL, LARGE])
def test_the_baseline_is_as_fast_as_itself_and_all_else_is_uncertain(space) -> None:
    found = ColdPrior(space).expect([space.baseline(), *pool(space, [])])
    assert found[0].ratio == pytest.approx(1.0)
    assert all(0.05 < each.ratio < 20.0 for each in found)
    assert all(each.spread == SPREAD and each.rows == 0 for each in found)
    assert all(0.0 < each.failure < 0.5 for each in found)


def test_packages_in_int8_are_for_small_models() -> None:
    package = Candidate(PACKAGES[0], INT8)
    assert ratio(package) < 0.5 < ratio(package, LARGE)
    first, second, third = (ratio(Candidate(engine, INT8)) for engine in PACKAGES)
    assert first < second < third


def test_threads_are_for_large_ones() -> None:
    one, two = Candidate(OnnxRuntimeCpu(threads=1)), Candidate(OnnxRuntimeCpu(threads=2))
    assert ratio(one) < ratio(two)
    assert ratio(two, LARGE) < ratio(one, LARGE)


def test_options_seldom_help() -> None:
    plain = Candidate(OnnxRuntimeCpu(threads=1))
    for option in ({"memory_arena": False}, {"graph_level": GraphLevel.NONE}):
        assert ratio(replace(plain, engine=replace(plain.engine, **option))) > ratio(plain)


def test_integers_may_be_too_inaccurate() -> None:
    float_, int8 = Candidate(OpenVino(threads=1)), Candidate(OpenVino(threads=1), INT8)
    found = ColdPrior(SMALL).expect([float_, int8])
    assert found[0].failure < found[1].failure
    assert found[1].ratio < found[0].ratio
    with_convolutions = Precision(quantization=DynamicInt8(convolutions=True))
    assert ratio(replace(float_, precision=with_convolutions)) > ratio(float_)


def test_more_callers_and_samples_are_worth_their_time() -> None:
    one = Candidate(OnnxRuntimeCpu(threads=1))
    assert ratio(replace(one, callers=4)) < ratio(one)
    assert ratio(replace(one, batch=4)) < ratio(one)


def test_what_nobody_has_a_rule_for_is_expected_all_the_same() -> None:
    for engine in (Fake(), Pipeline(())):
        assert ratio(Candidate(engine)) == pytest.approx(1.0, rel=0.3)
