"""What did not run as it was planned: in another precision, unfused, or on another provider."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from farm.candidate import (
    Candidate,
    DynamicInt8,
    FloatType,
    OnnxRuntimeCuda,
    OnnxRuntimeTensorRt,
    OnnxRuntimeWebGpu,
    OpenVino,
    StaticInt8,
)
from farm.session.spec import WEBGPU_PROVIDER
from tuner.explain.conversions import DEQUANTISING, QUANTISING, Operators, is_conversion
from tuner.explain.explanation import Fallback, Side, TimedKernel, Unfused
from tuner.runs.record.operators import ModelOperator

_INT8 = "int8"
_FLOATS = frozenset(map(str, FloatType))
_MATRIX = frozenset({"Gemm", "MatMul"})
_STATIC = _MATRIX | {"Conv", "ConvTranspose"}
_PRODUCTS = _STATIC | {"GRU", "LSTM", "RNN"}
_KEPT = re.compile(r"Operator (?P<name>.+) stays in float: (?P<why>.+)\.", re.DOTALL)
# Engines that may leave operators to another provider: their own one, and what it is called.
_PROVIDERS = {
    OpenVino().kind: ("OpenVINOExecutionProvider", "OpenVINO"),
    OnnxRuntimeCuda().kind: ("CUDAExecutionProvider", "CUDA"),
    OnnxRuntimeTensorRt().kind: ("TensorrtExecutionProvider", "TensorRT"),
    OnnxRuntimeWebGpu().kind: (WEBGPU_PROVIDER, "The WebGPU provider"),
}


def fallbacks(side: Side, operators: Operators) -> Iterator[Fallback]:
    """Operators in another precision than the candidate asks for, and those elsewhere."""
    told = (_KEPT.fullmatch(note) for note in side.notes)
    reasons = {found["name"]: found["why"] for found in told if found}
    for name, kernels in _by_operator(side, operators).items():
        known = operators.get(name)
        planned = planned_precision(side.candidate, name, known) if known else ""
        computed = {kernel.precision for kernel in kernels} - {""}
        if planned and computed and computed <= _FLOATS - {planned}:
            share = side.share(sum(kernel.seconds for kernel in kernels))
            told_as = ", ".join(sorted(computed))
            yield Fallback(name, 1, planned, told_as, reasons.get(name, ""), share)
    wanted, who = _PROVIDERS.get(side.candidate.engine.kind, ("", ""))
    elsewhere = ((name, n) for name, n in side.assignment.items() if name != wanted)
    for provider, count in elsewhere if wanted else ():
        why = f"{who} did not take them, and the candidate allows that"
        yield Fallback("", count, wanted, provider, why, None)


def planned_precision(candidate: Candidate, name: str, operator: ModelOperator) -> str:
    """What a candidate asks an operator to compute in; "" where it leaves that open.

    Looked at are operators that multiply: what follows on them has kernels of few precisions.
    """
    precision = candidate.precision
    if _is_quantised(candidate, name, operator):
        return _INT8
    is_float = precision.float_type in (FloatType.BFLOAT16, FloatType.FLOAT16)
    return str(precision.float_type) if is_float and operator.op_type in _PRODUCTS else ""


def unfused(side: Side, operators: Operators) -> Iterator[Unfused]:
    """Operators of a statically quantised candidate that compute in float between integers.

    What they read is dequantised for them, and the next conversion after them quantises.
    """
    if not isinstance(side.candidate.precision.quantization, StaticInt8):
        return
    for at, kernel in enumerate(side.kernels):
        if kernel.precision not in _FLOATS or is_conversion(kernel, operators):
            continue
        before = [
            k
            for k in side.kernels[:at]
            if k.kind in DEQUANTISING and not set(k.operators).isdisjoint(kernel.operators)
        ]
        behind = _next_border(side.kernels[at + 1 :])
        if before and kernel.operators and behind and behind.kind in QUANTISING:
            chain = (*before, kernel, behind)
            seconds = sum(each.seconds for each in chain)
            name = kernel.operators[0]
            op_type = operators[name].op_type if name in operators else ""
            kinds = tuple(dict.fromkeys(each.kind for each in chain))
            yield Unfused(name, op_type, kinds, seconds, side.share(seconds))


def _next_border(kernels: Sequence[TimedKernel]) -> TimedKernel | None:
    """The first kernel that goes from floats to integers or back."""
    return next((k for k in kernels if k.kind in QUANTISING | DEQUANTISING), None)


def _is_quantised(candidate: Candidate, name: str, operator: ModelOperator) -> bool:
    match candidate.precision.quantization:
        case StaticInt8(keep_float=kept, products=products):
            asked = operator.op_type in _STATIC and operator.has_weights
            return name not in kept and (asked or (products and operator.op_type == "MatMul"))
        case DynamicInt8(keep_float=kept, convolutions=convolutions):
            types = _MATRIX | {"LSTM"} | ({"Conv"} if convolutions else set())
            return name not in kept and operator.op_type in types and operator.has_weights
        case _:
            return False


def _by_operator(side: Side, operators: Operators) -> Mapping[str, Sequence[TimedKernel]]:
    """The kernels that compute each operator, without those that only convert for it."""
    found: dict[str, list[TimedKernel]] = {}
    for kernel in side.kernels:
        if not is_conversion(kernel, operators):
            for name in kernel.operators:
                found.setdefault(name, []).append(kernel)
    return found
