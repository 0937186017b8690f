"""Merges convolutions that read the same tensor in the same way into one kernel call.

The columns of the input are then built once for all of them. Their weights are concatenated, and
the results are runs of one tensor. Pointwise convolutions have no columns, and merging them gains
next to nothing (``benchmarks/packages/siblings.py``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from farm.codegen.arithmetic import requantization, sums_fit
from farm.codegen.ops.integer.convolution import Convolution
from farm.codegen.program import (
    NO_SCRATCH,
    NO_WORK,
    Array,
    Binding,
    Call,
    Program,
    Step,
    Tensor,
    Work,
)
from farm.units import Bytes


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Tensors that are runs of one: no kernel, no memory of their own.

    inputs: one tensor with a single batch entry. outputs: its channels, in order.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH
    work: Work = NO_WORK

    def offsets(self) -> tuple[int, ...]:
        """The byte of the input where each output begins."""
        return tuple(accumulate((t.bytes for t in self.outputs[:-1]), initial=0))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The channels of each output."""
        ends = np.cumsum([tensor.shape[1] for tensor in self.outputs])[:-1]
        return tuple(np.split(inputs[0], ends, 1))

    def call(self, bind: Binding) -> Call:
        """Nothing is called."""
        raise NotImplementedError("parts have no kernel")


def merge_siblings(program: Program, *, pointwise: bool = False) -> Program:
    """The same program with siblings merged; the very same one where there are none.

    pointwise: merge those, too.
    """
    groups: dict[Hashable, list[Convolution]] = {}
    outputs = {tensor.name for tensor in program.outputs}  # each has an array of its own
    for step in program.steps:
        if not isinstance(step, Convolution) or step.outputs[0].name in outputs:
            continue
        if _is_mergeable(step, pointwise):
            groups.setdefault(_signature(step), []).append(step)
    merged: dict[Step, tuple[Step, ...]] = {}
    for siblings in groups.values():
        if len(siblings) > 1 and (product := _merged(siblings)) is not None:
            parts = Parts(product.outputs, tuple(s.outputs[0] for s in siblings))
            merged |= dict.fromkeys(siblings[1:], ()) | {siblings[0]: (product, parts)}
    if not merged:
        return program
    pairs = [
        (replacement, operator)
        for step, operator in zip(program.steps, program.operators, strict=True)
        for replacement in merged.get(step, (step,))
    ]
    return replace(
        program,
        steps=tuple(step for step, _ in pairs),
        operators=tuple(operator for _, operator in pairs),
    )


def _is_mergeable(step: Convolution, pointwise: bool) -> bool:  # noqa: FBT001
    """Whether columns are built, and the result can be a run of a larger one."""
    y = step.outputs[0]
    alone = step.groups == 1 and step.skip is None and y.shape[0] == 1
    columns = step.weights.shape[2:] != (1, 1)
    return alone and y.shape[1] % 4 == 0 and (columns or pointwise)


def _signature(step: Convolution) -> Hashable:
    """What siblings have in common: input, window, limits."""
    window = (step.weights.shape[2:], step.strides, step.pads, step.dilations)
    return (
        step.inputs[0].name,
        step.outputs[0].shape[2:],
        window,
        step.rule.lowest,
        step.rule.highest,
    )


def _merged(siblings: Sequence[Convolution]) -> Convolution | None:
    """One product for all; None where one rule cannot serve them.

    Their factors may lie too far apart, or their sums leave 32 bits with the rule's offset.
    """
    first = siblings[0]
    channels = [len(step.weights) for step in siblings]
    factors = np.concatenate([_factors(step) for step in siblings])
    zeros = np.repeat([step.outputs[0].quant.zero_point for step in siblings], channels)
    try:
        rule = requantization(factors, zeros, first.rule.lowest, first.rule.highest)
    except ValueError:
        return None
    bare = np.concatenate([step.bias - step.rule.offset.astype(np.int64) for step in siblings])
    bias = bare + rule.offset
    weights = np.concatenate([step.weights for step in siblings])
    if not sums_fit(weights, bias):
        return None
    batch, _, *positions = first.outputs[0].shape
    shape = (batch, sum(channels), *positions)
    y = replace(first.outputs[0], name=f"{first.outputs[0].name}.merged", shape=shape)
    return replace(first, outputs=(y,), weights=weights, bias=bias.astype(np.int32), rule=rule)


def _factors(step: Convolution) -> NDArray[np.float64]:
    """The real factors that a rule stands for, one per channel."""
    rule = step.rule
    factors = rule.multiplier.astype(np.float64) * 2.0 ** -(rule.shift + 15 + rule.post_shift)
    return np.broadcast_to(factors, (len(step.weights),))
