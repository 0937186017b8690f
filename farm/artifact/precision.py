"""What of a candidate's precision is written into its graph, and what its engine does."""

from __future__ import annotations

from farm.candidate import (
    Candidate,
    FloatType,
    GivenFormat,
    GpuEngine,
    GraphTypedEngine,
    Pipeline,
    Precision,
)
from farm.errors import CompileError


def graph_precision(candidate: Candidate) -> Precision:
    """What of the precision is written into the graph. Raises CompileError."""
    precision = float_of(candidate)
    if precision.quantization is None and precision.keeps_precision:
        return precision
    if FloatType.FLOAT64 in (precision.float_type, precision.given.float_type):
        raise CompileError(
            f"A model of {precision.given} is not converted to {precision.label()}: float64 is "
            "run as it was given only."
        )
    if isinstance(candidate.engine, Pipeline):
        _check_parts(candidate.engine, precision)
    if isinstance(candidate.engine, GpuEngine):
        _check_gpu(candidate.engine, precision)
    if precision.float_type is FloatType.BFLOAT16:
        raise CompileError(
            "ONNX Runtime's CPU provider has no bfloat16 kernels for this processor; use "
            "bfloat16 with an engine of OpenVINO."
        )
    if precision.float_type is FloatType.FLOAT16 and precision.quantization is not None:
        raise CompileError(
            f"float16 cannot be combined with {precision.quantization.kind} on the "
            "onnxruntime-cpu engine: its integer kernels read and write float32."
        )
    return precision


def _check_gpu(engine: GpuEngine, precision: Precision) -> None:
    """Raise CompileError for what an engine on a GPU does not compute in."""
    quantization = precision.quantization
    if quantization is not None or precision.float_type is FloatType.BFLOAT16:
        asked = precision.float_type if quantization is None else quantization.kind
        raise CompileError(
            f"The {engine.kind} engine computes in float32 or float16, and not in {asked}."
        )


def _check_parts(engine: Pipeline, precision: Precision) -> None:
    """Raise CompileError where parts would not all compute in the floats that are asked for."""
    others = [p.place for p in engine.parts if not isinstance(p.engine, GraphTypedEngine)]
    is_half = precision.float_type is FloatType.FLOAT16 and bool(others)
    if is_half or precision.float_type is FloatType.BFLOAT16:
        where = f" with a part at {others[0]}" if others else ""
        raise CompileError(
            f"A pipeline{where} does not compute in {precision.float_type}: its operators that "
            "are not quantised compute in float32."
        )


def float_of(candidate: Candidate) -> Precision:
    """The precision without arithmetic that the engine has an option for."""
    precision = candidate.precision
    if isinstance(candidate.engine, GraphTypedEngine | Pipeline):
        return precision
    given = precision.given if precision.given.is_half else GivenFormat.FLOAT32
    return Precision(quantization=precision.quantization, given=given)
