"""What is told of kernels while others use the machine."""

from __future__ import annotations

from typing import Any

import pytest

from workers.engines.onnxruntime.profile import device_runs, undisturbed
from workers.engines.session import EngineError

Event = dict[str, Any]


def test_a_run_in_which_the_processor_was_taken_away_does_not_count() -> None:
    assert undisturbed([3e-6, 4e-6, 3e-6, 2.7e-3]) == pytest.approx(3.375e-6)


def test_ticks_of_the_clock_are_not_taken_for_disturbances() -> None:
    assert undisturbed([0.0, 0.0, 0.0, 1e-6]) == pytest.approx(0.25e-6)


def test_what_varies_stays() -> None:
    assert undisturbed([10e-6, 12e-6, 17e-6]) == pytest.approx(13e-6)


def _node(name: str, kind: str, begin: int, provider: str = "WebGpuExecutionProvider") -> Event:
    types = [{"float": [1, 4]}]
    told = {"op_name": kind, "provider": provider, "input_type_shape": types}
    return {"name": f"{name}_kernel_time", "cat": "Node", "ts": begin, "dur": 1, "args": told}


def _there(name: str, dur: int) -> Event:
    return {"name": name, "cat": "Api", "ts": 0, "dur": dur, "args": {}}


def _run(begin: int) -> Event:
    return {"name": "model_run", "cat": "Session", "ts": begin, "dur": 50, "args": {}}


RUNS = [
    event
    for begin in (100, 200)
    for event in (
        _run(begin),
        _node("a&b", "Conv", begin + 1),
        _node("shape", "Gather", begin + 3, "CPUExecutionProvider"),
    )
]


def test_kernels_of_a_device_have_its_own_times() -> None:
    there = [_there("a&b&Conv&Pack", 2), _there("a&b&Conv&Multiply", 30)]
    runs = device_runs([*RUNS, *there, *there])
    assert [[(e.name, e.kind, round(e.seconds * 1e6)) for e in run] for run in runs] == [
        [("a&b", "Conv", 2), ("a&b", "Conv", 30), ("shape", "Gather", 1)]
    ] * 2


@pytest.mark.parametrize("there", [[], [_there("a&b&Conv&Pack", 2)]])
def test_a_device_that_times_nothing_has_no_profile(there: list[Event]) -> None:
    with pytest.raises(EngineError, match=r"does not time its kernels"):
        device_runs([*RUNS, *there])
