"""Runs as they truly stand, from the store alone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from db.records import Phase, RunKind, RunLease, RunStatus
from db.store import Store
from farm.errors import NotInStore, OptionError
from farm.measurement import Outcome
from reports.runs import overview_json
from tests.db.samples import FAST, RUN, SLOW, START, trial
from tests.tuner.runs.test_memory import TUNED
from tuner.request import TuneRequest
from tuner.runs.lease import own_lease
from tuner.runs.memory import Memory
from tuner.runs.overview import list_runs, overview

REQUEST = TuneRequest("/models/kws.onnx", ("cpu", "gpu"), budget_seconds=60.0, seed=7)
GONE = RunLease("tuned", "gone", "bench-1", 4711, own_lease("").process.rpartition("/")[0] + "/1")


@pytest.fixture
def tuned(store: Store) -> Store:
    """Beside a run that cannot be read, one that is at work on its second device."""
    memory = Memory("data").spent("cpu", 62.0).spent("gpu", 20.0)
    memory = memory.with_result(TUNED, "/out/cpu").with_confirmed("cpu")
    later = START + timedelta(seconds=1)
    run = replace(RUN, name="tuned", request=REQUEST.to_json(), created_at=later)
    store.create_run(replace(run, summary=memory.to_json(), active_seconds=82.0))
    for number, candidate in enumerate((FAST, SLOW)):
        store.lease_trial(trial(number, candidate, run, "gpu"))
    store.lease_trial(replace(trial(3, run=run, device="gpu"), phase=Phase.CONFIRM))
    store.commit_trial("trial-0", Outcome.OK)
    return store


def test_a_run_that_a_process_works_on(tuned: Store) -> None:
    taken = tuned.take_lease(own_lease("tuned"), lambda *_: False)
    found = overview(tuned, "tun")
    assert found.standing == list_runs(tuned, 1)[0]
    assert (found.standing.status, found.standing.lease) == (RunStatus.RUNNING, taken)
    assert (found.command, found.is_resumable, found.standing.gone) == ("", False, "")
    cpu, gpu = found.devices
    assert (cpu.status, cpu.used, cpu.left, cpu.trials) == ("tuned", 62.0, 0.0, {})
    assert (gpu.status, gpu.used, gpu.left) == ("unfinished", 20.0, 40.0)
    assert gpu.trials == {"ok": 1, "pending": 1}
    assert found.output == "runs/tuned"
    assert cpu.known is not None
    assert (cpu.known.label, cpu.known.output) == ("onnxruntime-cpu threads=1", "/out/cpu")


@pytest.mark.parametrize(
    ("lease", "gone"),
    [
        (GONE, "process 4711 on host bench-1 is gone"),
        (None, "no process works on it"),
    ],
)
def test_a_run_that_was_killed_is_interrupted(
    tuned: Store, lease: RunLease | None, gone: str
) -> None:
    if lease is not None:
        tuned.take_lease(lease, lambda *_: False)
    found = overview(tuned, "tuned")
    assert tuned.run("tuned").status is RunStatus.RUNNING
    assert (found.standing.status, found.standing.gone) == (RunStatus.INTERRUPTED, gone)
    assert found.standing.lease is None
    assert found.command == "farm tune --resume tuned"
    assert found.is_resumable


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.INTERRUPTED])
def test_a_run_that_ended_early_goes_on(tuned: Store, status: RunStatus) -> None:
    tuned.update_run("tuned", status=status)
    found = overview(tuned, "tuned")
    assert (found.standing.status, found.standing.gone) == (status, "")
    assert (found.command, found.is_resumable) == ("farm tune --resume tuned", True)


def test_a_finished_run_is_opened_by_more_time_alone(tuned: Store) -> None:
    tuned.update_run("tuned", status=RunStatus.FINISHED)
    found = overview(tuned, "tuned")
    assert (found.command, found.is_resumable) == (
        "farm tune --resume tuned --budget +TIME",
        False,
    )


def test_a_bench_has_no_budget_and_is_not_resumed(tuned: Store) -> None:
    request = replace(REQUEST, devices=("cpu",)).to_json()
    tuned.create_run(replace(RUN, name="bench", kind=RunKind.BENCH, request=request))
    for status, device in ((RunStatus.FAILED, "not begun"), (RunStatus.FINISHED, "measured")):
        tuned.update_run("bench", status=status)
        found = overview(tuned, "bench")
        assert (found.command, found.output) == ("", "")
        assert [(d.device, d.status, d.used, d.left) for d in found.devices] == [
            ("cpu", device, None, None)
        ]


@pytest.mark.parametrize("kind", [RunKind.BENCH, RunKind.NIGHTLY])
def test_what_became_of_a_device_where_nothing_is_searched(tuned: Store, kind: RunKind) -> None:
    request = replace(REQUEST, devices=("cpu",)).to_json()
    run = replace(RUN, name="bench", kind=kind, request=request)
    tuned.create_run(run)
    for number, candidate in enumerate((FAST, SLOW), start=4):
        tuned.lease_trial(replace(trial(number, candidate, run, "cpu"), phase=Phase.BENCH))
    assert overview(tuned, "bench").devices[0].status == "unfinished"
    tuned.commit_trial("trial-4", Outcome.OK)
    tuned.commit_trial("trial-5", Outcome.COMPILE_ERROR, "no kernel takes Det.")
    tuned.update_run("bench", status=RunStatus.FAILED)
    (failed,) = overview(tuned, "bench").devices
    assert (failed.status, failed.reason) == ("failed", "compile-error: no kernel takes Det.")
    shown = overview_json(overview(tuned, "bench"))
    assert json.loads(shown)["devices"][0]["reason"] == failed.reason
    tuned.update_run("bench", status=RunStatus.FINISHED)
    (measured,) = overview(tuned, "bench").devices
    assert (measured.status, measured.reason) == ("measured", "")


def test_a_run_that_this_version_cannot_read(tuned: Store) -> None:
    found = overview(tuned, RUN.name)
    assert found.request is None
    assert found.unreadable.startswith("This run cannot be resumed by this version of the farm")
    assert (found.command, found.devices) == ("", ())
    assert [s.run.name for s in list_runs(tuned)] == ["tuned", RUN.name], "newest first"


def test_names_that_fit_none_or_several(tuned: Store) -> None:
    tuned.create_run(replace(RUN, name="tuned-2"))
    assert overview(tuned, "tuned").standing.run.name == "tuned"
    with pytest.raises(OptionError, match="may be tuned, tuned-2"):
        overview(tuned, "tun")
    with pytest.raises(NotInStore, match="no run 'nosuch'"):
        overview(tuned, "nosuch")


def test_asking_needs_no_engine_and_no_cluster() -> None:
    heavy = "{'onnx', 'onnx_ir', 'onnxruntime', 'ray', 'numba', 'scipy', 'optuna'}"
    asked = "import sys, commands.store.runs, reports.runs"
    code = f"{asked}; sys.exit(str({heavy} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.stderr.strip() == "set()"


@pytest.mark.parametrize("text", ["no JSON", "[1, 2]", '{"devices": "cpu"}', '{"devices": 3}'])
def test_a_request_that_cannot_be_read_is_shown_as_far_as_it_goes(tuned: Store, text: str) -> None:
    tuned.update_run("tuned", request=text)
    assert "tuned" in [row.run.name for row in list_runs(tuned)]
    found = overview(tuned, "tuned")
    assert (found.devices, found.command) == ((), "")
    assert json.loads(overview_json(found))["request"] is not None
