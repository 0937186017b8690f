"""Operators as older operator sets spell them: with attributes where inputs came later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.packages.graphs.operators.proposal import Array, Proposal

Constants = Mapping[str, Array]


def spelled(proposal: Proposal, opset: int, constants: Constants) -> Proposal:
    """The operator with what an operator set below 13 wants as attributes.

    constants: values of constant inputs, by name. What that set cannot say stays as it is, and
    ONNX Runtime refuses it.
    """
    until, names = _ATTRIBUTES.get(proposal.op_type, (0, ()))
    if opset >= until:
        return proposal
    attributes = dict(proposal.attributes)
    for name, given in zip(names, proposal.inputs[1:], strict=False):
        if given:
            attributes[name] = _plain(constants[given])
    return replace(proposal, inputs=proposal.inputs[:1], attributes=attributes)


def _plain(array: Array) -> int | float | list[int] | list[float]:
    convert: Callable[[Any], Any] = float if array.dtype == np.float32 else int
    return convert(array) if array.ndim == 0 else [convert(each) for each in array]


_ATTRIBUTES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "Clip": (11, ("min", "max")),
    "Pad": (11, ("pads", "value")),
    "ReduceSum": (13, ("axes",)),
    "Slice": (10, ("starts", "ends", "axes")),
    "Split": (13, ("split",)),
    "Squeeze": (13, ("axes",)),
    "Unsqueeze": (13, ("axes",)),
}
"""Of operators whose later inputs were attributes: the first set in which they are inputs."""
