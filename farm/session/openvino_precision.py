"""In which precision OpenVINO computes, and whether it is the one that was asked for.

Children import this, and its text is a part of a delivered ``run.py``: it needs nothing but the
standard library, and is given OpenVINO's own objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_FLOATS = frozenset({"f32", "bf16", "f16", "f64"})
_INTEGERS = frozenset({"i8", "u8"})
# What has weights or multiplies matrices: only these have kernels of every precision.
_ARITHMETIC = frozenset(
    {"Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul", "RNNSeq",
     "RNNCell", "ScaledDotProductAttention",
     "Gemm", "LSTM_Seq", "LSTM_Cell", "scaled_dot_product_attention"}  # these on GPUs
)  # fmt: skip
# Constants and conversions have the precision of what they convert; they compute nothing.
_NO_ARITHMETIC = frozenset(
    {"Input", "Output", "Result", "Const", "Convert", "Reorder", "Reshape", "FakeQuantize"}
)
# In f32 whatever is asked for: recurrent layers in f16, small products of two results in bf16,
# and among integers transposed convolutions.
_FLOAT32_AT_TIMES = frozenset({"RNNSeq", "RNNCell", "MatMul"})
_FLOAT32_AMONG_INTEGERS = frozenset({"Deconvolution"})
_WITH_INTEGERS = frozenset({"Convolution", "GroupConvolution", "FullyConnected", "MatMul"})
# Of those planned in integers: without AMX, OpenVINO leaves a convolution of images in float.
_LEAST_SHARE = 0.5
_FUSED = "Subgraph"  # tells nothing of the products in it
# Of a model as it is read: what has integer weights, and what lies between it and these.
_QUANTISABLE = frozenset({"Convolution", "GroupConvolution", "MatMul"})
_DEQUANTISING = frozenset({"Multiply", "Subtract", "Convert", "Reshape", "Transpose"})
_TOLD = ("layerType", "runtimePrecision", "originalLayersNames")
_NAMED = 5  # operators named in a message


@dataclass(frozen=True, slots=True)
class Kernel:
    """One operator as OpenVINO runs it.

    precision: by OpenVINO's name, empty where it tells none. operators: names in the model of what
    it stands for. reads: names of the kernels whose results it reads.
    """

    name: str
    layer_type: str
    precision: str
    operators: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()

    @property
    def computes(self) -> bool:
        """Whether it is more than a constant or a conversion."""
        return self.layer_type not in _NO_ARITHMETIC


def kernels_of(compiled: Any) -> tuple[Kernel, ...]:  # noqa: ANN401  (openvino.CompiledModel)
    """The operators of a compiled model in the order in which they are executed."""
    return tuple(map(_kernel, compiled.get_runtime_model().get_ordered_ops()))


def _kernel(operator: Any) -> Kernel:  # noqa: ANN401  (openvino.Node)
    found = operator.get_rt_info()
    told = {name: _text(found[name]) for name in _TOLD if name in found}
    return Kernel(
        operator.get_friendly_name(),
        told.get("layerType", ""),
        told.get("runtimePrecision", ""),
        tuple(filter(None, told.get("originalLayersNames", "").split(","))),
        tuple(i.get_node().get_friendly_name() for i in operator.input_values()),
    )


def _text(value: object) -> str:
    return str(getattr(value, "value", value))


def quantised_in(model: Any) -> frozenset[str]:  # noqa: ANN401  (openvino.Model)
    """Names of the operators that have integer weights in a model as it was read."""
    able = (o for o in model.get_ops() if o.get_type_name() in _QUANTISABLE)
    return frozenset(o.get_friendly_name() for o in able if _weight_type(o) in _INTEGERS)


def _weight_type(operator: Any) -> str:  # noqa: ANN401  (openvino.Node)
    """Of what its second input is made from; empty for another result, which is no weight."""
    source = operator.input_value(1).get_node()
    while source.get_type_name() in _DEQUANTISING:
        source = source.input_value(0).get_node()
    constant = source.get_type_name() == "Constant"
    return str(source.get_output_element_type(0).get_type_name()) if constant else ""


def refusal(
    kernels: Sequence[Kernel], float_type: str, integers: str, quantised: frozenset[str]
) -> str:
    """One sentence on operators that compute in another precision than asked; empty if none does.

    float_type, integers: of the session. quantised: see :func:`quantised_in`.
    """
    computing = [k for k in kernels if k.computes]
    heavy = [k for k in computing if k.layer_type in _ARITHMETIC]
    others = _others(computing, heavy, float_type, integers)
    if others:
        return (
            f"OpenVINO computes {len(others)} of {len(computing)} operators in another precision "
            f"than {float_type}: {_listed(others)}."
        )
    if integers == "needed" and (reason := _too_few_integers(kernels, quantised)):
        return reason
    floats = [k for k in heavy if k.precision in _FLOATS] or computing
    if float_type == "f32" or any(k.precision == float_type for k in floats):
        return ""
    return f"OpenVINO computes none of {len(floats)} operators in {float_type}: {_listed(floats)}."


def _others(
    computing: Sequence[Kernel], heavy: Sequence[Kernel], float_type: str, integers: str
) -> list[Kernel]:
    """What computes in neither the float type nor the integers that were asked for."""
    free = _FLOAT32_AT_TIMES | (_FLOAT32_AMONG_INTEGERS if integers != "none" else frozenset())
    found = [k for k in computing if k.precision in _FLOATS - {float_type, "f32"}]
    found += [k for k in heavy if k.precision not in _FLOATS | _INTEGERS]
    if integers == "none":
        found += [k for k in heavy if k.precision in _INTEGERS]
    if float_type != "f32":
        found += [k for k in heavy if k.precision == "f32" and k.layer_type not in free]
    return found


def _too_few_integers(kernels: Sequence[Kernel], quantised: frozenset[str]) -> str:
    fused = {name for k in kernels if k.layer_type == _FUSED for name in k.operators}
    planned = max(len(quantised - fused), 1)
    able = [k for k in kernels if k.layer_type in _WITH_INTEGERS]
    floats = [k for k in able if k.precision not in _INTEGERS]
    found = len(able) - len(floats)
    if found > planned * _LEAST_SHARE:
        return ""
    return (
        f"OpenVINO computes {found or 'none'} of {planned} operators in int8: "
        f"{_listed(floats or [k for k in kernels if k.computes])}."
    )


def _listed(kernels: Sequence[Kernel]) -> str:
    shown = [f"{k.layer_type} {k.name} in {k.precision or 'none'}" for k in kernels[:_NAMED]]
    more = f" and {len(kernels) - _NAMED} more" if len(kernels) > _NAMED else ""
    return ", ".join(shown) + more
