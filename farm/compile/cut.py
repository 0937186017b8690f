"""Cuts a model into sub-models, one for each part of a pipeline.

Parts name operators of the model as the user gave it; what is cut may be prepared or quantised.
Operators that were folded away are in no part. What a pass added goes with its neighbours:

- what writes a tensor of the user's model goes with the operator that wrote it there, and what
  writes another one with the operators that read it, or with what it reads;
- a QuantizeLinear goes with what it quantises and a DequantizeLinear with each of its readers, so
  that a tensor which is quantised crosses the border between two parts in integers;
- what depends on stored tensors alone is copied to every part that reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto
from onnx.helper import tensor_dtype_to_np_dtype

from farm.candidate import PipelinePart
from farm.compile.annotate import annotated, label
from farm.compile.passes import reported_as
from farm.compile.prepare import FreezeWeights
from farm.errors import CompileError
from farm.model.graph import folded_nodes, reads
from farm.text import did_you_mean

_NAME = "cut"
_NAMED = 5  # operators in a message


def cut(
    model: ModelProto, parts: Sequence[PipelinePart], *earlier: ModelProto
) -> tuple[ModelProto, ...]:
    """The sub-models of the parts, in their order.

    Each reads tensors of the model by their names there: the caller's, and what parts before it
    write. It writes what later parts or the caller read, and nothing else. Its operators are
    annotated with its place. An output of the model
    that is one of its inputs is written by none.

    earlier: what the model was made from by passes: first the one that the parts name operators
    of, which is the model itself where there is none. An operator that is there under its name may
    write what another one wrote before.

    Raises CompileError: an operator that is unknown, in two parts or in none; parts that would
    have to run in a circle, or in another order; a part without operators, or whose results
    nobody reads; a tensor between parts that is none of numbers, or of no fixed shape. What only
    the caller reads may have another shape in every run.
    """
    owners = _named_owners(earlier[0] if earlier else model, parts)
    frozen = FreezeWeights()(model).model
    with reported_as(_NAME):
        inferred = onnx.shape_inference.infer_shapes(frozen, data_prop=True)
    graph = _Split(inferred, parts, owners, _writers(earlier or (model,), owners))
    graph.check_order()
    return tuple(_at(graph.sub_model(index), part.place) for index, part in enumerate(parts))


def _at(model: ModelProto, place: str) -> ModelProto:
    """A part's model with the place of it on every operator; see ``farm.compile.annotate``."""
    return annotated(model, {node.name: label(place) for node in model.graph.node})


def _named_owners(model: ModelProto, parts: Sequence[PipelinePart]) -> dict[str, int]:
    """The part of each operator of a model by its name. Raises CompileError."""
    nodes = model.graph.node
    known = [node.name for node in nodes]
    owners: dict[str, int] = {}
    for index, part in enumerate(parts):
        for name in part.operators:
            if name not in known:
                raise CompileError(
                    f"{_named(parts, index)} has an operator {name!r}, and the model has none of "
                    f"that name. {did_you_mean(name, known)}".rstrip()
                )
            if name in owners:
                other = _within(parts, owners[name])
                twice = "twice" if owners[name] == index else f"that is in {other}, too"
                raise CompileError(f"{_named(parts, index)} has the operator {name!r} {twice}.")
            owners[name] = index
    folded = folded_nodes(model.graph)
    missing = [n.name for i, n in enumerate(nodes) if n.name not in owners and i not in folded]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise CompileError(
            f"No part of the pipeline has {', '.join(map(repr, missing[:_NAMED]))}{more}; every "
            "operator of the model is to be in one."
        )
    return owners


def _named(parts: Sequence[PipelinePart], index: int) -> str:
    return f"Part {index + 1} ({parts[index].place})"


def _within(parts: Sequence[PipelinePart], index: int) -> str:
    """The same within a sentence; places are names, and stay as they are."""
    return _named(parts, index).replace("P", "p", 1)


def _writers(models: Sequence[ModelProto], owners: Mapping[str, int]) -> dict[str, int]:
    """The part of the operator that writes each tensor, in the last model that has it."""
    return {
        tensor: owners[node.name]
        for model in models
        for node in model.graph.node
        for tensor in node.output
        if tensor and node.name in owners
    }


@dataclass(frozen=True, slots=True)
class _Border:
    """A tensor that goes from one part to another. reader: name of an operator that reads it."""

    tensor: str
    source: int
    target: int
    reader: str


