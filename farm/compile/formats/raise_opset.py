"""Raises old operator sets, and mends what onnx's version converter leaves out on the way.

Before operator set 11 Resize and Upsample took no coordinate mode: coordinates were asymmetric,
and the nearest input was the one before where an axis grows, the one behind where it shrinks
(ONNX Runtime's rule). Before 13 Hardmax saw its axis and all that follow it as one. The converter
keeps such operators as they are written, under definitions that mean something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnx.helper import make_attribute, make_node, make_opsetid
from onnx.numpy_helper import from_array, to_array

from farm.compile.names import Names, under_other_names
from farm.compile.passes import PassResult, quiet, reported_as
from farm.errors import CompileError
from farm.model.walk import all_graphs, clone

_OLDEST_OPSET = 13  # QuantizeLinear and DequantizeLinear per channel
_RAISED_OPSET = 17  # LayerNormalization, and widely supported
_FIRST_WITH_MODES = 11  # Resize takes coordinate_transformation_mode and nearest_mode
_STANDARD = frozenset({"", "ai.onnx"})

Scales = NDArray[np.float32]
_Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class RaiseOpset:
    """Convert old graphs: quantised ones are invalid below opset 13."""

    name: ClassVar[str] = "raise-opset"
    requires: ClassVar[str] = "weights that are not graph inputs"
    ensures: ClassVar[str] = f"opset {_OLDEST_OPSET} or later; every operator computes the same"

    def __call__(self, model: ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError when an operator cannot be converted."""
        version = opset(model)
        if version >= _OLDEST_OPSET:
            return PassResult(model, changed=False)
        if version == 0:  # operators of other domains alone, which have versions of their own
            imported = clone(model)
            imported.opset_import.append(make_opsetid("", _RAISED_OPSET))
            return PassResult(imported, changed=False)
        raised = under_other_names(model, self._raised)
        note = f"Opset raised from {version} to {_RAISED_OPSET}."
        return PassResult(raised, changed=True, notes=(note,))

    def _raised(self, model: ModelProto, _: Names) -> ModelProto:
        with reported_as(self.name), quiet():
            raised = onnx.version_converter.convert_version(_flattened(model), _RAISED_OPSET)
        raised.ir_version = max(model.ir_version, raised.ir_version)
        _restore_names(model, raised)
        if opset(model) < _FIRST_WITH_MODES:
            _set_modes(raised, _known_shapes(model))
        return raised


def opset(model: ModelProto) -> int:
    """The version of the standard operator set that a model imports, 0 where it does not."""
    return max((o.version for o in model.opset_import if o.domain in _STANDARD), default=0)


def _flattened(model: ModelProto) -> ModelProto:
    """The model with each Hardmax over a matrix, which means the same in every version."""
    if not any(_is(node, "Hardmax") for node in _nodes(model)):
        return model
    written = clone(model)
    _replace(written, "Hardmax", _over_matrix)
    return written


def _over_matrix(node: NodeProto) -> Iterator[NodeProto]:
    (given,), (result,) = node.input, node.output
    shape, matrix, found = (f"{result}/{part}" for part in ("shape", "matrix", "found"))
    yield make_node("Shape", [given], [shape], f"{node.name}/shape")
    yield make_node("Flatten", [given], [matrix], f"{node.name}/matrix", axis=_axis(node))
    yield make_node("Hardmax", [matrix], [found], node.name, axis=1)
    yield make_node("Reshape", [found, shape], [result], f"{node.name}/result")


def _axis(node: NodeProto) -> int:
    return int(next((a.i for a in node.attribute if a.name == "axis"), 1))


def _restore_names(model: ModelProto, raised: ModelProto) -> None:
    """Give operators that the converter replaced the names of those they replace, in place."""
    kept = {node.name for node in _nodes(raised)}
    lost = {n.output[0]: n.name for n in _nodes(model) if n.output and n.name not in kept}
    for node in _nodes(raised):
        if not node.name and node.output:
            node.name = lost.get(node.output[0], "")


