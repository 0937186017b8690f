"""Lowers an annotated graph to a program: integers where the tensors are quantised, else float."""

from __future__ import annotations

import math
from collections.abc import Sequence

from farm.codegen.front.annotate import Annotated
from farm.codegen.front.fuse import PRODUCTS, find_chains
from farm.codegen.front.source import (
    INPUT_TYPES,
    Node,
    UnsupportedOperator,
    Value,
    refused_input,
)
from farm.codegen.lower.floats.operators import FLOAT_OPERATORS, lower_float
from farm.codegen.lower.forms import BLOCKED, FLOAT, PLAIN, Form, Forms, Moved, own_form
from farm.codegen.lower.integer.operators import LOWERINGS, is_quantized, lower_integer
from farm.codegen.lower.movement import is_movement, lower_movement
from farm.codegen.lower.ports import Ports, without_copies
from farm.codegen.lower.site import Site
from farm.codegen.lower.typed import TYPED_OPERATORS, is_typed, lower_typed, require_types
from farm.codegen.program import PortType, PortTypes, Program, Step, Tensor
from farm.errors import CompileError


def lower(annotated: Annotated, ports: PortTypes = PortType.FLOAT32) -> Program:
    """The program of a graph.

    ports: what its quantised inputs and outputs are for the caller.

    Raises UnsupportedOperator: an operator, attribute or type that there is no kernel for.
    """
    return _Lowering(annotated, ports).program()


