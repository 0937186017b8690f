"""What is minimised decides: the winner is the best in that, though it is slower."""

from __future__ import annotations

import pytest

from db.store import Store
from farm.candidate import Candidate, Fake
from farm.measurement import Metric
from tests.tuner.imagined import BASELINE, Imagined, ImaginedExecutor, Traits
from tuner.request import Constraints, Objective
from tuner.results import Verdict

QUICK = Candidate(Fake(serial=1))
FRUGAL = Candidate(Fake(serial=2))


def test_processor_time(store: Store) -> None:
    traits = {
        BASELINE: Traits(seconds=1e-3, cpu=2e-3),
        QUICK: Traits(seconds=0.8e-3, cpu=3e-3),
        FRUGAL: Traits(seconds=1.2e-3, cpu=1e-3),
    }
    imagined = Imagined(store, ImaginedExecutor(traits), [QUICK, FRUGAL], objective=Objective.CPU)
    _, confirmed = imagined.run()
    assert confirmed.verdict is Verdict.IMPROVED
    assert confirmed.winner.candidate == FRUGAL
    assert confirmed.gain is not None
    assert confirmed.gain.value == pytest.approx(2.0, rel=0.02)
    assert confirmed.ratio is not None
    assert confirmed.ratio.value == pytest.approx(1 / 1.2, rel=0.02)
    measured = confirmed.winner.measurements[Metric.CPU_SECONDS]
    assert measured.low is not None
    assert measured.value == pytest.approx(1e-3, rel=0.02)


def test_a_limit_of_processor_time_rejects_the_quickest(store: Store) -> None:
    traits = {
        BASELINE: Traits(seconds=1e-3, cpu=1e-3),
        QUICK: Traits(seconds=0.5e-3, cpu=4e-3),
        FRUGAL: Traits(seconds=0.8e-3, cpu=1e-3),
    }
    imagined = Imagined(
        store,
        ImaginedExecutor(traits),
        [QUICK, FRUGAL],
        constraints=Constraints(max_cpu=2e-3),
    )
    found, confirmed = imagined.run()
    assert confirmed.winner.candidate == FRUGAL
    messages = {entry.candidate: entry.message for entry in found.entries}
    assert messages[QUICK] == "processor time 4.00 ms is above the limit of 2.00 ms"
