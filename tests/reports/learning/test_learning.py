"""How good cost models are, for people and for programs, and the picture of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from farm.errors import StoreError
from reports.learning.quality import quality_json, quality_lines, quality_table, unlearned_line
from reports.learning.scatter import scatter_lines, scatter_svg
from tests.db.samples import CALIBRATION, COST_MODEL
from tests.reports.test_tables import rendered
from tuner.learning.report import HeldOut, QuantityReport, Report

LATENCY = QuantityReport("latency", 0.081, 0.21, 0.912, 0.31, 280, 16, is_used=True)
MEMORY = QuantityReport("peak_memory", 0.3, 0.2, 0.88, 0.5, 280, 16, is_used=False)
INSIDE = HeldOut("kws", "onnxruntime-cpu float32", 1.1e-4, 0.8e-4, 1.4e-4, 1.0e-4)
OUTSIDE = HeldOut("resnet & co", "openvino-runtime float32", 2e-2, 1.8e-2, 2.2e-2, 4e-2)
REPORT = Report((LATENCY, MEMORY), (INSIDE, OUTSIDE))


def test_a_report_comes_out_of_the_store_as_it_went_in() -> None:
    assert Report.of_json(REPORT.to_json()) == REPORT
    assert REPORT.of("latency") is LATENCY
    assert REPORT.of("energy") is None


def test_what_is_no_number_is_left_out() -> None:
    strange = Report(
        (replace(LATENCY, width=float("inf")),), (replace(INSIDE, high=float("nan")),)
    )
    assert Report.of_json(strange.to_json()) == Report()


@pytest.mark.parametrize("text", ["", "{}", '{"quantities": [{"a": 1}], "held_out": []}'])
def test_other_texts_are_no_report(text: str) -> None:
    with pytest.raises(StoreError, match="The next run makes a new one"):
        Report.of_json(text)


def test_the_table_says_which_figures_are_used() -> None:
    latency, memory = (
        re.split(" {2,}", line.strip())
        for line in rendered(quality_table(REPORT), width=120).splitlines()
        if "%" in line and "cover" not in line
    )
    assert latency == ["latency", "8.1%", "21.0%", "91.2%", "±31%", "280", "16", "learned"]
    assert memory[-1] == "roofline"


def test_lines_say_what_is_not_believed() -> None:
    first, unused, inside = quality_lines(COST_MODEL, REPORT)
    assert first.startswith(f"Version {COST_MODEL.id} of cpu, made 2026-11-21")
    assert first.endswith("from 40 trials and 900 kernels.")
    assert unused.endswith("models that were left out: peak_memory.")
    assert inside.startswith(
        "Of 2 candidates of models that were left out, the latencies of 50.0%"
    )
    (_, few) = quality_lines(COST_MODEL, Report())
    assert few == "Too few models were measured to say how good it is."


def test_a_device_of_which_nothing_was_learnt() -> None:
    assert unlearned_line("cpu", None).endswith("farm devices calibrate cpu")
    assert unlearned_line("cpu", CALIBRATION).startswith("cpu: roofline only")


def test_the_object_for_programs() -> None:
    found = json.loads(quality_json("cpu", CALIBRATION, COST_MODEL, REPORT))
    assert found["version"]["id"] == COST_MODEL.id
    assert found["quantities"][0]["error"] == 0.081
    assert found["held_out"][1]["measured"] == 4e-2
    assert json.loads(quality_json("cpu", None, None, Report()))["version"] is None


def test_the_plot_in_characters() -> None:
    lines = list(scatter_lines(REPORT.held_out))
    assert lines[-1] == "a kws          b resnet & co"
    plot = [line.split("|")[1] for line in lines if "|" in line]
    assert sum(line.count("a") for line in plot) == 1
    assert sum(line.count("b") for line in plot) == 1
    assert list(scatter_lines(())) == []


def test_models_that_meet_share_a_sign() -> None:
    other = replace(INSIDE, model="vww")
    assert any("#" in line for line in scatter_lines([INSIDE, other]))


def test_the_picture_is_valid_and_names_everything() -> None:
    svg = scatter_svg(REPORT.held_out, "cpu")
    root = ET.fromstring(svg)
    texts = [element.text or "" for element in root.iter() if element.text]
    assert "resnet & co" in texts
    assert any("predicted 20.0 ms, measured 40.0 ms" in text for text in texts)
    with pytest.raises(ValueError, match="no picture"):
        scatter_svg((), "cpu")
