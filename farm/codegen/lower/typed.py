"""Lowers operators on tensors that are no real numbers: token ids, lengths, masks.

Such tensors are never quantised; they exist in their own type alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from farm.codegen.front.source import Node, UnsupportedOperator, Value
from farm.codegen.lower.movement import elements, is_movement
from farm.codegen.ops.cast import Cast
from farm.codegen.ops.floats.elementwise import MOST_LOOPS, broadcast_loops
from farm.codegen.ops.gather import Gather, Select
from farm.codegen.program import Element, Step, Tensor, View

Tensors = tuple[Tensor, ...]

TYPED_OPERATORS = frozenset({"Cast", "Where"})
"""Operators whose tensors are of several types."""

_TYPES = frozenset({Element.F32, Element.I32, Element.I64, Element.BOOL})


def require_types(node: Node) -> None:
    """Raise UnsupportedOperator where a node reads or writes a type that it has no code for."""
    for position, value in enumerate(node.inputs):
        if value is not None and value.constant is None and not _takes(node, position, value):
            raise UnsupportedOperator(node, f"{value.name!r} is of type {value.dtype}")
    for value in node.outputs:
        if value is not None and not _is_known(value, floats_only=not _is_free(node)):
            raise UnsupportedOperator(node, f"{value.name!r} is of type {value.dtype}")


def is_typed(node: Node) -> bool:
    """Whether a node is lowered here, or moves elements that are no real numbers."""
    indices = node.inputs[1] if node.op_type == "Gather" else None
    chooses = indices is not None and indices.constant is None
    values = (*node.changing, *(value for value in node.outputs if value is not None))
    moves = is_movement(node) and any(value.dtype != "float32" for value in values)
    return node.op_type in TYPED_OPERATORS or chooses or moves


def lower_gather(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """Slices at indices that change. inputs: as of ``lower_typed``."""
    data = node.inputs[0]
    assert data is not None
    axis = int(node.attributes.get("axis", 0)) % len(data.shape)
    if data.shape[axis] == 0 and outputs[0].size:
        raise UnsupportedOperator(node, "its data have no elements")
    constant = None if data.constant is None else elements(data.constant, outputs[0])
    yield Gather(inputs, outputs, axis, constant)


def lower_cast(_node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """Another type of element."""
    same = inputs[0].element is outputs[0].element
    yield View(inputs, outputs) if same else Cast(inputs, outputs)


def lower_where(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """One of two elements."""
    values = [value for value in node.inputs if value is not None]
    choice, a, b = (value.constant for value in values)
    if len(broadcast_loops(outputs[0].shape, [v.shape for v in values])[0]) > MOST_LOOPS:
        reason = f"it broadcasts over more than {MOST_LOOPS} groups of axes"
        raise UnsupportedOperator(node, reason)
    a, b = (None if each is None else elements(each, outputs[0]) for each in (a, b))
    yield Select(inputs, outputs, (choice, a, b))


def lower_typed(node: Node, inputs: Tensors, outputs: Tensors) -> tuple[Step, ...]:
    """Steps of Cast, of Where, and of a Gather whose indices change.

    inputs: PLAIN tensors of the node's inputs that are no constants, in their own types, or of
    one quantization where the results have it, too.

    Raises UnsupportedOperator: an attribute or a shape that is not supported.
    """
    lowering = {"Cast": lower_cast, "Gather": lower_gather, "Where": lower_where}[node.op_type]
    return tuple(lowering(node, inputs, outputs))


def _takes(node: Node, position: int, value: Value) -> bool:
    if not _is_known(value):
        return False
    if node.op_type == "Where":
        return position == 0 or value.dtype != Element.BOOL
    if value.dtype == "float32" or node.op_type in ("Cast", "Concat"):
        return True
    if is_movement(node):
        return position == 0 or (node.op_type == "Gather" and position == 1)
    return node.op_type == "Pow" and position == 1


def _is_free(node: Node) -> bool:
    """Whether the results may be of other types than float32."""
    return node.op_type in TYPED_OPERATORS or is_movement(node)


def _is_known(value: Value, *, floats_only: bool = False) -> bool:
    return value.dtype == "float32" or (value.dtype in _TYPES and not floats_only)
