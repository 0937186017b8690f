"""The screen at the seam that a nightly run uses: a series in, a judgement out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tuner.nightly.screen.nights import quiet, series, stepped
from tuner.nightly.screen.judge import ALONE, SENSITIVE, Detector, Rules, judge, judge_night
from tuner.nightly.screen.series import Verdict

quick = settings(max_examples=25, deadline=None, derandomize=True)


def verdicts(one, start: int) -> list[Verdict]:
    return [judge(one.until(night)).verdict for night in range(start, len(one.nights))]


def test_too_little_history_is_not_yet():
    assert verdicts(series(quiet(22)), 19) == [Verdict.NOT_YET] * 2 + [Verdict.NO_CHANGE]


@pytest.mark.parametrize(
    ("sigmas", "verdict"), [(5.0, Verdict.REGRESSION), (-5.0, Verdict.IMPROVEMENT)]
)
def test_a_step_is_seen_on_its_second_night_by_all(sigmas, verdict):
    judgement = judge(stepped(100, 2, sigmas))
    assert judgement.verdict is verdict
    assert judgement.votes == (Detector.MEAN, Detector.RANK, Detector.CUSUM)
    assert judgement.change is not None
    assert judgement.change.first == 100
    assert judgement.p_value < 0.002


def test_two_of_three_are_enough():
    # Of 60 nights before, the two highest out of 62 are no proof by their ranks alone.
    judgement = judge(stepped(60, 2, 5.0))
    assert judgement.verdict is Verdict.REGRESSION
    assert judgement.votes == (Detector.MEAN, Detector.CUSUM)


@pytest.mark.parametrize("height", [0.05, 0.3, 100.0])
def test_a_spike_of_one_night_raises_nothing(height):
    values = quiet(90)
    values[60] += height
    seen = verdicts(series(values), 55)
    assert not {Verdict.REGRESSION, Verdict.IMPROVEMENT} & set(seen)
    assert seen[60 - 55] is Verdict.INCONCLUSIVE


def test_a_count_that_never_varied_changes_by_one():
    moved = series(np.log(np.array([27507.0] * 40 + [27508.0] * 2)), uncertainty=0.0)
    assert judge(moved.until(39)).verdict is Verdict.NO_CHANGE
    assert judge(moved.until(40)).verdict is Verdict.INCONCLUSIVE
    assert judge(moved).verdict is Verdict.REGRESSION


def test_an_uncertain_night_is_no_step():
    sure = stepped(60, 3, 5.0)
    unsure = tuple(
        replace(night, uncertainty=0.05) if index >= 60 else night
        for index, night in enumerate(sure.nights)
    )
    assert judge(sure).verdict is Verdict.REGRESSION
    assert Detector.MEAN not in judge(replace(sure, nights=unsure)).votes


def test_the_software_of_that_night_is_a_candidate():
    plain = stepped(60, 3, 4.0)
    nights = tuple(
        replace(night, software="2" if index >= 60 else "1")
        for index, night in enumerate(plain.nights)
    )
    change = judge(replace(plain, nights=nights)).change
    assert change is not None
    assert change.causes == ("software",)


def test_an_expected_change_starts_a_new_history():
    whole = stepped(60, 30, 5.0)
    change = judge(whole.until(62)).change
    assert change is not None
    later = whole.after(change)
    assert judge(later.until(62)).verdict is Verdict.NOT_YET
    assert judge(later).verdict is Verdict.NO_CHANGE


def test_a_refuted_change_is_asked_again_when_it_lasted_twice_as_long():
    whole = stepped(60, 10, 5.0)
    change = judge(whole.until(62)).change
    assert change is not None
    refuted = whole.without(change)
    seen = [judge(refuted.until(night)).verdict for night in range(62, 67)]
    assert seen == [Verdict.INCONCLUSIVE] * 3 + [Verdict.REGRESSION] * 2


def test_two_levels_are_named():
    rng = np.random.default_rng(2)
    values = rng.normal(0.0, 0.01, 100) + 0.05 * (rng.random(100) < 0.4)
    found = judge(series(values)).modes
    assert found is not None
    assert found.high - found.low == pytest.approx(0.05, abs=0.01)


@quick
@given(st.integers(0, 1000), st.floats(-8, 8))
def test_faster_is_the_mirror_of_slower(seed, sigmas):
    one = stepped(50, 4, sigmas, seed)
    mirrored = replace(
        one, nights=tuple(replace(night, value=-night.value) for night in one.nights)
    )
    mirror = {
        Verdict.REGRESSION: Verdict.IMPROVEMENT,
        Verdict.IMPROVEMENT: Verdict.REGRESSION,
    }
    ours, theirs = judge(one), judge(mirrored)
    assert theirs.verdict is mirror.get(ours.verdict, ours.verdict)
    assert theirs.p_value == pytest.approx(ours.p_value)


@quick
@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-1, 1))
def test_level_and_scale_do_not_matter(seed, scale, level):
    one = stepped(50, 4, 3.0, seed)
    other = series(scale * one.values + level, uncertainty=scale * 0.002)
    assert judge(other).verdict is judge(one).verdict


def test_strict_rules_raise_less():
    cases = [stepped(60, 3, 2.0, seed) for seed in range(40)]
    strict, sensitive = (
        sum(judge(one, rules).verdict is Verdict.REGRESSION for one in cases)
        for rules in (ALONE, SENSITIVE)
    )
    assert 0 < strict < sensitive


def test_rules_are_probabilities():
    with pytest.raises(ValueError, match="alpha of a screen must lie between 0 and 1; got 1"):
        Rules(alpha=1)


class TestNight:
    def test_steps_pass_among_many_that_did_not_move(self):
        night = {str(seed): series(quiet(62, seed)) for seed in range(100, 130)}
        night |= {"slow": stepped(60, 2, 6.0), "fast": stepped(60, 2, -6.0)}
        night |= {"new": series(quiet(5))}
        judged = judge_night(night)
        assert judged["slow"].verdict is Verdict.REGRESSION
        assert judged["fast"].verdict is Verdict.IMPROVEMENT
        assert judged["new"].verdict is Verdict.NOT_YET
        assert sum(one.change is not None for one in judged.values()) == 2

    def test_a_weak_change_among_many_is_inconclusive(self):
        weak = next(
            one
            for one in (stepped(60, 3, 2.0, seed) for seed in range(100))
            if 0.005 < judge(one).p_value <= 0.01
        )
        night = {str(seed): series(quiet(62, seed)) for seed in range(40)} | {"weak": weak}
        assert judge(weak).verdict is Verdict.REGRESSION
        assert judge_night({"weak": weak})["weak"].verdict is Verdict.REGRESSION
        assert judge_night(night)["weak"].verdict is Verdict.INCONCLUSIVE
        assert judge_night(night)["weak"].change is not None

    def test_no_series_no_judgements(self):
        assert judge_night({}) == {}
