"""Placement plans as people see them."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

from farm.plan.placement.record import PlannedPart, RefusedSplit
from reports.placement.figure import placement_svg
from reports.placement.tables import alternatives_table, parts_table, transfers_table
from reports.placement.words import plan_sentences, verdict
from tests.tools.placement_plans import CPU, DSP, seconds, split_plan


def test_a_split_that_pays() -> None:
    first, second = plan_sentences(split_plan())
    assert first == (
        f"A split pays: {DSP} and {CPU} in 2 parts cost 1.61 times less than {CPU} alone."
    )
    assert second == (
        "Predicted: 3.10 ms [2.79 ms, 3.41 ms], measured, 3.33% above 3.00 ms, and no plan has "
        "less than that, if the costs are right; planned in 10.0 ms."
    )


def test_a_split_within_the_uncertainty() -> None:
    whole = PlannedPart(CPU, ("a", "b", "c"), seconds(5e-3))
    refused = RefusedSplit((DSP, CPU), 2, seconds(4e-3))
    plan = replace(split_plan(), parts=(whole,), predicted=seconds(5e-3), refused=refused)
    assert verdict(plan) == (
        f"Everything runs at {CPU}: {DSP} and {CPU} in 2 parts would cost 1.25 times less, which "
        "is within the uncertainty of the costs."
    )


def test_where_one_place_is_best() -> None:
    plan = replace(split_plan(), parts=(PlannedPart(CPU, ("a", "b", "c"), seconds(3e-3)),))
    assert verdict(plan) == f"Everything runs at {CPU}: no split is predicted to cost less."


def test_where_no_place_runs_all() -> None:
    plan = replace(split_plan(), best_single=None)
    assert verdict(plan) == (
        f"No place runs the whole model: it is split over {DSP} and {CPU} in 2 parts."
    )


def test_the_tables() -> None:
    plan = split_plan(operators=tuple(f"op{at}" for at in range(9)))
    rows = parts_table(plan).texts
    assert rows[0] == [
        DSP,
        "8 operators, op0 to op7",
        "8.00 ms [7.20 ms, 8.80 ms]",
        "measured",
        "3",
    ]
    assert transfers_table(plan).texts == [[DSP, CPU, "border", "2,048", "100 µs"]]
    found = {row[0]: row[1] for row in alternatives_table(plan).texts}
    assert found["this plan"] == "9.10 ms"
    assert found[f"all at {CPU}"] == "17.0 ms"
    assert found["greedy"] == "-"


def test_the_picture_shows_parts_and_what_crosses() -> None:
    svg = placement_svg(split_plan())
    root = ET.fromstring(svg)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert DSP in texts
    assert CPU in texts
    assert "2 ops" in texts
    assert "2.00 KiB" in texts
    assert "predicted latency 3.10 ms [2.79 ms, 3.41 ms], measured" in texts


def test_a_hostile_name_is_text() -> None:
    plan = split_plan(operators=("<script>", "b\x1b[2J", "c"))
    assert "<script>" not in placement_svg(plan)
    assert "\x1b" not in placement_svg(plan)
