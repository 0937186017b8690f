"""Lowers functions of one and of two quantised values; see ``lower_products`` for the contract."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator

from farm.codegen.annotate import quantization_of
from farm.codegen.arithmetic import quantize, requantization, weighted_sum
from farm.codegen.forms import BLOCKED, PLAIN
from farm.codegen.ops.elementwise import (
    ChannelTable,
    Product,
    Table,
    WeightedAdd,
    unary_table,
)
from farm.codegen.program import Array, Quantization, Tensor
from farm.codegen.site import Site
from farm.codegen.source import Node, Value
from farm.compile.calibrate import Range


def table(site: Site) -> bool:
    """A function of one value: a table of its 256 results."""
    value, result = site.input, site.result
    form = site.form(value)
    x = site.forms.get(value, form)
    y = site.forms.new(result, form)
    results = unary_table(lambda reals: _evaluate(site.node, reals), x.quant, y.quant)
    site.forms.add(Table((x,), (y,), results))
    return True


def prelu(site: Site) -> bool:
    """A slope for negative values, one in all or one per channel."""
    value, result = site.input, site.result
    slope = site.constant(1)
    channels = value.shape[1] if len(value.shape) > 1 else 0
    if slope is None or slope.size not in (1, channels) or slope.ndim > len(value.shape):
        return False
    aligned = (1,) * (len(value.shape) - slope.ndim) + slope.shape
    if slope.size > 1 and aligned[1] != channels:
        return False
    form = site.form(value)
    x, y = site.forms.get(value, form), site.forms.new(result, form)
    tables = [unary_table(partial(_leaky, slope=s), x.quant, y.quant) for s in slope.flat]
    step = (
        Table((x,), (y,), tables[0])
        if slope.size == 1
        else ChannelTable((x,), (y,), np.stack(tables))
    )
    site.forms.add(step)
    return True


def _leaky(reals: Array, slope: np.float32) -> Array:
    return np.where(reals < 0, reals * slope, reals)


def addition(site: Site) -> bool:
    """A sum of two tensors, or of a tensor and a constant."""
    return _sum(site, 1)


def subtraction(site: Site) -> bool:
    """A difference."""
    return _sum(site, -1)


def _sum(site: Site, sign: int) -> bool:
    node, result = site.node, site.result
    if _is_scalar_function(site):
        return table(site)
    output = site.quantization(result)
    if len(node.changing) == 2:
        a, b, y = _pair(site, result)
        rule = weighted_sum(a.quant, b.quant, output, sign)
        site.forms.add(WeightedAdd((a, b), (y,), rule, None))
        return True
    constant = site.constant(1 if sign < 0 or site.constant(0) is None else 0)
    if constant is None or constant.ndim > len(result.shape):
        return False
    known = _constant_quantization(constant)
    rule = weighted_sum(site.quantization(site.input), known, output, sign)
    form = site.form(site.input) if site.input.shape == result.shape else PLAIN
    x, y = site.forms.get(site.input, form), site.forms.new(result, form)
    site.forms.add(WeightedAdd((x,), (y,), rule, quantize(constant, known)))
    return True


def product(site: Site) -> bool:
    """An element-wise product."""
    node, result = site.node, site.result
    if _is_scalar_function(site):
        return table(site)
    output = site.quantization(result)
    if len(node.changing) == 2:
        first, second = (site.quantization(value) for value in node.changing)
        rule = requantization(
            np.array([first.scale * second.scale / output.scale]), output.zero_point
        )
        a, b, y = _pair(site, result)
        site.forms.add(Product((a, b), (y,), rule, None, 0))
        return True
    constant = site.constant(1 if site.constant(0) is None else 0)
    if constant is None or constant.ndim > len(result.shape):
        return False
    known, first = _constant_quantization(constant), site.quantization(site.input)
    factor = np.array([first.scale * known.scale / output.scale])
    rule = requantization(factor, output.zero_point)
    form = site.form(site.input) if site.input.shape == result.shape else PLAIN
    x, y = site.forms.get(site.input, form), site.forms.new(result, form)
    step = Product((x,), (y,), rule, quantize(constant, known), known.zero_point)
    site.forms.add(step)
    return True


def division(site: Site) -> bool:
    """A division by a constant number."""
    return _is_scalar_function(site) and table(site)


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


def _evaluate(node: Node, reals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Results of a node whose only changing input is given, by ONNX's reference."""
    names = [value.name if value else "" for value in node.inputs]
    proto = helper.make_node(node.op_type, names, ["y"], **node.attributes)
    feeds = {v.name: v.constant for v in node.inputs if v is not None and v.constant is not None}
    feeds[node.changing[0].name] = reals
    evaluator = ReferenceEvaluator(proto, opsets={"": node.opset})
    with np.errstate(all="ignore"):
        results: Any = evaluator.run(None, feeds)
    return np.asarray(results[0], np.float32).reshape(-1)