def _set_modes(raised: ModelProto, shapes: _Shapes) -> None:
    """Write down the modes that old Resize operators had, in place.

    Raises CompileError: it is not known whether an axis of the nearest mode grows or shrinks.
    """
    graphs = all_graphs(raised.graph)
    constants = {name: value for graph in graphs for name, value in _constants(graph)}
    _replace(raised, "Resize", lambda node: _with_modes(node, constants, shapes))


def _with_modes(
    node: NodeProto, constants: Mapping[str, Scales], shapes: _Shapes
) -> Iterator[NodeProto]:
    """One Resize; two where some axes grow and others shrink, because each has one rule."""
    if next((a.s for a in node.attribute if a.name == "mode"), b"nearest") != b"nearest":
        yield _asymmetric(node)
        return
    scales = constants.get(node.input[2])
    ratios = _ratios(node, shapes) if scales is None else scales
    if ratios is None:
        raise _unknown(node, "its scales are no constants")
    grows, shrinks = (ratios > 1).any(), (ratios < 1).any()
    if not (grows and shrinks):
        yield _asymmetric(node, "ceil" if shrinks else "floor")
        return
    sizes = shapes.get(node.input[0])
    if scales is None or sizes is None or _keeps_sizes(sizes, np.maximum(scales, 1)):
        raise _unknown(node, "some axes grow and others shrink, by scales that are not known")
    between = f"{node.output[0]}/grown"
    grown, shrunk = _asymmetric(node, "floor"), _asymmetric(node, "ceil")
    grown.name, grown.output[0], shrunk.input[0] = f"{node.name}/grown", between, between
    yield from _scaled(grown, np.maximum(scales, 1))
    yield from _scaled(shrunk, np.minimum(scales, 1))


def _asymmetric(node: NodeProto, nearest: str | None = None) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.attribute.append(make_attribute("coordinate_transformation_mode", "asymmetric"))
    if nearest is not None:
        copy.attribute.append(make_attribute("nearest_mode", nearest))
    return copy


def _scaled(node: NodeProto, scales: Scales) -> Iterator[NodeProto]:
    """The operator with other scales, and the constant that they are."""
    node.input[2] = f"{node.output[0]}/scales"
    value = from_array(scales, node.input[2])
    yield make_node("Constant", [], [node.input[2]], f"{node.name}/scales", value=value)
    yield node


def _unknown(node: NodeProto, why: str) -> CompileError:
    return CompileError(
        f"Pass {RaiseOpset.name} failed at operator {node.name!r} (Resize): {why}, and nearest "
        "neighbours depend on them; export the model with operator set 11 or later."
    )


def _keeps_sizes(sizes: Sequence[int], scales: Scales) -> bool:
    """Whether scales are too near to 1 to give another shape: such a Resize is a copy."""
    return bool((np.floor(np.array(sizes, np.float32) * scales) == sizes).all())


def _ratios(node: NodeProto, shapes: _Shapes) -> Scales | None:
    """Outputs for each input of every axis, where both shapes are known."""
    given, result = shapes.get(node.input[0]), shapes.get(node.output[0])
    if given is None or result is None or 0 in given:
        return None
    return np.divide(result, given, dtype=np.float32)


def _known_shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    found = {}
    for graph in all_graphs(model.graph):
        for value in (*graph.input, *graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
                found[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
    return found


def _constants(graph: GraphProto) -> Iterator[tuple[str, Scales]]:
    """Float32 constants of a graph, scales of Resize operators among them."""
    stored = [(tensor.name, tensor) for tensor in graph.initializer]
    stored += [
        (node.output[0], node.attribute[0].t) for node in graph.node if _is(node, "Constant")
    ]
    for name, tensor in stored:
        if tensor.data_type == TensorProto.FLOAT:
            yield name, to_array(tensor)


def _replace(
    model: ModelProto, op_type: str, written: Callable[[NodeProto], Iterable[NodeProto]]
) -> None:
    """Write others for all operators of a type, in place, inner graphs before outer ones."""
    for graph in reversed(list(all_graphs(model.graph))):
        nodes = list(graph.node)
        del graph.node[:]
        for node in nodes:
            graph.node.extend(written(node) if _is(node, op_type) else [node])


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    for graph in all_graphs(model.graph):
        yield from graph.node


def _is(node: NodeProto, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in _STANDARD
