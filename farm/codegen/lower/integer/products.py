"""Lowers convolutions and matrix products on quantised tensors.

Every function appends the steps of a node, or raises ValueError with the reason why there is no
integer kernel for it, or why its numbers do not fit the rules of arithmetic.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from farm.codegen.arithmetic import WeightedSum, weighted_sum
from farm.codegen.front.fuse import Limits
from farm.codegen.front.source import Value
from farm.codegen.front.windows import window
from farm.codegen.lower.forms import BLOCKED, PLAIN
from farm.codegen.lower.integer.elementwise import channel_tables
from farm.codegen.lower.integer.weights import IntegerProduct, integer_product
from farm.codegen.lower.site import NoIntegerKernel, Site
from farm.codegen.ops.integer.convolution import Convolution
from farm.codegen.ops.integer.dense import Dense
from farm.codegen.program import Array, Quantization, Tensor


def convolution(site: Site) -> None:
    """A convolution with its chain."""
    node, chain = site.node, site.chain
    weights, scales = site.weights()
    span = window(node, weights.shape[2:])
    if chain is None or span is None:
        raise NoIntegerKernel("its windows are over more than two axes")
    # With one input channel, four taps of a row take the place of four channels.
    x = site.image(site.input, PLAIN if site.input.shape[1] == 1 else BLOCKED)
    skip = () if chain.skip is None else (_skip(site, chain.skip),)
    rule = _sum_rule(site) if skip else None
    constants = _integers(site, weights, scales, x, np.zeros(len(weights)))
    y = site.new_image(chain.output)
    step = Convolution(
        (x, *skip),
        (y,),
        constants.weights.reshape(*weights.shape[:2], *span.kernel),
        constants.bias,
        constants.rule,
        span.strides,
        span.pads,
        span.dilations,
        node.attributes.get("group", 1),
        rule,
    )
    site.forms.add(step)
    site.know_image(chain.output, y)


def _skip(site: Site, value: Value) -> Tensor:
    """The other summand of a fused sum."""
    if not site.forms.exists(value):
        raise ValueError(f"the other input of its sum, {value.name!r}, is not there yet")
    return site.image(value)


def _sum_rule(site: Site) -> WeightedSum:
    """How the product and the other summand are added."""
    chain = site.chain
    assert chain is not None
    assert chain.skip is not None
    output = site.quantization(chain.output)
    lowest, highest = integer_limits(chain.sum_limits, output)
    rule = weighted_sum(site.quantization(chain.product), site.quantization(chain.skip), output)
    return replace(rule, lowest=lowest, highest=highest)


def matmul(site: Site) -> None:
    """A matrix product with constant weights."""
    weights, scales = site.weights()
    if site.chain is None or weights.ndim != 2:
        raise NoIntegerKernel("its weights are no matrix")
    _dense(site, weights.T, None if scales is None else scales.T, np.zeros(weights.shape[1]))


def gemm(site: Site) -> None:
    """A general matrix product with constant weights and bias."""
    node = site.node
    weights, scales = site.weights()
    bias = site.constant(2)
    if site.chain is None or node.attributes.get("transA", 0):
        raise NoIntegerKernel("its first input is transposed")
    if len(node.inputs) > 2 and node.inputs[2] is not None and bias is None:
        raise NoIntegerKernel("its third input is not constant")
    if not node.attributes.get("transB", 0):
        weights, scales = weights.T, None if scales is None else scales.T
    shift = np.zeros(len(weights)) if bias is None else node.attributes.get("beta", 1.0) * bias
    if shift.size != 1 and shift.shape[-1] != shift.size:
        raise NoIntegerKernel("its third input is not one value for each output")
    shift = np.broadcast_to(shift.reshape(-1), (len(weights),))
    alpha = node.attributes.get("alpha", 1.0)
    _dense(site, weights * alpha, None if scales is None else scales * abs(alpha), shift)


def _dense(site: Site, weights: Array, scales: Array | None, bias: Array) -> None:
    assert site.chain is not None
    x = site.forms.get(site.input, PLAIN)
    constants = _integers(site, weights, scales, x, bias)
    y = site.forms.new(site.chain.output, PLAIN)
    site.forms.add(Dense((x,), (y,), constants.weights, constants.bias, constants.rule))


def _integers(
    site: Site, weights: Array, scales: Array | None, x: Tensor, bias: Array
) -> IntegerProduct:
    """The constants of a product, with the node's own bias and the chain's."""
    chain = site.chain
    assert chain is not None
    own = site.constant(2) if site.node.op_type == "Conv" else None
    total = bias.astype(np.float64)
    for part in (own, chain.bias):
        total = total if part is None else total + part.astype(np.float64)
    y = site.quantization(chain.product)
    limits = integer_limits(chain.limits, y)
    made = integer_product(weights, total, x.quant, y, scales, limits)
    if scales is not None and not made.is_given:
        site.notes.append(
            f"The weights of operator {site.node.name} are quantised anew: a package has 8 bits "
            "with a sign, one scale per output channel and no zero point."
        )
    return made


def batch_normalization(site: Site) -> None:
    """One weight per channel: a depthwise convolution of one tap, or a table per channel."""
    node = site.node
    value, result = site.input, site.result
    found = [constant for i in range(1, 5) if (constant := site.constant(i)) is not None]
    if len(value.shape) < 2 or len(found) < 4:
        raise NoIntegerKernel("its parameters are not constant, or it has no channels")
    scale, shift, mean, variance = found
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    if len(value.shape) not in (3, 4):
        pairs = zip(factor, shift - mean * factor, strict=True)
        channel_tables(site, [partial(_affine, a=a, b=b) for a, b in pairs])
        return
    x, y = site.image(value), site.new_image(result)
    weights = factor.reshape(-1, 1, 1, 1)
    constants = integer_product(weights, shift - mean * factor, x.quant, y.quant)
    one, zero = (1, 1), (0, 0, 0, 0)
    site.forms.add(
        Convolution(
            (x,),
            (y,),
            constants.weights,
            constants.bias,
            constants.rule,
            one,
            zero,
            one,
            len(factor),
            None,
        )
    )
    site.know_image(result, y)


def _affine(reals: Array, a: np.float32, b: np.float32) -> Array:
    return reals * a + b


def integer_limits(limits: Limits, y: Quantization) -> tuple[int, int]:
    """Limits of quantised values from real ones."""
    lowest, highest = (
        int(np.clip(np.rint(limit / y.scale) + y.zero_point, 0, 255))
        for limit in (limits.lowest, limits.highest)
    )
    return lowest, highest
