"""Lowers convolutions and matrix products on quantised tensors.

Every function appends the steps of a node and returns True, or returns False where there is no
integer kernel for it; a ValueError says that its numbers do not fit the rules of arithmetic.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from farm.codegen.arithmetic import WeightedSum, weighted_sum
from farm.codegen.forms import BLOCKED, PLAIN
from farm.codegen.fuse import Limits
from farm.codegen.ops.convolution import Convolution, Dense
from farm.codegen.program import Array, Quantization, Tensor
from farm.codegen.site import Site
from farm.codegen.source import Value
from farm.codegen.weights import IntegerProduct, integer_product
from farm.codegen.windows import window


def convolution(site: Site) -> bool:
    """A convolution with its chain."""
    node, chain = site.node, site.chain
    weights = site.constant(1)
    if chain is None or weights is None or weights.ndim not in (3, 4):
        return False
    if (span := window(node, weights.shape[2:])) is None:
        return False
    # With one input channel, four taps of a row take the place of four channels.
    x = site.image(site.input, PLAIN if site.input.shape[1] == 1 else BLOCKED)
    skip = () if chain.skip is None else (_skip(site, chain.skip),)
    rule = _sum_rule(site) if skip else None
    constants = _integers(site, weights, x, np.zeros(len(weights)))
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
    return True


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


def matmul(site: Site) -> bool:
    """A matrix product with constant weights."""
    weights = site.constant(1)
    if site.chain is None or weights is None or weights.ndim != 2:
        return False
    return _dense(site, weights.T, np.zeros(weights.shape[1]))


def gemm(site: Site) -> bool:
    """A general matrix product with constant weights and bias."""
    node = site.node
    weights = site.constant(1)
    bias = site.constant(2)
    given = len(node.inputs) > 2 and node.inputs[2] is not None
    if site.chain is None or weights is None or node.attributes.get("transA", 0):
        return False
    if given and bias is None:
        return False
    weights = weights if node.attributes.get("transB", 0) else weights.T
    shift = np.zeros(len(weights)) if bias is None else node.attributes.get("beta", 1.0) * bias
    if shift.size not in (1, len(weights)):
        return False
    shift = np.broadcast_to(shift.reshape(-1), (len(weights),))
    return _dense(site, weights * node.attributes.get("alpha", 1.0), shift)


def _dense(site: Site, weights: Array, bias: Array) -> bool:
    assert site.chain is not None
    x = site.forms.get(site.input, PLAIN)
    constants = _integers(site, weights, x, bias)
    y = site.forms.new(site.chain.output, PLAIN)
    site.forms.add(Dense((x,), (y,), constants.weights, constants.bias, constants.rule))
    return True


def _integers(site: Site, weights: Array, x: Tensor, bias: Array) -> IntegerProduct:
    """The constants of a product, with the node's own bias and the chain's."""
    chain = site.chain
    assert chain is not None
    own = site.constant(2) if site.node.op_type == "Conv" else None
    total = bias.astype(np.float64)
    for part in (own, chain.bias):
        total = total if part is None else total + part.astype(np.float64)
    y = site.quantization(chain.product)
    weight = site.node.inputs[1]
    assert weight is not None
    scales = site.annotated.weight_scales.get(weight.name)
    limits = integer_limits(chain.limits, y)
    return integer_product(weights, total, x.quant, y, scales, limits)


def batch_normalization(site: Site) -> bool:
    """One weight per channel: a depthwise convolution of one tap."""
    node = site.node
    value, result = site.input, site.result
    found = [constant for i in range(1, 5) if (constant := site.constant(i)) is not None]
    if len(value.shape) not in (3, 4) or len(found) < 4:
        return False
    scale, shift, mean, variance = found
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
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
    return True


def integer_limits(limits: Limits, y: Quantization) -> tuple[int, int]:
    """Limits of quantised values from real ones."""
    lowest, highest = (
        int(np.clip(np.rint(limit / y.scale) + y.zero_point, 0, 255))
        for limit in (limits.lowest, limits.highest)
    )
    return lowest, highest
