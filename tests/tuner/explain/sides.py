"""Sides of an explanation that tests write down."""

from __future__ import annotations

from collections.abc import Mapping

from farm.candidate import Candidate, DynamicInt8, OnnxRuntimeCpu, Precision, StaticInt8
from farm.measurement import Measurement, Method, Metric, Outcome
from tuner.explain.explanation import Side, TimedKernel
from tuner.runs.record.operators import ModelOperator

FLOAT = Candidate(OnnxRuntimeCpu(threads=1))
DYNAMIC = Candidate(
    OnnxRuntimeCpu(threads=1), Precision(quantization=DynamicInt8(convolutions=True))
)
STATIC = Candidate(OnnxRuntimeCpu(threads=1), Precision(quantization=StaticInt8()))
OPERATORS = {
    "conv1": ModelOperator("Conv", has_weights=True),
    "relu1": ModelOperator("Relu", has_weights=False),
    "conv2": ModelOperator("Conv", has_weights=True),
    "sum": ModelOperator("Add", has_weights=False),
    "cast": ModelOperator("Cast", has_weights=False),
    "share": ModelOperator("Softmax", has_weights=False),
}


def kernel(
    kind: str, operators: str, microseconds: float, precision: str = "float32", name: str = ""
) -> TimedKernel:
    """operators: names with spaces between them."""
    names = tuple(operators.split())
    return TimedKernel(
        name or f"{kind} of {operators}", kind, names, precision, microseconds * 1e-6
    )


def side(
    candidate: Candidate,
    *kernels: TimedKernel,
    milliseconds: float | None = None,
    notes: tuple[str, ...] = (),
    assignment: Mapping[str, int] = {"CPUExecutionProvider": 3},
) -> Side:
    """A side whose latency is what its kernels take, unless it is given."""
    seconds = sum(each.seconds for each in kernels) if milliseconds is None else milliseconds / 1e3
    latency = Measurement(Metric.LATENCY, seconds, Method.MEASURED)
    method = Method.MEASURED if kernels else None
    return Side(
        "0123456789abcdef",
        "0123456789abcdef",
        "kws",
        "cpu",
        candidate,
        candidate.label(),
        Outcome.OK,
        "",
        latency,
        kernels,
        method,
        notes,
        assignment,
    )
