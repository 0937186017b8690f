"""JSON and CSV that programs read."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace

import pytest

from farm.accuracy.result import Worst
from farm.candidate import Candidate, to_json
from farm.devices.profile import Availability, load_profiles
from farm.measurement import Estimate
from reports.export import as_csv, as_json
from reports.machine_readable import (
    benchmark_json,
    comparison_json,
    devices_json,
    estimate_json,
    tune_json,
)
from reports.rows import result_rows
from tests.reports.values import (
    FAILED,
    IMPROVED,
    MISSING,
    NO_GAIN,
    PREDICTED,
    ROWS,
    WINNER,
    tune_result,
)
from tuner.bench import Benchmark
from tuner.racing.statistics import Comparison
from tuner.results import AccuracyComparison


def test_the_object_of_a_run() -> None:
    found = json.loads(tune_json(tune_result(IMPROVED, MISSING)))
    expected = ["run", "model", "devices", "output", "interrupted", "threads", "objective"]
    assert list(found) == expected
    assert found["model"] == {"path": "/models/kws.onnx", "sha256": "ab" * 32}
    cpu, _ = found["devices"]
    assert cpu["status"] == "tuned"
    assert cpu["verdict"] == "improved"
    assert cpu["ratio"] == {"estimate": 2.97, "ci": [2.91, 3.02]}
    assert cpu["accuracy"] == {
        "metric": "top1",
        "baseline": 0.93,
        "original": 0.93,
        "winner": 0.925,
        "samples": 240,
        "on_real_data": True,
        "worst": None,
        "notes": [],
    }


def test_predictions_stand_beside_measurements() -> None:
    device = replace(IMPROVED, winner=replace(WINNER, predicted=PREDICTED))
    (cpu,) = json.loads(tune_json(tune_result(device)))["devices"]
    assert cpu["baseline"]["predicted"] == {}
    assert cpu["winner"]["predicted"]["latency"] == {
        "value": 4.8e-5,
        "low": 3.9e-5,
        "high": 6.1e-5,
        "unit": "s",
        "basis": "learned",
        "rows": 412,
    }
    columns, cells = result_rows([replace(ROWS[0], predicted=PREDICTED)], lambda _: "{}")
    row = dict(zip(columns, next(cells), strict=True))
    assert (row["predicted_latency"], row["predicted_latency_basis"]) == (4.8e-5, "learned")
    assert row["predicted_energy"] is None


def test_what_agrees_least_with_the_baseline() -> None:
    worst = Worst("boxes", 1, 3, 0.9731, 26)
    accuracy = AccuracyComparison("agreement", 1.0, 1.0, 0.9731, 26, True, worst, ("A note.",))
    found = json.loads(tune_json(tune_result(replace(IMPROVED, accuracy=accuracy))))
    (cpu,) = found["devices"]
    assert cpu["accuracy"]["worst"] == {
        "output": "boxes",
        "axis": 1,
        "channel": 3,
        "value": 0.9731,
        "samples": 26,
    }
    assert cpu["accuracy"]["notes"] == ["A note."]


def test_the_rest_of_a_run() -> None:
    found = json.loads(tune_json(tune_result(IMPROVED, MISSING)))
    cpu, gpu = found["devices"]
    assert cpu["trials"] == {"ok": 31, "rejected": 2, "compile-error": 1}
    latency = cpu["winner"]["latency"]
    assert (latency["value"], latency["unit"], latency["method"]) == (5.12e-5, "s", "measured")
    assert latency["ci"] == [pytest.approx(5.0176e-5), pytest.approx(5.2224e-5)]
    assert cpu["winner"]["energy"]["method"] == "modelled"
    assert set(gpu) == set(cpu), "every device has the same keys"
    assert (gpu["status"], gpu["reason"]) == ("unavailable", "no NVIDIA GPU was found")
    assert gpu["remedy"] == "run on a machine with one"
    assert (gpu["baseline"], gpu["winner"], gpu["ratio"], gpu["trials"]) == (None, None, None, {})


def test_the_baseline_as_the_winner_has_no_ratio() -> None:
    (device,) = json.loads(tune_json(tune_result(NO_GAIN)))["devices"]
    assert device["ratio"] is None
    assert device["winner"] == device["baseline"]
    assert device["blocks"] == {"disturbed": 9, "tolerated": 3}


def test_a_failed_device_keeps_its_counts() -> None:
    (device,) = json.loads(tune_json(tune_result(FAILED)))["devices"]
    assert (device["status"], device["trials"]) == ("failed", {"timeout": 1})


def test_an_unbounded_interval_is_null() -> None:
    assert estimate_json(Estimate(2.0, 0.0, math.inf)) == {"estimate": 2.0, "ci": None}
    assert estimate_json(Estimate(2.0, 2.0, 2.0)) == {"estimate": 2.0, "ci": None}, "of counts"
    assert estimate_json(None) is None


def test_a_benchmark() -> None:
    measured = Benchmark("r", "cpu", "t", Candidate(), WINNER.measurements)
    found = json.loads(benchmark_json(measured))
    assert found["candidate"] == json.loads(to_json(Candidate()))
    assert found["measurements"]["latency"]["value"] == 5.12e-5


def test_a_comparison() -> None:
    found = json.loads(comparison_json(Comparison(Estimate(2, 1.9, 2.1), 0.01, 12), ("x", "y")))
    assert found == {
        "a": "x",
        "b": "y",
        "ratio": {"estimate": 2, "ci": [1.9, 2.1]},
        "p_value": 0.01,
        "pairs": 12,
    }


def test_devices() -> None:
    rows = [(load_profiles()["cpu"], Availability(available=True), ("openvino",))]
    (found,) = json.loads(devices_json(rows))
    assert (found["device"], found["available"], found["engines"]) == ("cpu", True, ["openvino"])


def test_results_as_rows() -> None:
    texts = {row.candidate_id: to_json(Candidate()) for row in ROWS}
    columns, cells = result_rows(ROWS, texts.__getitem__)
    rows = list(cells)
    (read, failed, pending) = csv.DictReader(io.StringIO("".join(as_csv.export(columns, rows))))
    assert read["latency"] == "5.12e-05"
    assert read["energy_method"] == "modelled"
    assert read["created_at"] == "2026-11-21T06:53:12.250000+00:00"
    assert read["candidate"] == to_json(Candidate())
    assert failed["message"] == 'it said "no, never"\nand fell'
    assert (pending["outcome"], pending["latency_method"]) == ("", "emulated")
    found = json.loads("".join(as_json.export(columns, rows)))
    assert found[0]["accuracy"] == 0.9251
    assert found[2]["outcome"] is None
