"""The graph view of a model: operators with their work, tensors with sizes and lifetimes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto
from onnx.helper import tensor_dtype_to_np_dtype

from farm.model.flops import Shape, Work, count_work
from farm.model.model import Model, known_shape
from farm.model.walk import subgraphs
from farm.units import Bytes


class TensorKind(StrEnum):
    """What a tensor is to whoever runs the model."""

    INPUT = "input"
    WEIGHT = "weight"  # stored in the model or computed from stored tensors alone
    ACTIVATION = "activation"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the outermost graph.

    shape: None where it is known only after running; then ``bytes`` is 0.
    dtype: of ``onnx.TensorProto.DataType``, in small letters, "" where unknown.
    start, end: it is alive in the steps ``start <= t < end``; operator ``i`` of the graph runs
    in step ``i``. After the last operator comes one step more, in which the caller reads the
    outputs: these are alive in it. Inputs are alive from step 0 on.
    """

    name: str
    kind: TensorKind
    shape: Shape | None
    dtype: str
    bytes: Bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: a node of the outermost graph, with what is nested in it.

    inputs: names of the tensors it reads, those that nested graphs read included.
    macs, flops: see ``farm.model.flops``; of an If, those of its larger branch, of a Loop, one
        round.
    weight_bytes, activation_bytes: of the distinct tensors it reads or writes.
    folded: it depends on weights only, so engines compute it once, when they load the model;
    it counts no work.
    complete: whether all the figures are known; otherwise they are what could be counted.
    """

    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int
    flops: int
    weight_bytes: Bytes
    activation_bytes: Bytes
    folded: bool
    complete: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """Operators in the order in which they run, and tensors by name.

    inputs, outputs: tensor names. macs, flops: of all operators. weight_bytes: of the weights
    that unfolded operators read, each once. complete: every operator is.
    """

    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int
    flops: int
    weight_bytes: Bytes
    complete: bool

    def operator(self, name: str) -> Operator:
        """The operator with this name. Raises KeyError."""
        for operator in self.operators:
            if operator.name == name:
                return operator
        raise KeyError(name)

    def live_bytes(self) -> tuple[Bytes, ...]:
        """Bytes of inputs and activations that are alive in each step: no plan needs less.

        One value per operator, and one for the step in which the outputs are read.
        """
        live = [0] * (len(self.operators) + 1)
        for tensor in self.tensors.values():
            if tensor.kind is not TensorKind.WEIGHT:
                for step in range(tensor.start, tensor.end):
                    live[step] += tensor.bytes
        return tuple(Bytes(amount) for amount in live)


def build_graph(model: Model) -> Graph:
    """The graph view of a model that ``load_model`` returned."""
    graph = model.proto.graph
    inputs = tuple(spec.name for spec in model.inputs)
    outputs = tuple(spec.name for spec in model.outputs)
    folded = folded_nodes(graph)
    tensors = _tensors(graph, inputs, folded)
    operators = tuple(
        _operator(node, tensors, folded=index in folded) for index, node in enumerate(graph.node)
    )
    used = {name for op in operators if not op.folded for name in op.inputs}
    weights = [t for t in tensors.values() if t.kind is TensorKind.WEIGHT and t.name in used]
    return Graph(
        operators=operators,
        tensors=tensors,
        inputs=inputs,
        outputs=outputs,
        macs=sum(op.macs for op in operators),
        flops=sum(op.flops for op in operators),
        weight_bytes=Bytes(sum(tensor.bytes for tensor in weights)),
        complete=all(op.complete for op in operators),
    )


_RANDOM = frozenset(
    [
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    ]
)


def folded_nodes(graph: GraphProto) -> frozenset[int]:
    """Positions of the nodes that depend on stored tensors alone."""
    constant = {tensor.name for tensor in _initializers(graph)}
    folded = set()
    for index, node in enumerate(graph.node):
        if node.op_type not in _RANDOM and constant.issuperset(reads(node)):
            folded.add(index)
            constant.update(node.output)
    return frozenset(folded)


def _initializers(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values


def reads(node: NodeProto) -> tuple[str, ...]:
    """Names the node reads, each once: its inputs, then what nested graphs take from outside."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        names += _captured(graph)
    return tuple(dict.fromkeys(names))


def _captured(graph: GraphProto) -> Iterator[str]:
    own = {value.name for value in graph.input} | {t.name for t in _initializers(graph)}
    own.update(name for node in graph.node for name in node.output)
    for node in graph.node:
        yield from (name for name in reads(node) if name not in own)
    yield from (value.name for value in graph.output if value.name not in own)


