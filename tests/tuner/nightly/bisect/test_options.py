"""Option by option from one candidate to another."""

from __future__ import annotations

from farm.candidate import (
    Candidate,
    DynamicInt8,
    FloatType,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVinoRuntime,
    Precision,
)
from tuner.nightly.bisect.options import options_between

GOOD = Candidate(OnnxRuntimeCpu(threads=1))


def test_nothing_differs() -> None:
    assert options_between(GOOD, GOOD) == ()


def test_each_has_one_more_and_the_last_is_the_bad_one() -> None:
    bad = Candidate(
        OnnxRuntimeCpu(threads=4, graph_level=GraphLevel.NONE, disabled_optimizers=("A", "B")),
        Precision(quantization=DynamicInt8()),
        rewritten=True,
    )
    found = options_between(GOOD, bad)
    assert [option.name for option in found] == [
        "threads 1 -> 4",
        "graph_level all -> none",
        "disabled_optimizers none -> A,B",
        "quantization none -> dynamic-int8",
        "rewritten false -> true",
    ]
    assert found[0].candidate == Candidate(OnnxRuntimeCpu(threads=4))
    assert found[-1].candidate == bad


def test_another_engine_is_one_option() -> None:
    bad = Candidate(OpenVinoRuntime(threads=2), Precision(float_type=FloatType.BFLOAT16))
    found = options_between(GOOD, bad)
    assert [option.name for option in found] == [
        "engine onnxruntime-cpu -> openvino-runtime",
        "float_type float32 -> bfloat16",
    ]
    assert found[0].candidate == Candidate(OpenVinoRuntime(threads=2))
    assert found[-1].candidate == bad
