"""Finds what can be computed in one kernel with a convolution or matrix product.

A chain is a product and what directly follows it while nothing else reads between: a constant
that is added per channel, limits (Relu, Clip), the sum with another tensor of the same shape
that is already there (a residual connection), and limits again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farm.codegen.front.annotate import Annotated
from farm.codegen.front.source import Node, Value

PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Real values between which results are clamped."""

    lowest: float = -math.inf
    highest: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A product and what follows it.

    bias: constant that is added, [channels]. product: the tensor whose quantisation the product
    has, with its limits. skip: tensor that is added to a convolution; then ``output`` is the sum
    with its own limits, otherwise it is ``product``. absorbed: names of the operators after the
    first.
    """

    product: Value
    output: Value
    limits: Limits = Limits()
    bias: NDArray[np.generic] | None = None
    skip: Value | None = None
    sum_limits: Limits = Limits()
    absorbed: tuple[str, ...] = ()


def find_chains(annotated: Annotated) -> dict[str, Chain]:
    """The chain of every integer product, by the name of its operator."""
    return dict(_Finder(annotated).chains())


class _Finder:
    def __init__(self, annotated: Annotated) -> None:
        self._nodes = annotated.source.nodes
        self._quantized = annotated.quantizations
        self._rounded = annotated.rounded
        self._keep = annotated.keep_float
        self._readers = annotated.source.readers()
        self._results = {value.name for value in annotated.source.outputs}
        self._there = {value.name for value in annotated.source.inputs}

    def chains(self) -> list[tuple[str, Chain]]:
        found: list[tuple[str, Chain]] = []
        absorbed: set[str] = set()
        for node in self._nodes:
            if node.name in absorbed:
                continue
            if node.op_type in PRODUCTS and node.name not in self._keep:
                chain = self._chain(node)
                absorbed.update(chain.absorbed)
                found.append((node.name, chain))
                self._there.add(chain.output.name)
            self._there.update(value.name for value in node.outputs if value is not None)
        return found

    def _chain(self, node: Node) -> Chain:
        assert node.outputs[0] is not None
        chain = Chain(node.outputs[0], node.outputs[0])
        following = self._next(chain)
        bias = None if following is None else _channel_bias(following, node)
        takes_bias = bias is not None and not self._may_limit(chain.output)
        if following is not None and takes_bias and self._may_take(chain, following):
            chain = self._extended(chain, following, bias=bias)
        following = self._next(chain)
        limits = None if following is None else _limits(following)
        if following is not None and limits is not None and self._may_take(chain, following):
            chain = self._extended(chain, following, limits=self._both(chain.output, limits))
        following = self._next(chain) if node.op_type == "Conv" else None
        if following and (skip := self._skip(following, chain)):
            sum_ = replace(chain, skip=skip, output=_output(following))
            sum_ = replace(sum_, absorbed=(*chain.absorbed, following.name))
            chain = self._with_sum_limits(sum_)
        return chain

    def _may_take(self, chain: Chain, node: Node) -> bool:
        """Whether a chain stays in integers: a float operator after it is not part of it."""
        return _output(node).name in self._quantized or chain.product.name not in self._quantized

    def _extended(
        self,
        chain: Chain,
        node: Node,
        bias: NDArray[np.generic] | None = None,
        limits: Limits | None = None,
    ) -> Chain:
        output = _output(node)
        absorbed = (*chain.absorbed, node.name)
        return replace(
            chain,
            product=output,
            output=output,
            bias=chain.bias if bias is None else bias,
            limits=limits or chain.limits,
            absorbed=absorbed,
        )

    def _with_sum_limits(self, chain: Chain) -> Chain:
        following = self._next(chain)
        if following is None or (limits := _limits(following)) is None:
            return chain
        absorbed = (*chain.absorbed, following.name)
        limits = self._both(chain.output, limits)
        return replace(chain, output=_output(following), sum_limits=limits, absorbed=absorbed)

    def _may_limit(self, value: Value) -> bool:
        """Whether the pair that the model has after a value may be what remains of a Relu."""
        return value.name in self._rounded and self._quantized[value.name].zero_point in (0, 255)

    def _both(self, value: Value, limits: Limits) -> Limits:
        """Limits that follow those of a value's own quantisation, if the model rounds it."""
        if value.name not in self._rounded:
            return limits
        found = self._quantized[value.name]
        ends = ((end - found.zero_point) * found.scale for end in (0, 255))
        return Limits(*(min(max(end, limits.lowest), limits.highest) for end in ends))

    def _next(self, chain: Chain) -> Node | None:
        """The only reader of a chain's end, where its result may replace that end."""
        name = chain.output.name
        readers = self._readers.get(name, [])
        if len(readers) != 1 or name in self._results or readers[0].name in self._keep:
            return None
        return readers[0] if len(readers[0].outputs) == 1 else None

    def _skip(self, node: Node, chain: Chain) -> Value | None:
        """The other summand of a sum that can be added while the product is written."""
        needed = {chain.product.name, _output(node).name}
        if node.op_type != "Add" or len(node.changing) != 2 or not needed <= set(self._quantized):
            return None
        others = [value for value in node.changing if value.name != chain.output.name]
        if len(others) != 1:
            return None
        (other,) = others
        there = other.name in self._there and other.name in self._quantized
        return other if there and other.shape == chain.output.shape else None


def _output(node: Node) -> Value:
    assert node.outputs[0] is not None
    return node.outputs[0]


def _channel_bias(node: Node, product: Node) -> NDArray[np.generic] | None:
    """The constant of an addition that has one value per channel of the product, [channels]."""
    if node.op_type != "Add" or len(node.changing) != 1:
        return None
    constant = next(v.constant for v in node.inputs if v is not None and v.constant is not None)
    shape = _output(product).shape
    axis = 1 if product.op_type == "Conv" else len(shape) - 1
    full = (1,) * (len(shape) - constant.ndim) + constant.shape
    per_channel = tuple(size if i == axis else 1 for i, size in enumerate(shape))
    if constant.ndim > len(shape) or full not in {per_channel, (1,) * len(shape)}:
        return None
    return np.broadcast_to(constant.reshape(full), per_channel).reshape(-1)


def _limits(node: Node) -> Limits | None:
    if node.op_type == "Relu":
        return Limits(0.0)
    if node.op_type != "Clip" or len(node.changing) != 1:
        return None
    low, high = clip_limits(node)
    return Limits(low, high)


def clip_limits(node: Node) -> tuple[float, float]:
    """Limits of a Clip with constant limits, of any operator set version."""
    low, high = node.constant(1), node.constant(2)
    lowest = node.attributes.get("min", -math.inf) if low is None else float(low.item())
    highest = node.attributes.get("max", math.inf) if high is None else float(high.item())
    return float(lowest), float(highest)
