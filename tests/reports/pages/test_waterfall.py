"""From the baseline to the winner: which candidates are steps, and what each of them changed."""

from __future__ import annotations

import pytest

from farm.candidate import Candidate, OnnxRuntimeCpu, to_json
from farm.measurement import Estimate
from reports.pages.sections.waterfall import Step, Tried, chain, changed, choices_of, waterfall


def tried(name: str, seconds: float = 1e-3, **choices: str) -> Tried:
    return Tried(name, name, {"engine.kind": "onnx", **choices}, seconds)


BASELINE = tried("baseline", 4e-3, threads="0", type="float")
WINNER = tried("winner", threads="1", type="int8")


def test_a_candidate_between_both_is_a_step() -> None:
    between = tried("between", 2e-3, threads="1", type="float")
    found = chain(BASELINE, WINNER, [BASELINE, between, WINNER])
    assert [each.trial for each in found] == ["baseline", "between", "winner"]
    assert changed(BASELINE, between, WINNER) == ("threads: 1",)
    assert changed(between, WINNER, WINNER) == ("type: int8",)


def test_the_longest_chain_is_shown() -> None:
    winner = tried("winner", a="1", b="1", c="1")
    baseline = tried("baseline", a="0", b="0", c="0")
    one, two = tried("one", a="1", b="0", c="0"), tried("two", a="1", b="1", c="0")
    other = tried("other", a="0", b="0", c="1")
    found = chain(baseline, winner, [other, two, one])
    assert [each.trial for each in found] == ["baseline", "one", "two", "winner"]


def test_what_agrees_in_nothing_more_is_no_step() -> None:
    elsewhere = tried("elsewhere", threads="2", type="float")
    third = Tried("third", "third", {"engine.kind": "other", "type": "int8"}, 1e-3)
    found = chain(BASELINE, WINNER, [elsewhere, third])
    assert [each.trial for each in found] == ["baseline", "winner"]


def test_an_engine_is_one_choice_whatever_options_it_has() -> None:
    winner = Tried(
        "w", "w", {"engine.kind": "c", "engine.level": "3", "precision.type": "int8"}, 1e-3
    )
    between = Tried(
        "b", "b", {"engine.kind": "c", "engine.level": "3", "precision.type": "f32"}, 2e-3
    )
    baseline = Tried("a", "a", {"engine.kind": "onnx", "precision.type": "f32"}, 4e-3)
    assert changed(baseline, between, winner) == ("engine: c",)
    assert changed(baseline, winner, winner) == ("engine: c", "type: int8")


def test_an_option_of_another_engine_agrees_in_nothing() -> None:
    winner = Tried("w", "w", {"engine.kind": "c", "engine.threads": "1"}, 1e-3)
    baseline = Tried("a", "a", {"engine.kind": "onnx", "engine.threads": "2"}, 4e-3)
    other = Tried("b", "b", {"engine.kind": "onnx", "engine.threads": "1"}, 2e-3)
    assert [each.trial for each in chain(baseline, winner, [other])] == ["a", "w"]


def test_choices_of_a_candidate_are_those_of_its_text() -> None:
    found = choices_of(to_json(Candidate(OnnxRuntimeCpu(threads=1))))
    assert found["engine.kind"] == "onnxruntime-cpu"
    assert found["engine.threads"] == "1"
    assert found["precision.quantization"] == "null"


def test_bars_add_up_to_the_winner() -> None:
    steps = [
        Step(BASELINE, (), None),
        Step(tried("between", 2e-3, threads="1"), ("threads: 1",), Estimate(2.0, 1.9, 2.1)),
        Step(WINNER, ("type: int8",), None),
    ]
    section = waterfall("run", "cpu", steps)
    assert section.chart is not None
    assert section.table is not None
    (trace,) = section.chart.traces
    assert sum(trace["x"][:-1]) == pytest.approx(trace["x"][-1]) == 1.0
    assert section.summary == (
        "In the search 4.00 ms became 1.00 ms, 4.00 times as fast (no interval), in 2 "
        "measured steps."
    )
    assert [row[4] for row in section.table.rows] == ["-", "2.00x [1.90, 2.10]", "2.00x"]


def test_what_the_search_found_stands_beside_what_was_confirmed() -> None:
    steps = [Step(BASELINE, (), None), Step(WINNER, ("threads: 1", "type: int8"), None)]
    found = waterfall("run", "cpu", steps, Estimate(3.9, 3.5, 4.3), Estimate(2.5, 2.1, 2.9))
    assert found.summary == (
        "In the search 4.00 ms became 1.00 ms, 3.90 times as fast [3.50, 4.30], in 1 measured "
        "step. The confirmation found 2.50x [2.10, 2.90]."
    )
