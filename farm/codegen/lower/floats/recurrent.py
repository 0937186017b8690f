"""Lowers recurrent networks: LSTM and GRU with the functions that are theirs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from farm.codegen.front.source import Node, UnsupportedOperator
from farm.codegen.ops.floats.recurrent import Cell, FloatRecurrent
from farm.codegen.program import Array, Step, Tensor

Tensors = tuple[Tensor, ...]

_OWN = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
_GATES = {"LSTM": 4, "GRU": 3}


def lower_recurrent(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """One step for all directions."""
    weights, recurrence = node.constant(1), node.constant(2)
    if weights is None or recurrence is None or node.inputs[0] not in node.changing:
        raise UnsupportedOperator(node, "its data are constant")
    _require_own_functions(node, len(weights))
    _require_whole_sequences(node, inputs[0])
    states = [_initial(node, position) for position in (5, 6)]
    hidden = recurrence.shape[2]
    peephole = node.constant(7)
    yield FloatRecurrent(
        inputs,
        outputs,
        Cell(node.op_type.lower()),
        weights.astype(np.float32),
        recurrence.astype(np.float32),
        _bias(node, len(weights), hidden),
        np.zeros((len(weights), 3 * hidden), np.float32)
        if peephole is None
        else peephole.astype(np.float32),
        (states[0][0], states[1][0]),
        (states[0][1], states[1][1]),
        (_is_wanted(node, 0), _is_wanted(node, 1), _is_wanted(node, 2)),
        reverse=node.attributes.get("direction", "forward") == "reverse",
        linear=bool(node.attributes.get("linear_before_reset", 0)),
        batch_first=bool(node.attributes.get("layout", 0)),
    )


def _require_own_functions(node: Node, directions: int) -> None:
    own = _OWN[node.op_type] * directions
    given = [str(name) for name in node.attributes.get("activations", own)]
    if [name.lower() for name in given] != own:
        raise UnsupportedOperator(node, f"its activations are {', '.join(given)}")
    if node.attributes.get("clip") is not None:
        raise UnsupportedOperator(node, f"it clips at {node.attributes['clip']:g}")
    if node.attributes.get("input_forget", 0):
        raise UnsupportedOperator(node, "its input gate and its forget gate are one")


def _require_whole_sequences(node: Node, x: Tensor) -> None:
    lengths = node.constant(4)
    steps = x.shape[1 if node.attributes.get("layout", 0) else 0]
    if lengths is not None and (lengths != steps).any():
        raise UnsupportedOperator(node, "some of its sequences are shorter than others")


def _initial(node: Node, position: int) -> tuple[bool, Array | None]:
    """Whether an initial state changes, and its value where it does not."""
    value = node.inputs[position] if position < len(node.inputs) else None
    if value is None:
        return False, None
    return value.constant is None, value.constant


def _bias(node: Node, directions: int, hidden: int) -> NDArray[np.float32]:
    """Of the products with x and with the state: one for both where only their sum counts."""
    gates = _GATES[node.op_type]
    both = node.constant(3)
    if both is None:
        return np.zeros((directions, 4 * hidden), np.float32)
    given, state = np.split(both.astype(np.float32), [gates * hidden], 1)
    if node.op_type == "LSTM":
        return given + state
    begin = 2 * hidden
    joined = given[:, :begin] + state[:, :begin]
    return np.concatenate([joined, given[:, begin:], state[:, begin:]], 1)


def _is_wanted(node: Node, output: int) -> bool:
    return len(node.outputs) > output and node.outputs[output] is not None
