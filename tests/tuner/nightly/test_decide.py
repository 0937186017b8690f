"""From measurements to verdicts."""

from __future__ import annotations

import pytest

from db.night_records import ChangeState
from farm.measurement import Estimate
from tuner.nightly.screen.judge import Judgement
from tuner.nightly.screen.series import Verdict
from tuner.nightly.tonight import Tonight
from tuner.nightly.verdicts.decide import Open, confirmed, is_gone, suspected, unchanged

QUIET = Judgement(Verdict.NO_CHANGE)


def night(value: float, half_width: float = 0.005, p_value: float = 0.5) -> Tonight:
    ratio = Estimate(value, value - half_width, value + half_width)
    return Tonight(ratio, half_width / 2, 0.01, p_value, 30, value * 1e-3, 1e-3)


SURE = 1e-6


@pytest.mark.parametrize(
    ("tonight", "judgement", "verdict"),
    [
        (night(1.0), QUIET, None),
        (night(1.03, p_value=SURE), QUIET, Verdict.REGRESSION),
        (night(0.97, p_value=SURE), QUIET, Verdict.IMPROVEMENT),
        (night(1.03, p_value=SURE), Judgement(Verdict.NOT_YET), Verdict.REGRESSION),
        (night(1.03, p_value=0.06), QUIET, None),
        (night(1.005, p_value=0.02), Judgement(Verdict.REGRESSION), Verdict.REGRESSION),
        (night(1.005), Judgement(Verdict.INCONCLUSIVE), None),
    ],
)
def test_either_the_nights_or_tonights_blocks_raise_a_suspicion(
    tonight: Tonight, judgement: Judgement, verdict: Verdict | None
) -> None:
    assert suspected(tonight, judgement) is verdict


def test_only_what_is_seen_again_in_the_same_direction_is_confirmed() -> None:
    assert confirmed(Verdict.REGRESSION, night(1.02, p_value=SURE))
    assert confirmed(Verdict.IMPROVEMENT, night(0.98, p_value=SURE))
    assert not confirmed(Verdict.IMPROVEMENT, night(1.02, p_value=SURE))
    assert not confirmed(Verdict.REGRESSION, night(1.02, p_value=0.02))


def test_without_a_suspicion_the_screens_verdict_stays() -> None:
    assert unchanged(Judgement(Verdict.NOT_YET)) is Verdict.NOT_YET
    assert unchanged(QUIET) is Verdict.NO_CHANGE
    assert unchanged(Judgement(Verdict.INCONCLUSIVE)) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("tonight", "gone"),
    [
        (night(1.0), True),
        (night(1.04, p_value=SURE), False),
        (night(1.02, 0.03, p_value=0.2), False),  # a noisy night
        (night(0.96, p_value=SURE), False),  # another change, and none that is over
        (night(0.998, p_value=0.01), True),
    ],
)
def test_a_regression_is_over_when_it_is_seen_to_be(tonight: Tonight, gone: bool) -> None:
    known = Open(Estimate(1.04, 1.03, 1.05), ChangeState.CONFIRMED)
    assert is_gone(known, tonight) is gone


def test_an_improvement_is_over_likewise() -> None:
    known = Open(Estimate(0.96, 0.95, 0.97), ChangeState.CONFIRMED)
    assert is_gone(known, night(1.0))
    assert not is_gone(known, night(0.96, p_value=SURE))
