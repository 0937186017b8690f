"""Rewrites slow patterns into faster ones that compute the same, for any engine.

They are a choice of the candidate, because the baseline is the graph as the user wrote it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import numpy as np
import onnx
from onnx.helper import get_attribute_value, make_node
from onnx.numpy_helper import from_array, to_array

from farm.compile.names import Names, under_other_names
from farm.compile.operators import Facts
from farm.compile.passes import Compiled, PassResult
from farm.compile.prepare import InferShapes
from farm.errors import CompileError
from farm.model.walk import clone

_DIFFERENCES = np.array([[1, -1], [-1, 1]], np.float32)


def rewrite(compiled: Compiled) -> Compiled:
    """Apply all rewrites, after quantisation: it would find operators here that are not worth it.

    compiled: begins with a prepared graph. Raises CompileError when none of them applies, because
    the candidate would be the same as the one without.
    """
    done = compiled.then(InferShapes(), SliceOfConcat(), SoftmaxOfTwo())
    if done.passes == compiled.passes:
        raise CompileError("The graph has no pattern that can be rewritten into a faster one.")
    return done


@dataclass(frozen=True, slots=True)
class SoftmaxOfTwo:
    """Softmax over two values is the sigmoid of their difference.

    Engines vectorise Softmax along its axis, which is too short here; the sigmoid they vectorise
    over everything.
    """

    name: ClassVar[str] = "softmax-of-two"
    requires: ClassVar[str] = "a prepared graph with inferred shapes"
    ensures: ClassVar[str] = "no Softmax over a last axis of two float32 values"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass."""
        facts = Facts(model)
        if not any(_is_softmax_of_two(node, facts) for node in model.graph.node):
            return PassResult(model, changed=False)
        return PassResult(under_other_names(model, _with_sigmoids), changed=True)


@dataclass(frozen=True, slots=True)
class SliceOfConcat:
    """A slice that is exactly one of the tensors that were concatenated is that tensor."""

    name: ClassVar[str] = "slice-of-concat"
    requires: ClassVar[str] = "a prepared graph with inferred shapes"
    ensures: ClassVar[str] = "no Slice takes a Concat apart again"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass."""
        parts = dict(_parts(model))
        outputs = {value.name for value in model.graph.output}
        direct = {name: part for name, part in parts.items() if name not in outputs}
        if not direct:
            return PassResult(model, changed=False)
        written = clone(model)
        for node in written.graph.node:
            node.input[:] = [direct.get(name, name) for name in node.input]
        _drop_unused(written)
        return PassResult(written, changed=True)


def _is_softmax_of_two(node: onnx.NodeProto, facts: Facts) -> bool:
    if node.op_type != "Softmax" or not facts.is_float(node.input[0]):
        return False
    shape = facts.shape(node.input[0])
    axis = _integer(node, "axis", -1)
    return shape is not None and shape[-1:] == (2,) and axis in {-1, len(shape) - 1}


def _with_sigmoids(model: onnx.ModelProto, _: Names) -> onnx.ModelProto:
    facts, nodes = Facts(model), list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        found = _is_softmax_of_two(node, facts)
        model.graph.node.extend(_as_sigmoid(node) if found else [node])
        if found:
            model.graph.initializer.append(from_array(_DIFFERENCES, f"{node.name}/matrix"))
    return model


def _as_sigmoid(node: onnx.NodeProto) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    difference = f"{node.name}/difference"
    matrix = f"{node.name}/matrix"
    return (
        make_node("MatMul", [node.input[0], matrix], [difference], difference),
        make_node("Sigmoid", [difference], node.output, node.name),
    )


def _parts(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Outputs of Slice operators, with the concatenated tensor that each one is."""
    facts = Facts(model)
    concats = {node.output[0]: node for node in model.graph.node if node.op_type == "Concat"}
    for node in model.graph.node:
        if node.op_type == "Slice" and node.input[0] in concats:
            part = _covered_part(node, concats[node.input[0]], facts)
            if part is not None:
                yield node.output[0], part


def _covered_part(node: onnx.NodeProto, concat: onnx.NodeProto, facts: Facts) -> str | None:
    """The input of the Concat that a Slice of it is, if it is exactly one."""
    interval, shape = _sliced_interval(node, facts), facts.shape(node.input[0])
    parts = [facts.shape(part) for part in concat.input]
    if interval is None or shape is None or None in parts:
        return None
    axis, first, last = interval
    if axis % len(shape) != _integer(concat, "axis", 0) % len(shape):
        return None
    stops = list(accumulate(part[axis] for part in parts if part is not None))
    starts = [0, *stops[:-1]]
    wanted = (first, min(last, shape[axis]))
    covered = (n for n, s, e in zip(concat.input, starts, stops, strict=True) if (s, e) == wanted)
    return next(covered, None)


def _sliced_interval(node: onnx.NodeProto, facts: Facts) -> tuple[int, int, int] | None:
    """Axis, start and end of a Slice along one axis with step 1; None for any other one."""
    constants = [facts.constants.get(name) for name in node.input[1:] if name]
    if len(constants) < 3 or any(c is None or c.dims != [1] for c in constants):
        return None
    first, last, axis, *step = (int(to_array(c)[0]) for c in constants if c is not None)
    return (axis, first, last) if step in ([], [1]) and first >= 0 and last > 0 else None


def _integer(node: onnx.NodeProto, name: str, default: int) -> int:
    values = [get_attribute_value(a) for a in node.attribute if a.name == name]
    return int(values[0]) if values else default


def _drop_unused(model: onnx.ModelProto) -> None:
    """Remove operators whose results nobody takes, those that fed only them included."""
    graph = model.graph
    while True:
        taken = Counter(name for node in graph.node for name in node.input)
        taken.update(value.name for value in graph.output)
        kept = [node for node in graph.node if any(taken[name] for name in node.output)]
        if len(kept) == len(graph.node):
            return
        del graph.node[:]
        graph.node.extend(kept)