class _Split:
    """A graph whose operators have parts.

    owners: parts of operators by name, of some that may not be there any more. writers: see
    ``_writers``.
    """

    def __init__(
        self,
        model: ModelProto,
        parts: Sequence[PipelinePart],
        owners: Mapping[str, int],
        writers: Mapping[str, int],
    ) -> None:
        self._model = model
        self._parts = parts
        graph = model.graph
        self._nodes: list[NodeProto] = list(graph.node)
        self._reads = [reads(node) for node in self._nodes]
        self._folded = folded_nodes(graph)
        self._stored = {t.name for t in graph.initializer}
        self._stored |= {sparse.values.name for sparse in graph.sparse_initializer}
        self._results = [value.name for value in graph.output]
        self._writer = {t: i for i, n in enumerate(self._nodes) for t in n.output if t}
        self._readers: dict[str, list[int]] = {}
        for index, names in enumerate(self._reads):
            for name in names:
                self._readers.setdefault(name, []).append(index)
        values = (*graph.value_info, *graph.output, *graph.input)
        self._values: dict[str, ValueInfoProto] = {value.name: value for value in values}
        self._owner = self._owners(owners, writers)
        self._copies = self._demanded()

    def check_order(self) -> None:
        """Raise CompileError where parts cannot run in their order."""
        borders = list(self._borders())
        wrong = next((border for border in borders if border.source > border.target), None)
        if wrong is None:
            return
        source, target = _within(self._parts, wrong.source), _named(self._parts, wrong.target)
        reason = (
            f"{wrong.reader!r} reads {wrong.tensor!r}, which "
            f"{self._nodes[self._writer[wrong.tensor]].name!r} writes"
        )
        if back := _path(borders, wrong.target, wrong.source):
            one = back[0]
            raise CompileError(
                f"{target} and {source} would have to run in a circle: in the former {reason} in "
                f"the latter, and in {_within(self._parts, one.target)} "
                f"{one.reader!r} reads {one.tensor!r} of the former."
            )
        raise CompileError(
            f"{target} comes before {source}, but in the former {reason} in the latter; "
            "parts come in the order in which they run."
        )

    def sub_model(self, index: int) -> ModelProto:
        """The model of one part. Raises CompileError."""
        members = [i for i, parts in enumerate(self._copies) if index in parts]
        own = [i for i in members if self._owner[i] == index]
        if not own:
            raise CompileError(
                f"{_named(self._parts, index)} has nothing to run: all of its operators were "
                "folded away when the model was prepared; leave it out."
            )
        written = {t for i in members for t in self._nodes[i].output if t}
        needed = dict.fromkeys(name for i in members for name in self._reads[i])
        outputs = [t for i in members for t in self._nodes[i].output if self._leaves(t, i, index)]
        if index == len(self._parts) - 1:  # what is stored comes from the last part
            outputs += [name for name in self._results if name in self._stored]
        if not outputs:
            raise CompileError(
                f"Nobody reads what {_within(self._parts, index)} computes; leave its "
                "operators out of the model."
            )
        inputs = [n for n in needed if n not in written and n not in self._stored]
        shared = {name for name in outputs if self._read_elsewhere(name, index)}
        return self._built(members, inputs, outputs, shared, needed.keys() | set(outputs))

    def _built(
        self,
        members: Sequence[int],
        inputs: Sequence[str],
        outputs: Sequence[str],
        shared: set[str],
        used: set[str],
    ) -> ModelProto:
        """shared: outputs that other parts read. used: tensors, stored ones among them."""
        whole = self._model
        model = _without_graph(whole)
        graph = model.graph
        graph.node.extend(self._nodes[i] for i in members)
        graph.initializer.extend(t for t in whole.graph.initializer if t.name in used)
        sparse = whole.graph.sparse_initializer
        graph.sparse_initializer.extend(t for t in sparse if t.values.name in used)
        graph.input.extend(self._value(name) for name in inputs)
        graph.output.extend(self._value(name, fixed=name in shared) for name in outputs)
        inner = {t for i in members for t in self._nodes[i].output} - set(outputs)
        graph.value_info.extend(self._values[t] for t in sorted(inner & self._values.keys()))
        return model

    def _value(self, name: str, *, fixed: bool = True) -> ValueInfoProto:
        """What is known of a tensor that comes or goes.

        Raises CompileError: it is none of numbers, or of no fixed shape where it must be.
        """
        value = self._values.get(name)
        kind = None if value is None else value.type.tensor_type
        if value is None or kind is None or not kind.elem_type or not _is_numbers(kind.elem_type):
            raise CompileError(
                f"The tensor {name!r} cannot go from one part of a pipeline to another: its type "
                "is unknown, or none of numbers."
            )
        if fixed and not has_fixed_shape(value):
            raise CompileError(
                f"The tensor {name!r} cannot go from one part of a pipeline to another: its shape "
                "is not fixed."
            )
        return value

    def _owners(self, owners: Mapping[str, int], writers: Mapping[str, int]) -> list[int]:
        """The part that each operator runs in; -1 for those that are copied to their readers."""
        found: dict[int, int] = {}
        for index, node in enumerate(self._nodes):
            wrote = [writers[tensor] for tensor in node.output if tensor in writers]
            if index in self._folded or node.op_type == "DequantizeLinear":
                found[index] = -1
            elif node.name in owners:
                found[index] = owners[node.name]
            elif wrote:
                found[index] = wrote[0]
        for index, node in enumerate(self._nodes):
            if index not in found:
                found[index] = self._neighbour(index, node, found)
        return [found[index] for index in range(len(self._nodes))]

    def _neighbour(self, index: int, node: NodeProto, found: Mapping[int, int]) -> int:
        """The part of an operator that a pass added; those that it reads from have theirs."""
        after = {part for tensor in node.output for part in self._read_in(tensor, found)}
        before = next(
            (p for n in self._reads[index] if (p := self._written_in(n, found)) >= 0), -1
        )
        alone = node.op_type != "QuantizeLinear" and len(after) == 1
        if alone or before < 0:
            return min(after, default=len(self._parts) - 1)
        return before

    def _written_in(self, tensor: str, found: Mapping[int, int]) -> int:
        """The part that a tensor comes from; -1 where it comes from none."""
        index = self._writer.get(tensor)
        if index is None or index in self._folded:
            return -1
        if found.get(index, -1) >= 0:
            return found[index]
        return next((p for n in self._reads[index] if (p := self._written_in(n, found)) >= 0), -1)

    def _read_in(self, tensor: str, found: Mapping[int, int]) -> Iterator[int]:
        """The parts that read a tensor, behind what has no part yet or is copied."""
        for index in self._readers.get(tensor, ()):
            if found.get(index, -1) >= 0:
                yield found[index]
            else:
                for output in self._nodes[index].output:
                    yield from self._read_in(output, found)

    def _demanded(self) -> list[set[int]]:
        """The parts that have each operator: its own, or those that read what is copied."""
        copies: list[set[int]] = [set() for _ in self._nodes]
        for index in reversed(range(len(self._nodes))):
            if self._owner[index] >= 0:
                copies[index] = {self._owner[index]}
                continue
            outputs = self._nodes[index].output
            copies[index] = {
                p for t in outputs for i in self._readers.get(t, ()) for p in copies[i]
            }
            if any(t in self._results for t in outputs):
                copies[index].add(self._last_place(index))
        return copies

    def _last_place(self, index: int) -> int:
        """The part that writes a result of the model which is copied."""
        parts = [
            self._written_in(name, dict(enumerate(self._owner))) for name in self._reads[index]
        ]
        return max(parts) if max(parts, default=-1) >= 0 else len(self._parts) - 1

    def _leaves(self, tensor: str, writer: int, part: int) -> bool:
        """Whether a part is to hand on what it writes."""
        if not tensor:
            return False
        if self._owner[writer] < 0:  # a copy: it is nobody's but the caller's
            return tensor in self._results and self._last_place(writer) == part
        return tensor in self._results or self._read_elsewhere(tensor, part)

    def _read_elsewhere(self, tensor: str, part: int) -> bool:
        """Whether another part reads what one writes."""
        return any(self._copies[i] - {part} for i in self._readers.get(tensor, ()))

    def _borders(self) -> Iterator[_Border]:
        for index, names in enumerate(self._reads):
            for name in names:
                writer = self._writer.get(name)
                if writer is None or self._owner[writer] < 0:
                    continue
                source = self._owner[writer]
                for target in sorted(self._copies[index] - {source}):
                    yield _Border(name, source, target, self._nodes[index].name)


def has_fixed_shape(value: ValueInfoProto) -> bool:
    """Whether every size of a tensor is known before it is computed."""
    kind = value.type.tensor_type
    return kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)


def _path(borders: Sequence[_Border], start: int, end: int) -> list[_Border]:
    """Borders that lead from one part to another, in their order; empty if none do."""
    paths: dict[int, list[_Border]] = {start: []}
    waiting = [start]
    for part in waiting:
        for border in borders:
            if border.source == part and border.target not in paths:
                paths[border.target] = [*paths[part], border]
                waiting.append(border.target)
    return paths.get(end, [])


def _without_graph(model: ModelProto) -> ModelProto:
    """All that is said of a model beside its graph, whose name stays."""
    shell = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    shell.opset_import.extend(model.opset_import)
    shell.functions.extend(model.functions)
    shell.metadata_props.extend(model.metadata_props)
    shell.graph.name = model.graph.name
    return shell


def _is_numbers(element: int) -> bool:
    """Whether NumPy has the elements."""
    try:
        return tensor_dtype_to_np_dtype(element).kind in "biuf"
    except (KeyError, TypeError):
        return False
