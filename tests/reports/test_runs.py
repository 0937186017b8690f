"""Runs as people and programs see them; ``golden/`` holds what they must look like."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console, RenderableType

from db.records import RunKind, RunLease, RunStatus
from farm.measurement import Estimate, Measurement, Method, Metric
from farm.prediction import Basis, Prediction
from reports.runs import RunsTable, gone_lines, overview_json, overview_table, runs_json
from tests.db.samples import MODEL, RUN, START
from tests.reports.test_tables import check
from tuner.goals import Constraints
from tuner.request import TuneRequest
from tuner.results import Status, Verdict
from tuner.runs.memory import DeviceMemory
from tuner.runs.overview import DeviceStanding, Overview, Standing

DONE = replace(RUN, status=RunStatus.FINISHED, finished_at=START + timedelta(seconds=130))
DONE = replace(DONE, active_seconds=118.25)
LEASE = RunLease(
    "kws-large-vocabulary-streaming-20261122-101500",
    "token",
    "bench-2.example",
    4711,
    "boot/1/2",
    START,
    START + timedelta(seconds=20),
)
AT_WORK = replace(RUN, name=LEASE.run, active_seconds=20.5)
KILLED = replace(RUN, name="kws-20261120-080000", active_seconds=3600.0)
BENCH = replace(RUN, name="kws-20261119-080000", kind=RunKind.BENCH, status=RunStatus.FAILED)
ROWS = (
    Standing(AT_WORK, MODEL, RunStatus.RUNNING, LEASE, ("cpu", "gpu", "dsp")),
    Standing(DONE, MODEL, RunStatus.FINISHED, None, ("cpu",)),
    Standing(
        KILLED,
        replace(MODEL, name="kws\x1b[31m"),
        RunStatus.INTERRUPTED,
        None,
        ("cpu",),
        "process 99 on host bench-1 is gone",
    ),
    Standing(BENCH, MODEL, RunStatus.FAILED, None, ("cpu",)),
)
LIMITS = Constraints(0.01, 1 << 20, 5e-3, 2e-3, allow_unjudged=True)
REQUEST = TuneRequest(
    "/home/engineer/models/keyword-spotting/kws.onnx",
    ("cpu", "gpu", "dsp"),
    "/home/engineer/data/kws.npz",
    {"batch": 1},
    constraints=LIMITS,
    max_trials=40,
    output="/home/engineer/models/keyword-spotting/out",
)
WINNER = DeviceMemory(
    Status.TUNED,
    "",
    Verdict.IMPROVED,
    "90ccf5f0a1b2c3d4",
    "62b4f7483e58",
    "openvino threads=4 streams=1 int8 per-channel minmax",
    Estimate(2.01, 1.97, 2.03),
    "/home/engineer/models/keyword-spotting/out/cpu",
)
GONE = DeviceMemory(Status.UNAVAILABLE, "no NVIDIA GPU is visible")
DEVICES = (
    DeviceStanding("cpu", "tuned", WINNER, 118.25, 1.75, {"ok": 30, "rejected": 9}),
    DeviceStanding("gpu", "unavailable", GONE, 0.0, 120.0, {}),
    DeviceStanding("dsp", "unfinished", None, 20.0, 0.0, {"pending": 1}),
)
SHOWN = Overview(ROWS[0], REQUEST, "", DEVICES, REQUEST.output, "")


def rendered(part: RenderableType, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(part)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("width", [80, 100, 160])
def test_runs(width: int) -> None:
    text = rendered(RunsTable(ROWS), width)
    assert all(row.run.name in text for row in ROWS), "names stay whole"
    check(f"runs-{width}", text)


def test_who_ended_without_a_word_is_said() -> None:
    said = "kws-20261120-080000 is interrupted: process 99 on host bench-1 is gone."
    assert gone_lines(ROWS) == [said]


@pytest.mark.parametrize("width", [80, 160])
def test_one_run(width: int) -> None:
    check(f"show-{width}", rendered(overview_table(SHOWN), width))


def test_the_best_so_far_of_an_interrupted_run_is_named() -> None:
    left = DeviceStanding("cpu", "unfinished", None, 20.0, 40.0, {"ok": 9}, "/home/out/cpu")
    found = replace(SHOWN, devices=(left,))
    line = "           the best so far, not confirmed, lies in /home/out/cpu\n"
    assert line in rendered(overview_table(found), 80)
    (device,) = json.loads(overview_json(found))["devices"]
    assert (device["output"], device["unconfirmed"]) == ("", "/home/out/cpu")


def test_one_run_that_goes_on() -> None:
    killed = replace(SHOWN, standing=ROWS[2], command="farm tune --resume kws-20261120-080000")
    text = rendered(overview_table(killed), 80)
    assert "status     interrupted; process 99 on host bench-1 is gone\n" in text
    assert text.endswith("go on      farm tune --resume kws-20261120-080000\n")
    done = replace(SHOWN, standing=ROWS[1], command="farm tune --resume kws --budget +TIME")
    assert "more time  farm tune --resume kws --budget +TIME\n" in rendered(
        overview_table(done), 80
    )


def test_one_run_that_cannot_be_read() -> None:
    other = Overview(ROWS[1], None, "This run is of another version.", (), "", "")
    text = rendered(overview_table(other), 80)
    assert "asked for  This run is of another version.\n" in text
    assert "model      kws (SHA-256 abababababab)\n" in text
    assert json.loads(overview_json(other))["model"]["path"] is None


def test_the_objects_for_programs() -> None:
    running, *_ = json.loads(runs_json(ROWS))
    assert running == {
        "run": LEASE.run,
        "kind": "tune",
        "status": "running",
        "gone": None,
        "model": "kws",
        "devices": ["cpu", "gpu", "dsp"],
        "started": "2026-11-21T06:53:12.250000+00:00",
        "seconds": 20.5,
    }
    shown = json.loads(overview_json(SHOWN))
    keys = ("model", "devices", "request", "finished", "lease", "output", "resumable", "resume")
    assert set(shown) == {*running, *keys}
    assert shown["lease"] == {
        "process": 4711,
        "host": "bench-2.example",
        "since": "2026-11-21T06:53:12.250000+00:00",
        "renewed": "2026-11-21T06:53:32.250000+00:00",
    }
    cpu, gpu, dsp = shown["devices"]
    assert cpu == {
        "device": "cpu",
        "status": "tuned",
        "reason": "",
        "verdict": "improved",
        "winner": {
            "trial": "90ccf5f0a1b2c3d4",
            "candidate": "62b4f7483e58",
            "label": WINNER.label,
        },
        "ratio": {"estimate": 2.01, "ci": [1.97, 2.03]},
        "budget": {"used": 118.25, "left": 1.75},
        "trials": {"ok": 30, "rejected": 9},
        "output": WINNER.output,
        "unconfirmed": "",
        "latency": None,
        "predicted": None,
    }
    assert (gpu["reason"], gpu["winner"], gpu["ratio"]) == (GONE.reason, None, None)
    assert (dsp["status"], dsp["verdict"]) == ("unfinished", None)


@pytest.mark.parametrize("ratio", [Estimate(2.0, 2.0, 2.0), Estimate(2.0, 0.0, float("inf"))])
def test_a_ratio_without_an_interval(ratio: Estimate) -> None:
    device = replace(DEVICES[0], known=replace(WINNER, ratio=ratio))
    shown = replace(SHOWN, devices=(device,))
    assert json.loads(overview_json(shown))["devices"][0]["ratio"]["ci"] is None
    assert "2.00 times as fast as the baseline\n" in rendered(overview_table(shown), 160)


def test_the_winner_stands_beside_what_was_predicted() -> None:
    said = Prediction(4.8e-5, 3.9e-5, 6.1e-5, "s", Basis.LEARNED, 412)
    device = replace(
        DEVICES[0],
        predicted=said,
        measured=Measurement(Metric.LATENCY, 5.12e-5, Method.MEASURED, 5.02e-5, 5.22e-5),
    )
    found = replace(SHOWN, devices=(device,))
    shown = rendered(overview_table(found), 160)
    assert "latency 51.2 µs [50.2, 52.2 µs], predicted 48.0 µs [39.0, 61.0 µs] (learned)" in shown
    (told,) = json.loads(overview_json(found))["devices"]
    assert (told["latency"]["value"], told["predicted"]["basis"]) == (5.12e-5, "learned")
