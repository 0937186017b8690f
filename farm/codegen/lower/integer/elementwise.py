"""Lowers functions of one and of two quantised values; see ``lower_integer`` for the contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator

from farm.codegen.arithmetic import quantize, requantization, weighted_sum
from farm.codegen.front.annotate import quantization_of
from farm.codegen.front.source import Node, Value
from farm.codegen.lower.forms import BLOCKED, PLAIN
from farm.codegen.lower.site import NoIntegerKernel, Site
from farm.codegen.ops.integer.elementwise import (
    ChannelTable,
    Product,
    Table,
    WeightedAdd,
    unary_table,
)
from farm.codegen.program import Array, Quantization, Tensor
from farm.compile.quantization.calibrate import Range


def table(site: Site) -> None:
    """A function of one value: a table of its 256 results."""
    value, result = site.input, site.result
    form = site.form(value)
    x = site.forms.get(value, form)
    y = site.forms.new(result, form)
    results = unary_table(lambda reals: _evaluate(site.node, reals), x.quant, y.quant)
    site.forms.add(Table((x,), (y,), results))


def prelu(site: Site) -> None:
    """A slope for negative values, one in all or one per channel."""
    value = site.input
    slope = site.constant(1)
    channels = value.shape[1] if len(value.shape) > 1 else 0
    if slope is None or slope.size not in (1, channels) or slope.ndim > len(value.shape):
        raise NoIntegerKernel("its slopes are not constant numbers, one or one per channel")
    aligned = (1,) * (len(value.shape) - slope.ndim) + slope.shape
    if slope.size > 1 and aligned[1] != channels:
        raise NoIntegerKernel("its slopes are not one per channel")
    channel_tables(site, [partial(_leaky, slope=each) for each in slope.flat])


def channel_tables(site: Site, functions: Sequence[Callable[[Array], Array]]) -> None:
    """A function of one value for each channel, or one for all."""
    form = site.form(site.input)
    x, y = site.forms.get(site.input, form), site.forms.new(site.result, form)
    tables = [unary_table(function, x.quant, y.quant) for function in functions]
    if len(tables) == 1:
        site.forms.add(Table((x,), (y,), tables[0]))
    else:
        site.forms.add(ChannelTable((x,), (y,), np.stack(tables)))


def _leaky(reals: Array, slope: np.float32) -> Array:
    return np.where(reals < 0, reals * slope, reals)


def addition(site: Site) -> None:
    """A sum of two tensors, or of a tensor and a constant."""
    _sum(site, 1)


def subtraction(site: Site) -> None:
    """A difference."""
    _sum(site, -1)


def _sum(site: Site, sign: int) -> None:
    node, result = site.node, site.result
    if _is_scalar_function(site):
        table(site)
        return
    output = site.quantization(result)
    if len(node.changing) == 2:
        a, b, y = _pair(site, result)
        rule = weighted_sum(a.quant, b.quant, output, sign)
        site.forms.add(WeightedAdd((a, b), (y,), rule, None))
        return
    is_first = site.constant(0) is not None
    constant = site.constant(0 if is_first else 1)
    if constant is None or constant.ndim > len(result.shape):
        raise NoIntegerKernel("its constant is no float32 tensor of its rank")
    given = site.quantization(site.input)
    constant = np.clip(constant, *_span_that_matters(given, output, sign, is_first=is_first))
    known = _constant_quantization(constant)
    if is_first:
        rule = weighted_sum(known, given, output, sign)
        rule = replace(rule, first=rule.second, second=rule.first)
    else:
        rule = weighted_sum(given, known, output, sign)
    form = site.form(site.input) if site.input.shape == result.shape else PLAIN
    x, y = site.forms.get(site.input, form), site.forms.new(result, form)
    site.forms.add(WeightedAdd((x,), (y,), rule, quantize(constant, known)))


def _span_that_matters(
    x: Quantization, y: Quantization, sign: int, *, is_first: bool
) -> tuple[float, float]:
    """Limits of a constant beyond which every sum y with x saturates, as with a mask of -1e9."""
    low, high = _ends(x)
    ends = _ends(y)
    margin = x.scale + y.scale  # for the rounding of the constant
    if sign > 0:
        lowest, highest = ends[0] - high, ends[1] - low
    elif is_first:
        lowest, highest = ends[0] + low, ends[1] + high
    else:
        lowest, highest = low - ends[1], high - ends[0]
    most = float(np.finfo(np.float32).max)  # which the constant's type holds
    return max(lowest - margin, -most), min(highest + margin, most)


def _ends(quantization: Quantization) -> tuple[float, float]:
    """The real values of 0 and 255."""
    low, high = (quantization.scale * (end - quantization.zero_point) for end in (0, 255))
    return low, high


def product(site: Site) -> None:
    """An element-wise product."""
    node, result = site.node, site.result
    if _is_scalar_function(site):
        table(site)
        return
    output = site.quantization(result)
    if len(node.changing) == 2:
        first, second = (site.quantization(value) for value in node.changing)
        rule = requantization(
            np.array([first.scale * second.scale / output.scale]), output.zero_point
        )
        a, b, y = _pair(site, result)
        site.forms.add(Product((a, b), (y,), rule, None, 0))
        return
    constant = site.constant(1 if site.constant(0) is None else 0)
    if constant is None or constant.ndim > len(result.shape):
        raise NoIntegerKernel("its constant is no float32 tensor of its rank")
    known, first = _constant_quantization(constant), site.quantization(site.input)
    factor = np.array([first.scale * known.scale / output.scale])
    rule = requantization(factor, output.zero_point)
    form = site.form(site.input) if site.input.shape == result.shape else PLAIN
    x, y = site.forms.get(site.input, form), site.forms.new(result, form)
    step = Product((x,), (y,), rule, quantize(constant, known), known.zero_point)
    site.forms.add(step)


def division(site: Site) -> None:
    """A division by a constant number."""
    if not _is_scalar_function(site):
        raise NoIntegerKernel("its divisor is no constant number")
    table(site)


def _is_scalar_function(site: Site) -> bool:
    """Whether a binary operator has one changing input and one constant number."""
    constants = [v.constant for v in site.node.inputs if v and v.constant is not None]
    alone = len(site.node.changing) == 1 and len(constants) == 1 and constants[0].size == 1
    return alone and site.input.shape == site.result.shape


def _pair(site: Site, result: Value) -> tuple[Tensor, Tensor, Tensor]:
    """Both inputs and the output of a binary operator, in one layout."""
    first, second = site.node.changing
    same = first.shape == second.shape == result.shape
    blocked = any(site.forms.has(value, BLOCKED) for value in (first, second))
    form = BLOCKED if same and blocked and len(result.shape) > 2 else PLAIN
    return (
        site.forms.get(first, form),
        site.forms.get(second, form),
        site.forms.new(result, form),
    )


def _constant_quantization(constant: Array) -> Quantization:
    lowest, highest = float(constant.min()), float(constant.max())
    return quantization_of(Range(min(lowest, 0.0), max(highest, 0.0)))


_OPSET_OF_GELU = 20  # ONNX Runtime had it before, as an operator of its own domain


def _evaluate(node: Node, reals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Results of a node whose only changing input is given, by ONNX's reference."""
    names = [value.name if value else "" for value in node.inputs]
    proto = helper.make_node(node.op_type, names, ["y"], **node.attributes)
    feeds = {v.name: v.constant for v in node.inputs if v is not None and v.constant is not None}
    feeds[node.changing[0].name] = reals
    # A whole model, because some functions are only defined for inputs whose types are known.
    given = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in feeds.items()
    ]
    made = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, reals.shape)]
    graph = helper.make_graph([proto], "function", given, made)
    opset = node.opset if node.domain == "ai.onnx" else _OPSET_OF_GELU
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    evaluator = ReferenceEvaluator(model)
    with np.errstate(all="ignore"):
        results: Any = evaluator.run(None, feeds)
    return np.asarray(results[0], np.float32).reshape(-1)
