"""Energy of real candidates by a counter; the counter itself is a stand-in."""

from __future__ import annotations

from dataclasses import replace

import pytest

import tests.rapl
from farm.candidate import Candidate
from farm.errors import InfrastructureError
from farm.measurement import Measurement, Method, Metric, Outcome
from tests import models
from tests.rapl import FakeRapl
from tests.workers import samples
from workers.jobs import BlockJob, DetailJob, TrialJob
from workers.meters.energy import NO_COUNTER
from workers.trials import places
from workers.trials.energy import odd_idle
from workers.trials.worker import Worker

IDLE_WATTS = 20.0  # of both packages of the stand-in


@pytest.fixture
def counted(worker: Worker) -> Worker:
    """A worker whose candidates are counted for a short time."""
    worker.prepare(samples.workload(models.mlp()))
    return worker


def job(trial_id: str = "t") -> TrialJob:
    return replace(samples.job(Candidate(), trial_id), counts_energy=True)


def by_metric(measurements: tuple[Measurement, ...]) -> dict[Metric, Measurement]:
    return {each.metric: each for each in measurements}


def test_a_trial_tells_its_energy_where_that_decides(counted: Worker, rapl: FakeRapl) -> None:
    with rapl.counting():
        report = counted.run_trial(job())
        uncounted = counted.run_trial(replace(job("u"), counts_energy=False))
    assert report.outcome is Outcome.OK, report.message
    found = by_metric(report.measurements)
    assert found[Metric.ENERGY].method is Method.MEASURED
    assert found[Metric.ENERGY].value > 0.0
    assert found[Metric.ENERGY_WINDOW].value >= 0.5
    assert found[Metric.IDLE_POWER].value == pytest.approx(IDLE_WATTS, rel=0.5)
    assert Metric.ENERGY not in by_metric(uncounted.measurements)


def test_members_of_a_block_share_its_idle_power(counted: Worker, rapl: FakeRapl) -> None:
    with rapl.counting():
        told = counted.run_block(BlockJob((job("a"), job("b")), counts_energy=True)).energies
        untold = counted.run_block(BlockJob((job("a"), job("b")))).energies
    assert told.keys() == {"a", "b"}
    assert len({each.idle_watts for each in told.values()}) == 1
    assert all(each.window_seconds >= 0.5 for each in told.values())
    assert any(each.joules > 0.0 for each in told.values())
    assert untold == {}


def test_a_counter_that_is_gone_ends_what_is_ranked_by_it(counted: Worker, rapl: FakeRapl) -> None:
    """It was there when the run began; a block without joules would say nothing of energy."""
    (rapl.packages[0] / "max_energy_range_uj").unlink()
    for begun in (
        lambda: counted.run_trial(job()),
        lambda: counted.run_block(BlockJob((job("a"),), counts_energy=True)),
    ):
        with pytest.raises(InfrastructureError, match=NO_COUNTER):
            begun()


def test_energy_that_the_counter_does_not_tell_is_no_value(
    counted: Worker, rapl: FakeRapl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that draw as much as idling does, by a counter that sees no processor time."""
    monkeypatch.setattr(tests.rapl, "_BUSY_WATTS", 0.0)
    with rapl.counting():
        report = counted.run_trial(job())
    found = by_metric(report.measurements)
    assert Metric.ENERGY not in found
    assert found[Metric.ENERGY_WINDOW].value >= 2.0, "a longer window was tried"
    (note,) = report.notes
    assert note.startswith("The energy of a run is below what the counter tells from idling")


def test_odd_idle_power_disturbs_a_block() -> None:
    assert odd_idle(20.0, 22.0) == odd_idle(22.0, 20.0) == ""
    told = "idle power was 29.6 W before and 20.1 W after energy was counted"
    assert odd_idle(29.6, 20.1) == told


def test_a_counter_that_fails_meanwhile(
    counted: Worker, rapl: FakeRapl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured besides stays; what is ranked by energy cannot go on."""
    monkeypatch.setattr(places, "energy_window", lambda profile: 0.1)  # it was there before
    (rapl.packages[0] / "energy_uj").unlink()
    report = counted.run_detail(DetailJob(job(), 20, 0.1))
    assert Metric.THROUGHPUT in by_metric(report.measurements)
    assert Metric.ENERGY not in by_metric(report.measurements)
    assert report.notes == (NO_COUNTER,)
    with pytest.raises(InfrastructureError, match=NO_COUNTER):
        counted.run_block(BlockJob((job(),), counts_energy=True))
    with pytest.raises(InfrastructureError, match=NO_COUNTER):
        counted.run_trial(job("t2"))
