"""What is minimised decides: the winner is the best in that, though it is slower."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from db.records import BlockSample, Phase
from db.store import Store
from farm.candidate import Candidate, Fake
from farm.devices.profile import Availability, load_profiles
from farm.errors import OptionError
from farm.measurement import Measurement, Method, Metric, Outcome
from tests.db.samples import RUN
from tests.tuner.imagined import BASELINE, DEVICE, Imagined, ImaginedExecutor, Traits
from tuner.goals import Constraints, Objective
from tuner.racing.measured import measured_in_blocks
from tuner.racing.objective import SINGLE_RUNS
from tuner.racing.statistics import quantile_samples
from tuner.request import TuneRequest
from tuner.results import Verdict
from tuner.runs.history import Entry
from tuner.runs.start import check_request
from tuner.search.search import MIN_PAIRS

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


def test_the_99th_percentile(store: Store) -> None:
    traits = {
        BASELINE: Traits(seconds=1e-3, longest=3e-3),
        QUICK: Traits(seconds=0.5e-3, longest=4e-3),
        FRUGAL: Traits(seconds=0.9e-3, longest=1.5e-3),
    }
    imagined = Imagined(store, ImaginedExecutor(traits), [QUICK, FRUGAL], objective=Objective.P99)
    _, confirmed = imagined.run()
    assert confirmed.winner.candidate == FRUGAL
    assert confirmed.gain is not None
    assert confirmed.gain.value == pytest.approx(2.0, rel=0.02)
    measured = confirmed.winner.measurements[Metric.LATENCY_P99]
    assert measured.value == pytest.approx(1.5e-3, rel=0.02)
    assert measured.low is not None
    assert len(measured.samples) >= MIN_PAIRS
    blocks = store.blocks(RUN.name, DEVICE)
    assert all(s.longest_seconds is not None for b in blocks for s in b.samples)


def test_the_longest_of_69_runs_is_the_99th_percentile_in_half_of_all_blocks() -> None:
    assert pytest.approx(0.5, abs=0.001) == 0.99**SINGLE_RUNS
    assert quantile_samples(0.99) <= MIN_PAIRS * SINGLE_RUNS
    random = np.random.default_rng(4)
    longest = random.exponential(size=(4001, SINGLE_RUNS)).max(axis=1)
    assert np.median(longest) == pytest.approx(-np.log(0.01), rel=0.02)


def test_of_too_few_runs_there_is_no_99th_percentile() -> None:
    known = Entry(
        "t",
        QUICK,
        Outcome.OK,
        measurements={Metric.LATENCY: Measurement(Metric.LATENCY, 1e-3, Method.MEASURED)},
    )
    sample = BlockSample("t", 1e-3, 1e-3, 10, 0, longest_seconds=2e-3)
    for blocks, reported in ((9, False), (10, True)):
        found = {m.metric for m in measured_in_blocks(known, [sample] * blocks)}
        assert (Metric.LATENCY_P99 in found) is reported, "662 runs are needed"


def test_a_limit_of_the_99th_percentile(store: Store) -> None:
    traits = {
        BASELINE: Traits(seconds=1e-3),
        QUICK: Traits(seconds=0.5e-3, longest=9e-3),
        FRUGAL: Traits(seconds=0.8e-3, longest=1e-3),
    }
    limits = Constraints(max_p99=2e-3)
    imagined = Imagined(store, ImaginedExecutor(traits), [QUICK, FRUGAL], constraints=limits)
    _, confirmed = imagined.run()
    assert confirmed.winner.candidate == FRUGAL
    trials = store.trials(run=RUN.name, device=DEVICE, phase=Phase.CONFIRM)
    (rejected,) = (t for t in trials if t.candidate_id == QUICK.id)
    assert rejected.outcome is Outcome.REJECTED
    told = r"99th percentile of latency \S+ ms is above the limit of 2\.00 ms"
    assert re.fullmatch(f"on the confirmation data, {told}", rejected.message)


def test_the_time_to_the_first_outputs(store: Store) -> None:
    traits = {
        BASELINE: Traits(seconds=1e-3, load=0.2),
        QUICK: Traits(seconds=0.5e-3, load=0.4),
        FRUGAL: Traits(seconds=1.5e-3, load=0.1),
    }
    imagined = Imagined(store, ImaginedExecutor(traits), [QUICK, FRUGAL], objective=Objective.LOAD)
    _, confirmed = imagined.run()
    assert confirmed.winner.candidate == FRUGAL
    assert confirmed.gain is not None
    assert confirmed.gain.value == pytest.approx(2.0, rel=0.02)
    assert confirmed.winner.measurements[Metric.FIRST_RESULT].low is not None
    blocks = store.blocks(RUN.name, DEVICE)
    assert all(s.load_seconds is not None for b in blocks for s in b.samples)


def test_a_limit_of_the_time_to_the_first_outputs(store: Store) -> None:
    traits = {QUICK: Traits(seconds=0.5e-3, load=0.4), FRUGAL: Traits(seconds=0.8e-3)}
    limits = Constraints(max_load=0.3)
    imagined = Imagined(store, ImaginedExecutor(traits), [QUICK, FRUGAL], constraints=limits)
    found, confirmed = imagined.run()
    assert confirmed.winner.candidate == FRUGAL
    messages = {entry.candidate: entry.message for entry in found.entries}
    assert messages[QUICK] == "time to the first outputs 400 ms is above the limit of 300 ms"


def test_a_batch_gives_a_result_for_each_of_its_samples(store: Store) -> None:
    batch = replace(QUICK, batch=8)
    traits = {BASELINE: Traits(seconds=1e-3), QUICK: Traits(seconds=0.8e-3), batch: Traits(4e-3)}
    imagined = Imagined(
        store, ImaginedExecutor(traits), [QUICK, batch], objective=Objective.THROUGHPUT
    )
    _, confirmed = imagined.run()
    assert confirmed.winner.candidate == batch
    assert confirmed.winner.candidate.label() == "fake 0.001 s float32, batch 8"
    assert confirmed.winner.value(Metric.THROUGHPUT) == pytest.approx(2000, rel=0.02)
    assert confirmed.gain is not None
    assert confirmed.gain.value == pytest.approx(2.0, rel=0.02)
    assert confirmed.ratio is not None
    assert confirmed.ratio.value == pytest.approx(0.25, rel=0.02)


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


def test_loading_cannot_be_measured_in_an_emulator(tmp_path: Path) -> None:
    request = TuneRequest(str(tmp_path / "model.onnx"), ("dsp",), objective=Objective.LOAD)
    limited = replace(request, objective=Objective.LATENCY, constraints=Constraints(max_load=0.1))
    for asked in (request, limited):
        with pytest.raises(OptionError) as caught:
            check_request(
                asked, load_profiles(), availability=lambda _: Availability(available=True)
            )
        assert str(caught.value) == (
            "How long loading takes on dsp cannot be measured: its code runs in an emulator. "
            "Leave out the device, or --objective load and --max-load."
        )
