"""Lowers operators on float tensors: what is not quantised, or was asked to stay as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from farm.codegen.front.source import Node, UnsupportedOperator
from farm.codegen.lower.floats.products import lower_gemm, lower_matmul
from farm.codegen.lower.floats.recurrent import lower_recurrent
from farm.codegen.lower.floats.reductions import (
    lower_global_pool,
    lower_layer_normalization,
    lower_reduction,
    lower_softmax,
)
from farm.codegen.lower.floats.windows import lower_convolution, lower_pool, lower_transposed
from farm.codegen.lower.resize import interpolation_taps, resized_axes
from farm.codegen.ops.floats.elementwise import (
    MOST_LOOPS,
    BinaryFunction,
    FloatAffine,
    FloatBinary,
    FloatUnary,
    UnaryFunction,
    broadcast_loops,
)
from farm.codegen.ops.floats.reduce import Reduction
from farm.codegen.ops.floats.resample import FloatResample
from farm.codegen.program import Step, Tensor, View

Tensors = tuple[Tensor, ...]
Lowering = Callable[[Node, Tensors, Tensors], Iterator[Step]]


def lower_float(node: Node, inputs: Tensors, outputs: Tensors) -> tuple[Step, ...]:
    """Steps of an operator on float tensors.

    inputs: F32 PLAIN tensors of the node's inputs that are no constants, outputs: of those that
    are present. Tensors between the steps are named after the output.

    Raises UnsupportedOperator: an attribute that is not supported, a parameter that is no
    constant.
    """
    return tuple(_LOWERINGS[node.op_type](node, inputs, outputs))


def _unary(function: UnaryFunction, *parameters: tuple[str, float]) -> Lowering:
    """A function of one element. parameters: attributes that are alpha and beta, with defaults."""

    def lowering(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
        values = [float(node.attributes.get(name, default)) for name, default in parameters]
        alpha, beta = (*values, 0.0, 0.0)[:2]
        yield FloatUnary(inputs, outputs, function, alpha, beta)

    return lowering


def _binary(function: BinaryFunction) -> Lowering:
    def lowering(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
        if "axis" in node.attributes:
            raise UnsupportedOperator(node, f"it broadcasts as in operator set {node.opset}")
        a, b = node.inputs
        assert a is not None
        assert b is not None
        if len(broadcast_loops(outputs[0].shape, (a.shape, b.shape))[0]) > MOST_LOOPS:
            raise UnsupportedOperator(
                node, f"it broadcasts over more than {MOST_LOOPS} groups of axes"
            )
        yield FloatBinary(inputs, outputs, function, (a.constant, b.constant))

    return lowering


def _prelu(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    if node.opset >= 7:
        yield from _binary(BinaryFunction.PRELU)(node, inputs, outputs)
        return
    slope = node.constant(1)  # one for all, or one for each channel
    assert slope is not None
    positions = (1,) * (len(outputs[0].shape) - 2)
    yield FloatBinary(inputs, outputs, BinaryFunction.PRELU, (None, slope.reshape(-1, *positions)))


def _clip(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    if node.opset >= 11:
        lowest, highest = node.constant(1), node.constant(2)
    else:
        lowest, highest = node.attributes.get("min"), node.attributes.get("max")
    yield FloatUnary(
        inputs,
        outputs,
        UnaryFunction.CLIP,
        -np.inf if lowest is None else float(np.asarray(lowest).item()),
        np.inf if highest is None else float(np.asarray(highest).item()),
    )


def _gelu(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    is_tanh = node.attributes.get("approximate", "none") == "tanh"
    yield FloatUnary(inputs, outputs, UnaryFunction.GELU_TANH if is_tanh else UnaryFunction.GELU)


def _batch_normalization(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    if len(outputs) > 1 or node.attributes.get("training_mode", 0):
        raise UnsupportedOperator(node, "it is in training mode")
    given = [node.constant(position) for position in range(1, 5)]
    scale, shift, mean, variance = (each.astype(np.float64) for each in given if each is not None)
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    offset = shift - mean * factor
    yield FloatAffine(inputs, outputs, factor.astype(np.float32), offset.astype(np.float32))


def _pow(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """Powers; squares and cubes are products, as in ONNX Runtime."""
    base, exponent = node.inputs
    assert base is not None
    assert exponent is not None
    if exponent.constant is not None and exponent.constant.size == 1 and inputs:
        function = _POWERS.get(float(exponent.constant.item()))
        if function is not None and base.shape == outputs[0].shape:
            yield FloatUnary(inputs, outputs, function)
            return
    yield from _binary(BinaryFunction.POW)(node, inputs, outputs)


def _resize(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """One step for each axis that changes."""
    x, y = inputs[0], outputs[0]
    if node.attributes.get("mode", "nearest") not in ("linear", "bilinear", "cubic"):
        raise UnsupportedOperator(node, f"its mode is {node.attributes['mode']}")
    axes = resized_axes(node, x.shape, y.shape)
    if not axes:
        yield View(inputs, outputs)
        return
    for index, axis in enumerate(axes):
        shape = (*x.shape[: axis.axis], y.shape[axis.axis], *x.shape[axis.axis + 1 :])
        is_last = index == len(axes) - 1
        to = y if is_last else replace(y, name=f"{y.name}.{index}", shape=shape)
        yield FloatResample((x,), (to,), axis.axis, interpolation_taps(node, axis))
        x = to


_POWERS = {2.0: UnaryFunction.SQUARE, 3.0: UnaryFunction.CUBE}
_LOWERINGS: Mapping[str, Lowering] = {
    "Abs": _unary(UnaryFunction.ABS),
    "Add": _binary(BinaryFunction.ADD),
    "AveragePool": lower_pool,
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Conv": lower_convolution,
    "ConvTranspose": lower_transposed,
    "Div": _binary(BinaryFunction.DIV),
    "Erf": _unary(UnaryFunction.ERF),
    "Exp": _unary(UnaryFunction.EXP),
    "GRU": lower_recurrent,
    "Gelu": _gelu,
    "Gemm": lower_gemm,
    "GlobalAveragePool": lower_global_pool,
    "GlobalMaxPool": lower_global_pool,
    "HardSigmoid": _unary(UnaryFunction.HARD_SIGMOID, ("alpha", 0.2), ("beta", 0.5)),
    "HardSwish": _unary(UnaryFunction.HARD_SWISH),
    "LSTM": lower_recurrent,
    "LayerNormalization": lower_layer_normalization,
    "LeakyRelu": _unary(UnaryFunction.LEAKY_RELU, ("alpha", 0.01)),
    "MatMul": lower_matmul,
    "MaxPool": lower_pool,
    "Mul": _binary(BinaryFunction.MUL),
    "Neg": _unary(UnaryFunction.NEG),
    "PRelu": _prelu,
    "Pow": _pow,
    "ReduceMean": lower_reduction(Reduction.MEAN),
    "ReduceSum": lower_reduction(Reduction.SUM),
    "Relu": _unary(UnaryFunction.RELU),
    "Resize": _resize,
    "Sigmoid": _unary(UnaryFunction.SIGMOID),
    "Softmax": lower_softmax,
    "Sqrt": _unary(UnaryFunction.SQRT),
    "Sub": _binary(BinaryFunction.SUB),
    "Tanh": _unary(UnaryFunction.TANH),
    "Upsample": _resize,
}

FLOAT_OPERATORS = frozenset(_LOWERINGS)
"""Operators on float tensors. Of Resize and Upsample only those that are no movement."""
