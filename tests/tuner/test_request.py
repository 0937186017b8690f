"""What may be asked for, and that it survives as text."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import OptionError
from tuner.goals import Constraints, Objective
from tuner.request import TuneRequest

REQUEST = TuneRequest(model="/m.onnx", devices=("cpu",))

requests = st.builds(
    TuneRequest,
    model=st.text(),
    devices=st.lists(st.text(), min_size=1).map(tuple),
    data=st.text(),
    shapes=st.dictionaries(st.text(), st.integers(1, 2**40)),
    metric=st.text(),
    objective=st.sampled_from(Objective),
    constraints=st.builds(
        Constraints,
        max_accuracy_drop=st.floats(0, 1),
        max_memory=st.none() | st.integers(1, 2**50),
        max_latency=st.none() | st.floats(1e-9, 1e9),
        max_energy=st.none() | st.floats(1e-9, 1e9),
        max_cpu=st.none() | st.floats(1e-9, 1e9),
        min_throughput=st.none() | st.floats(1e-9, 1e9),
        max_p99=st.none() | st.floats(1e-9, 1e9),
        max_load=st.none() | st.floats(1e-9, 1e9),
    ),
    budget_seconds=st.floats(0.1, 1e6),
    max_trials=st.integers(0, 10**6),
    seed=st.integers(0, 2**31 - 1),
    output=st.text(),
    threads=st.integers(0, 2**10),
)


@given(requests)
def test_text_and_back(request: TuneRequest) -> None:
    assert TuneRequest.from_json(request.to_json()) == request


@given(requests)
def test_these_are_possible(request: TuneRequest) -> None:
    request.check()


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"max_batch": 0}, "--max-batch must lie between 1 and 4096, got 0."),
        ({"max_batch": 4097}, "--max-batch must lie between 1 and 4096, got 4097."),
        ({"max_batch": 10**20}, "--max-batch must lie between 1 and 4096, got 1"),
        (
            {"max_batch": 2},
            "--max-batch is for --objective throughput: in a batch each sample waits",
        ),
        ({"budget_seconds": 0.0}, "--budget must be above 0 seconds, got 0."),
        ({"budget_seconds": -1.0}, "--budget"),
        ({"budget_seconds": math.nan}, "--budget must be above 0 seconds and finite, got nan."),
        ({"budget_seconds": math.inf}, "--budget must be above 0 seconds and finite, got inf."),
        ({"threads": -1}, "--threads must be 1 or more, got -1."),
        ({"max_trials": -1}, "--trials must be 1 or more, got -1."),
        ({"seed": -1}, "--seed must lie between 0 and 2147483647, got -1."),
        ({"seed": 2**31}, "--seed"),
    ],
)
def test_impossible_requests(change: dict[str, float], option: str) -> None:
    with pytest.raises(OptionError) as caught:
        replace(REQUEST, **change).check()  # type: ignore[arg-type]
    assert str(caught.value).startswith(option)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_accuracy_drop": -0.1}, "--max-accuracy-drop must lie between 0 and 1, got -0.1."),
        ({"max_accuracy_drop": 1.1}, "--max-accuracy-drop must lie between 0 and 1, got 1.1."),
        ({"max_accuracy_drop": math.nan}, "--max-accuracy-drop must lie between 0 and 1"),
        ({"max_memory": 0}, "--max-memory must be above 0 bytes, got 0."),
        ({"max_latency": -1.0}, "--max-latency must be above 0 seconds, got -1.0."),
        ({"max_latency": math.nan}, "--max-latency must be above 0 seconds and finite, got nan."),
        ({"max_energy": math.inf}, "--max-energy must be above 0 joules and finite, got inf."),
        ({"max_cpu": 0.0}, "--max-cpu must be above 0 seconds, got 0.0."),
        ({"max_p99": -1.0}, "--max-p99 must be above 0 seconds, got -1.0."),
        ({"max_load": 0.0}, "--max-load must be above 0 seconds, got 0.0."),
        ({"min_throughput": 0.0}, "--min-throughput must be above 0 samples per second, got 0.0."),
        (
            {"min_throughput": math.inf},
            "--min-throughput must be above 0 samples per second and finite, got inf.",
        ),
    ],
)
def test_impossible_limits(change: dict[str, float], message: str) -> None:
    request = replace(REQUEST, constraints=Constraints(**change))  # type: ignore[arg-type]
    with pytest.raises(OptionError) as caught:
        request.check()
    assert str(caught.value).startswith(message)


def test_a_request_from_before_there_was_a_limit_of_threads_has_none() -> None:
    stored = json.loads(replace(REQUEST, threads=2).to_json())
    del stored["threads"]
    assert TuneRequest.from_json(json.dumps(stored)) == REQUEST
    assert REQUEST.threads == 0


@pytest.mark.parametrize("text", ["", "{}", '{"model": 1}', REQUEST.to_json()[:-3]])
def test_what_another_version_wrote(text: str) -> None:
    with pytest.raises(OptionError, match="cannot be resumed by this version"):
        TuneRequest.from_json(text)
