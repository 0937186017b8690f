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
    assert judge(series(quiet(41)), ALONE).verdict is Verdict.NOT_YET
    assert judge(series(quiet(42)), ALONE).verdict is Verdict.NO_CHANGE


@pytest.mark.parametrize(
    ("sigmas", "verdict"), [(5.0, Verdict.REGRESSION), (-5.0, Verdict.IMPROVEMENT)]
)
def test_a_step_is_seen_on_its_second_night_by_all(sigmas, verdict):
    judgement = judge(stepped(100, 2, sigmas), ALONE)
    assert judgement.verdict is verdict
    assert judgement.votes == (Detector.LIKELIHOOD, Detector.MEAN, Detector.RANK)
    assert judgement.change is not None
    assert judgement.change.first == 100
    assert judgement.p_value < 0.002


def test_where_changes_are_confirmed_a_step_is_seen_on_its_first_night():
    judgement = judge(stepped(100, 1, 5.0), SENSITIVE)
    assert judgement.verdict is Verdict.REGRESSION
    assert judgement.change is not None
    assert judgement.change.first == judgement.change.found == 100


def test_what_the_likelihood_sees_alone_is_inconclusive():
    # Of noise as wild as this, a run of far nights is nothing new to the ranks.
    wild = 0.01 * np.random.default_rng(16).standard_t(1, 90)[:56]
    judgement = judge(series(wild))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.votes == (Detector.LIKELIHOOD,)
    assert judgement.change is None


@pytest.mark.parametrize("height", [0.05, 0.3, 100.0])
def test_a_spike_of_one_night_raises_nothing(height):
    values = quiet(90)
    values[60] += height
    one = series(values)
    seen = {judge(one.until(night), ALONE).verdict for night in range(55, 90)}
    assert seen == {Verdict.NO_CHANGE}


def test_a_spike_that_was_refuted_is_not_asked_again():
    values = quiet(90)
    values[60] += 0.1
    one = series(values)
    spike = judge(one.until(60))
    assert spike.verdict is Verdict.REGRESSION
    assert spike.change is not None
    later = one.without(spike.change)
    seen = {judge(later.until(night)).verdict for night in range(60, 75)}
    assert Verdict.REGRESSION not in seen


def test_a_count_that_never_varied_changes_by_one():
    moved = series(np.log(np.array([27507.0] * 40 + [27508.0] * 2)), uncertainty=0.0)
    assert judge(moved.until(39)).verdict is Verdict.NO_CHANGE
    assert judge(moved.until(40)).verdict is Verdict.REGRESSION
    assert judge(moved, ALONE).verdict is Verdict.REGRESSION


def test_an_uncertain_night_is_no_step():
    sure = stepped(60, 3, 5.0)
    unsure = tuple(
        replace(night, uncertainty=0.05) if index >= 60 else night
        for index, night in enumerate(sure.nights)
    )
    assert judge(sure).verdict is Verdict.REGRESSION
    assert judge(replace(sure, nights=unsure)).verdict is Verdict.NO_CHANGE


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


def test_rules_are_checked():
    with pytest.raises(ValueError, match="alpha of a screen must lie between 0 and 1; got 1"):
        Rules(alpha=1)
    with pytest.raises(ValueError, match="20 nights at least must lie before a step; got 5"):
        Rules(history=5)
    with pytest.raises(ValueError, match="a step lasts 1 night at least; got 0"):
        Rules(shortest=0)


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
            if 0.006 < judge(one).p_value <= 0.01
        )
        night = {str(seed): series(quiet(62, seed)) for seed in range(40)} | {"weak": weak}
        assert judge(weak).verdict is Verdict.REGRESSION
        assert judge_night({"weak": weak})["weak"].verdict is Verdict.REGRESSION
        assert judge_night(night)["weak"].verdict is Verdict.INCONCLUSIVE
        assert judge_night(night)["weak"].change is not None

    def test_no_series_no_judgements(self):
        assert judge_night({}) == {}