class _Lowering:
    def __init__(self, annotated: Annotated, ports: PortTypes) -> None:
        self._annotated = annotated
        self._chains = find_chains(annotated)
        self._forms = Forms(annotated.quantizations, annotated.rounded)
        self._ports = Ports(ports, annotated.quantizations, self._forms)
        self._integer_outputs = isinstance(ports, PortType) and ports is not PortType.FLOAT32
        self._done: set[str] = set()  # operators that were computed with an earlier one
        self._notes: list[str] = list(annotated.notes)

    def program(self) -> Program:
        source = self._annotated.source
        inputs = tuple(self._input(value) for value in source.inputs)
        for node in source.nodes:
            if node.name not in self._done:
                self._forms.operator = node.name
                self._lower(node)
        outputs = tuple(self._output(value, inputs) for value in source.outputs)
        steps, operators = _needed(self._forms.steps, self._forms.operators, outputs)
        steps = without_copies(steps, inputs, outputs)
        macs = sum(count_macs(node) for node in source.nodes)
        notes = (*self._notes, *self._ports.notes())
        return Program(inputs, outputs, steps, operators, macs, notes)

    def _input(self, value: Value) -> Tensor:
        if value.dtype not in INPUT_TYPES:
            raise CompileError(refused_input(value.name, value.dtype))
        self._forms.operator = value.name
        return self._ports.given(value)

    def _output(self, value: Value, inputs: Sequence[Tensor]) -> Tensor:
        if value.dtype != "float32" or value.constant is not None:
            kind = "constant" if value.constant is not None else value.dtype
            raise CompileError(
                f"The code generator gives float32 outputs that depend on the input, and "
                f"{value.name!r} is {kind}."
            )
        self._forms.operator = value.name
        return self._ports.result(value, inputs)

    def _lower(self, node: Node) -> None:
        require_types(node)
        if node.domain not in _DOMAINS:
            raise UnsupportedOperator(node, f"its domain is {node.domain}")
        if is_typed(node):
            self._lower_typed(node)
            return
        if self._move_channels(node):
            return
        obstacle = self._lower_integer(node)
        if obstacle is None:
            return
        if is_movement(node) and self._moves_integers(node):
            self._lower_movement(node, PLAIN)
            return
        if reason := self._kept_float(node) or obstacle:
            if is_movement(node) and reason == obstacle:
                reason = "its tensors have different scales"
            self._notes.append(f"Operator {node.name} is computed in float: {reason}.")
        if is_movement(node):
            self._lower_movement(node, FLOAT)
        elif node.op_type in FLOAT_OPERATORS:
            inputs = tuple(self._forms.get(value, FLOAT) for value in node.changing)
            outputs = tuple(self._forms.computed(v) for v in node.outputs if v is not None)
            self._forms.add(*lower_float(node, inputs, outputs))
        else:
            raise UnsupportedOperator(node)

    def _lower_integer(self, node: Node) -> str | None:
        """Lower a node, with what follows it in its chain, to integers.

        None if that was done, else the reason why not; "" if the node is to be float.
        """
        chain = self._chains.get(node.name)
        if node.name in self._annotated.keep_float or not is_quantized(
            node, chain, self._annotated
        ):
            return ""
        try:
            lower_integer(self._site(node))
        except ValueError as error:
            for value in (*node.outputs, chain.output if chain else None):
                if value is not None:
                    self._forms.forget(value)
            return str(error)
        if chain is not None:
            self._done.update(chain.absorbed)
        return None

    def _site(self, node: Node) -> Site:
        chain = self._chains.get(node.name)
        return Site(node, chain, self._annotated, self._forms, self._notes, self._integer_outputs)

    def _kept_float(self, node: Node) -> str:
        """Why a result of a node, or what its integer kernel would read, stays float."""
        reasons, chain = self._annotated.reasons, self._chains.get(node.name)
        for value in (*node.outputs, chain.product if chain else None):
            if value is not None and (reason := reasons.get(value.name)):
                return reason
        for value in node.changing if node.op_type in LOWERINGS else ():
            if value.name in reasons:
                return f"its input {value.name!r} stays in float"
        return ""

    def _move_channels(self, node: Node) -> bool:
        """Put off a transposition between channels first and last until its result is needed."""
        if node.op_type != "Transpose" or node.outputs[0] is None:
            return False
        value, rank = node.changing[0], len(node.changing[0].shape)
        permutation = tuple(node.attributes.get("perm", reversed(range(rank))))
        to_first = permutation == (0, rank - 1, *range(1, rank - 1))
        to_last = permutation == (0, *range(2, rank), 1)
        quantizations = self._annotated.quantizations
        before, after = (quantizations.get(v.name) for v in (value, node.outputs[0]))
        differs = before is not None and after is not None and before != after
        if rank < 3 or not (to_first or to_last) or differs:
            return False
        self._forms.move_later(Moved(value, node.outputs[0], to_first))
        return True

    def _moves_integers(self, node: Node) -> bool:
        """Whether all tensors of a node that only moves elements share one quantisation."""
        values = (*node.changing, *(value for value in node.outputs if value is not None))
        found = {self._annotated.quantizations.get(value.name) for value in values}
        return (
            len(found) == 1 and None not in found and node.name not in self._annotated.keep_float
        )

    def _lower_typed(self, node: Node) -> None:
        """Tensors in their own types; of a Gather in u8, where that is what it gives."""
        results = [value for value in node.outputs if value is not None]
        in_bytes = node.op_type == "Gather" and self._gathers_integers(node)
        real = PLAIN if in_bytes else FLOAT
        forms = (real if v.dtype == "float32" else own_form(v) for v in node.changing)
        inputs = tuple(map(self._forms.get, node.changing, forms))
        outputs = tuple(
            self._forms.new(value, PLAIN) if in_bytes else self._forms.computed(value)
            for value in results
        )
        lowering = lower_typed if node.op_type in (*TYPED_OPERATORS, "Gather") else lower_movement
        self._forms.add(*lowering(node, inputs, outputs))

    def _gathers_integers(self, node: Node) -> bool:
        """Whether slices of data, which may be constant, have the quantisation of the data."""
        data, result = node.inputs[0], node.outputs[0]
        if data is None or result is None or node.name in self._annotated.keep_float:
            return False
        quantizations = self._annotated.quantizations
        found = quantizations.get(result.name)
        is_alike = data.constant is not None or found == quantizations.get(data.name)
        return found is not None and is_alike

    def _lower_movement(self, node: Node, form: Form) -> None:
        """Data movement."""
        results = [value for value in node.outputs if value is not None]
        if form == PLAIN and self._joins_blocks(node):
            form = BLOCKED
        inputs = tuple(self._forms.get(value, form) for value in node.changing)
        outputs = tuple(
            self._forms.computed(value) if form == FLOAT else self._forms.new(value, form)
            for value in results
        )
        self._forms.add(*lower_movement(node, inputs, outputs))

    def _joins_blocks(self, node: Node) -> bool:
        """Whether a concatenation joins whole blocks of channels, none of which is constant."""
        rank = len(node.changing[0].shape)
        if node.op_type != "Concat" or rank < 3 or node.attributes["axis"] % rank != 1:
            return False
        whole = all(value.shape[1] % 4 == 0 for value in node.changing)
        there = all(self._forms.has(value, BLOCKED) for value in node.changing)
        return whole and there and len(node.changing) == len(node.inputs)


_DOMAINS = frozenset({"ai.onnx", "com.microsoft"})


def count_macs(node: Node) -> int:
    """Multiply-accumulates of a product; 0 for every other operator."""
    if node.op_type not in PRODUCTS or node.inputs[1] is None or node.outputs[0] is None:
        return 0
    weights, results = node.inputs[1].shape, math.prod(node.outputs[0].shape)
    if node.op_type == "Conv":
        return results * math.prod(weights[1:])
    transposed = node.op_type == "Gemm" and node.attributes.get("transB", 0)
    return results * (weights[-1] if transposed or len(weights) == 1 else weights[-2])


def _needed(
    steps: Sequence[Step], operators: Sequence[str], outputs: Sequence[Tensor]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The steps that the outputs depend on."""
    needed = {tensor.name for tensor in outputs}
    kept: list[tuple[Step, str]] = []
    for step, operator in zip(reversed(steps), reversed(operators), strict=True):
        if needed.intersection(tensor.name for tensor in step.outputs):
            needed.update(tensor.name for tensor in step.inputs)
            kept.append((step, operator))
    kept.reverse()
    return tuple(step for step, _ in kept), tuple(operator for _, operator in kept)
