"""What is minimised decides: the winner is the best in that, though it is slower."""

from __future__ import annotations

from dataclasses import replace

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


def test_throughput_is_that_of_all_callers(store: Store) -> None:
    pair, wide = replace(QUICK, callers=2), replace(QUICK, callers=4)
    traits = {
        BASELINE: Traits(seconds=1e-3),
        QUICK: Traits(seconds=0.8e-3),  # 1,250 /s
        pair: Traits(seconds=1.0e-3),  # 2,000 /s
        wide: Traits(seconds=2.5e-3),  # 1,600 /s
    }
    imagined = Imagined(
        store, ImaginedExecutor(traits), [QUICK, pair, wide], objective=Objective.THROUGHPUT
    )
    found, confirmed = imagined.run()
    assert [e.candidate for e in found.finalists] == [pair, wide, QUICK]
    assert confirmed.winner.candidate == pair
    assert confirmed.winner.candidate.label() == "fake 0.001 s float32, 2 callers"
    assert confirmed.gain is not None
    assert confirmed.gain.value == pytest.approx(2.0, rel=0.02)
    assert confirmed.ratio is not None
    assert confirmed.ratio.value == pytest.approx(1.0, rel=0.02), "each caller waits as long"
    measured = confirmed.winner.measurements[Metric.THROUGHPUT]
    assert measured.value == pytest.approx(2000, rel=0.02)
    assert measured.low is not None
    assert measured.low < 2000 < (measured.high or 0)
    stored = {m.metric: m for m in store.measurements(confirmed.winner.trial_id)}
    assert stored[Metric.THROUGHPUT].samples == measured.samples, "no other one takes its place"


def test_a_limit_of_throughput(store: Store) -> None:
    traits = {QUICK: Traits(seconds=0.5e-3), BASELINE: Traits(seconds=1e-3)}
    limits = Constraints(min_throughput=1500.0)
    imagined = Imagined(store, ImaginedExecutor(traits), [QUICK, FRUGAL], constraints=limits)
    found, confirmed = imagined.run()
    assert confirmed.verdict is Verdict.WITHIN_LIMITS
    assert confirmed.winner.candidate == QUICK
    messages = {entry.candidate: entry.message for entry in found.entries}
    assert messages[FRUGAL] == "throughput 1000 /s is below the limit of 1500 /s"


@pytest.mark.parametrize("objective", Objective)
def test_a_resumed_run_decides_the_same(store: Store, objective: Objective) -> None:
    """What later blocks said does not change what followed from a trial's own samples."""
    traits = {
        c: Traits(seconds=s, cpu=2 * s, peak=int(s * 1e10), quick=q)
        for c, s, q in ((BASELINE, 1e-3, 1.0), (QUICK, 0.7e-3, 3.0), (FRUGAL, 0.6e-3, 1.5))
    }
    told = []
    for _ in range(2):
        executor = ImaginedExecutor(traits)
        imagined = Imagined(store, executor, [QUICK, FRUGAL], objective=objective)
        found, confirmed = imagined.run()
        ratios = [(e.candidate, e.outcome, e.ratio) for e in found.entries]
        told.append((ratios, confirmed.verdict, confirmed.winner.candidate, confirmed.gain))
    assert told[0] == told[1]
    assert executor.calls == [], "nothing ran again"


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
