"""Nights as people and programs see them; ``golden/`` holds what they must look like."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from farm.measurement import Metric
from farm.text import printable
from reports.nightly.machine_readable import night_json
from reports.nightly.markdown import markdown
from reports.nightly.table import night_lines, night_table
from reports.nightly.words import value_text
from tests.reports.nightly.values import CUT, FINE, NEW, NIGHT, NONE, SAME, SLOWER
from tests.reports.test_tables import WIDTHS, check, rendered
from tuner.nightly.report import NightReport


@pytest.mark.parametrize("width", WIDTHS)
def test_a_night(width: int) -> None:
    check(
        f"night-{width}",
        rendered(night_table(NIGHT), *map(printable, night_lines(NIGHT)), width=width),
    )


@pytest.mark.parametrize("report", [NIGHT, FINE, NONE], ids=["night", "fine", "none"])
def test_markdown(report: NightReport, request: pytest.FixtureRequest) -> None:
    check(f"markdown-{request.node.callspec.id}", markdown(report))


def test_a_night_that_was_cut_short() -> None:
    assert markdown(CUT).startswith("## shop-floor: no change, and the night was cut short\n")
    assert list(night_lines(CUT))[1] == (
        "The night was cut short: what is missing here was not measured."
    )
    assert "- The night was cut short" in markdown(CUT)


def test_before_the_first_night() -> None:
    assert tuple(night_lines(NONE)) == NONE.notes


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        (Metric.LATENCY, 1.093e-3, "1.09 ms"),
        (Metric.CPU_SECONDS, 2e-3, "2.00 ms"),
        (Metric.PEAK_MEMORY, 2**20, "1.00 MiB"),
        (Metric.ENERGY, 1.2e-3, "1.20 mJ"),
        (Metric.THROUGHPUT, 12.34, "12.3 /s"),
        (Metric.THROUGHPUT, 1204.4, "1,204 /s"),
        (Metric.ACCURACY, 0.925, "0.9250"),
        (Metric.PACKETS, 28_096, "28,096 packets"),
        (Metric.LATENCY, None, "-"),
    ],
)
def test_values_have_their_units(metric: Metric, value: float | None, text: str) -> None:
    assert value_text(metric, value) == text


@pytest.mark.parametrize("metric", list(Metric))
def test_every_metric_can_be_shown(metric: Metric) -> None:
    assert value_text(metric, 1.0)


def test_json() -> None:
    found = json.loads(night_json(NIGHT))
    assert list(found) == [
        *("suite", "night", "started_at", "finished_at", "machine", "verdict", "exit_code"),
        *("notes", "cases"),
    ]
    assert (found["verdict"], found["exit_code"]) == ("regression", 1)
    assert found["started_at"] == "2026-11-29T03:00:04+00:00"
    slower, _, new, lost, following = found["cases"]
    assert slower == {
        "case": "detector",
        "model": "detector.onnx",
        "device": "cpu",
        "metric": "latency",
        "environment": None,
        "verdict": "regression",
        "sentence": SLOWER.sentence,
        "ratio": {"value": 1.031, "low": 1.024, "high": 1.038},
        "value": 1.093e-3,
        "good_value": 1.060e-3,
        "unit": "s",
        "p_value": 2e-7,
        "nights": 31,
        "change": {
            "id": "3f9c2a",
            "first_night": "shop-floor-20261128-030000",
            "ratio": {"value": 1.031, "low": 1.024, "high": 1.038},
            "pairs": 40,
            "causes": ["software"],
            "state": "confirmed",
            "note": "",
        },
        "run": "shop-floor-20261129-030000-detector",
        "candidate": "onnxruntime-cpu 1 thread float32",
        "seconds": 58.4,
        "notes": list(SLOWER.notes),
    }
    assert new["ratio"] == {"value": 0.998, "low": None, "high": None}
    assert (lost["ratio"], lost["value"], lost["run"]) == (None, None, None)
    assert following["environment"] == "next"


def test_json_of_no_night() -> None:
    found = json.loads(night_json(NONE))
    assert (found["night"], found["started_at"], found["exit_code"]) == (None, None, 3)


def test_what_passes_says_what_it_is() -> None:
    shown = rendered(night_table(replace(NIGHT, cases=(SAME, NEW))))
    assert "12.0 MiB" in shown
    assert "not yet" in shown