def _tensors(
    graph: GraphProto, inputs: tuple[str, ...], folded: frozenset[int]
) -> dict[str, Tensor]:
    start, end = _lifetimes(graph)
    weights = {tensor.name for tensor in _initializers(graph)}
    weights.update(name for index in folded for name in graph.node[index].output)
    described = _described(graph)
    names = dict.fromkeys((*inputs, *(t.name for t in _initializers(graph)), *start))
    tensors = {}
    for name in names:
        shape, element = described.get(name, (None, TensorProto.UNDEFINED))
        kind = TensorKind.WEIGHT if name in weights else TensorKind.ACTIVATION
        tensors[name] = Tensor(
            name=name,
            kind=TensorKind.INPUT if name in inputs else kind,
            shape=shape,
            dtype=TensorProto.DataType.Name(element).lower() if element else "",
            bytes=tensor_bytes(shape, element),
            start=start.get(name, 0),
            end=end.get(name, start.get(name, 0)),
        )
    return tensors


def _lifetimes(graph: GraphProto) -> tuple[dict[str, int], dict[str, int]]:
    """First step, and step after the last, of every output and of what operators touch."""
    start: dict[str, int] = {}
    end: dict[str, int] = {}
    for step, node in enumerate(graph.node):
        written = tuple(name for name in node.output if name)
        start.update(dict.fromkeys(written, step))
        end.update(dict.fromkeys((*reads(node), *written), step + 1))
    end.update((value.name, len(graph.node) + 1) for value in graph.output)
    return start, end


_Described = tuple[Shape | None, int]  # shape and element type


def _described(graph: GraphProto) -> dict[str, _Described]:
    values: Iterable[ValueInfoProto] = (*graph.value_info, *graph.input, *graph.output)
    described: dict[str, _Described] = {
        value.name: (known_shape(value.type), value.type.tensor_type.elem_type) for value in values
    }
    for tensor in graph.initializer:
        described[tensor.name] = (tuple(tensor.dims), tensor.data_type)
    for sparse in graph.sparse_initializer:
        described[sparse.values.name] = (tuple(sparse.dims), sparse.values.data_type)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.type == AttributeProto.TENSOR:
                described[node.output[0]] = (tuple(attribute.t.dims), attribute.t.data_type)
    return described


def tensor_bytes(shape: Shape | None, element: int) -> Bytes:
    """Bytes of a tensor, 0 where its shape or type is unknown. element: an ONNX data type."""
    if shape is None or element in (TensorProto.UNDEFINED, TensorProto.STRING):
        return Bytes(0)
    bits = _PACKED_BITS.get(element) or 8 * tensor_dtype_to_np_dtype(element).itemsize
    return Bytes(math.ceil(math.prod(shape) * bits / 8))


_PACKED_BITS: Mapping[int, int] = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.FLOAT4E2M1: 4,
}


def _operator(node: NodeProto, tensors: Mapping[str, Tensor], *, folded: bool) -> Operator:
    names = reads(node)
    outputs = tuple(name for name in node.output if name)
    touched = [tensors[name] for name in dict.fromkeys((*names, *outputs)) if name in tensors]
    shapes = {t.name: t.shape for t in touched if t.shape is not None}
    work = Work() if folded else _work(node, shapes)
    weights = sum(t.bytes for t in touched if t.kind is TensorKind.WEIGHT)
    return Operator(
        name=node.name,
        op_type=node.op_type,
        domain=node.domain,
        inputs=names,
        outputs=outputs,
        macs=work.macs,
        flops=work.flops,
        weight_bytes=Bytes(weights),
        activation_bytes=Bytes(sum(t.bytes for t in touched) - weights),
        folded=folded,
        complete=folded or (work.known and len(shapes) == len(touched)),
    )


def _work(node: NodeProto, shapes: Mapping[str, Shape]) -> Work:
    """Work of a node; of nested graphs the largest, marked as not known in full."""
    nested = [_nested_work(graph, shapes) for graph in subgraphs(node)]
    if not nested:
        return count_work(node, shapes)
    return replace(max(nested, key=lambda work: work.flops), known=False)


def _nested_work(graph: GraphProto, outer: Mapping[str, Shape]) -> Work:
    known = {name: shape for name, (shape, _) in _described(graph).items() if shape is not None}
    shapes = {**outer, **known}
    folded = folded_nodes(graph)
    works = [_work(n, shapes) for index, n in enumerate(graph.node) if index not in folded]
    return Work(sum(work.macs for work in works), sum(work.flops for work in works), known=False)
