"""A space, and entries of a history, for tests of what is proposed from them."""

from __future__ import annotations

from farm.candidate import Candidate, FloatType
from farm.measurement import Measurement, Method, Metric, Outcome
from tuner.runs.history import Entry
from tuner.search.space import Space

SPACE = Space(
    ("onnxruntime-cpu", "openvino"),
    cores=2,
    openvino_float_types=(FloatType.FLOAT32, FloatType.BFLOAT16),
    quantizable={"static-int8": ("a", "b"), "dynamic-int8": ("b",), "weight-only-int4": ("b",)},
)


def entry(
    candidate: Candidate, ratio: float | None, outcome: Outcome = Outcome.OK, message: str = ""
) -> Entry:
    """One trial."""
    measured = {}
    if ratio is not None:
        measured = {Metric.LATENCY: Measurement(Metric.LATENCY, ratio, Method.MEASURED)}
    return Entry(candidate.id, candidate, outcome, message, "", measured, ratio)
