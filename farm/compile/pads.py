"""Writes Pad for all axes: ONNX Runtime moves a Transpose behind a Pad of some axes wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from farm.compile.operators import Facts
from farm.compile.passes import PassResult
from farm.model.walk import clone

_AXES = 3  # which of Pad's inputs names them


@dataclass(frozen=True, slots=True)
class PadAllAxes:
    """Write a Pad of some axes as one of all, where both are constant and the rank is known.

    ONNX Runtime 1.31 turns the order of the pads when it moves a Transpose, as if there were as
    many as the tensor has axes.
    """

    name: ClassVar[str] = "pad-all-axes"
    requires: ClassVar[str] = "fixed shapes"
    ensures: ClassVar[str] = "no Pad with constant axes has them as an input"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass."""
        facts = Facts(model)
        if not any(_pads_of_all_axes(node, facts) is not None for node in model.graph.node):
            return PassResult(model, changed=False)
        written = clone(model)
        names = set(facts.constants)
        for node in written.graph.node:
            pads = _pads_of_all_axes(node, facts)
            if pads is not None:
                name = _fresh(f"{node.input[1]}_of_all_axes", names)
                written.graph.initializer.append(numpy_helper.from_array(pads, name))
                node.input[1] = name
                del node.input[_AXES:]
        return PassResult(written, changed=True)


def _pads_of_all_axes(node: onnx.NodeProto, facts: Facts) -> NDArray[np.int64] | None:
    """[2 x rank] the pads of a Pad that has axes; None for every other operator."""
    if node.op_type != "Pad" or len(node.input) <= _AXES or not node.input[_AXES]:
        return None
    given = [facts.constants.get(node.input[index]) for index in (1, _AXES)]
    shape = facts.shape(node.input[0])
    if shape is None or given[0] is None or given[1] is None:
        return None
    pads, axes = (numpy_helper.to_array(each) for each in given if each is not None)
    both = np.zeros((2, len(shape)), np.int64)
    both[:, axes] = pads.reshape(2, -1)
    return both.ravel()


def _fresh(name: str, names: set[str]) -> str:
    """The name, with underscores behind where it is taken; it is taken from now on."""
    while name in names:
        name += "_"
    names.add(name)
    return name
