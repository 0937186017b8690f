"""What a claim and a new measurement say together."""

from __future__ import annotations

import pytest

from farm.measurement import Estimate
from tuner.delivery.record import RecordedAccuracy
from tuner.verify.claim import Holds, judged, less_accurate

CLAIMED = Estimate(2.0, 1.9, 2.1)


@pytest.mark.parametrize(
    ("measured", "holds"),
    [
        (Estimate(2.0, 1.95, 2.05), Holds.YES),
        (Estimate(3.0, 2.9, 3.1), Holds.YES),
        (Estimate(1.8, 1.78, 1.81), Holds.YES),  # within 5 % of the least that was claimed
        (Estimate(1.7, 1.6, 1.8), Holds.WEAKER),
        (Estimate(1.1, 1.01, 1.2), Holds.WEAKER),
        (Estimate(1.1, 0.99, 1.2), Holds.NO),
        (Estimate(0.5, 0.4, 0.6), Holds.NO),
        (Estimate(1.4, 0.7, 2.4), Holds.UNKNOWN),  # so wide that it says nothing
    ],
)
def test_a_gain(measured: Estimate, holds: Holds) -> None:
    assert judged(CLAIMED, measured) is holds


def test_a_winner_by_its_limits_may_be_slower() -> None:
    claimed = Estimate(0.5, 0.45, 0.55)
    assert judged(claimed, Estimate(0.5, 0.4, 0.6)) is Holds.YES
    assert judged(claimed, Estimate(0.2, 0.1, 0.3)) is Holds.NO


def test_counts_are_the_same_every_time() -> None:
    counted = Estimate(129.0, 129.0, 129.0)
    assert judged(counted, counted) is Holds.YES
    assert judged(counted, Estimate(64.0, 64.0, 64.0)) is Holds.WEAKER


def test_accuracy_within_rounding() -> None:
    agreement = RecordedAccuracy("agreement", 0.99, 10)
    assert not less_accurate(agreement, 0.9895)
    assert less_accurate(agreement, 0.98)
    assert not less_accurate(agreement, 1.0), "more is no loss"
    share = RecordedAccuracy("top1", 0.9, 10)
    assert not less_accurate(share, 0.8), "one sample was undecided"
    assert less_accurate(share, 0.7)
    assert not less_accurate(RecordedAccuracy("agreement", None, 10), 0.1)
