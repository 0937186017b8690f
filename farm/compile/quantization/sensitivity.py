"""Ranks quantised operators by the damage that quantising each one alone does.

For each operator the part of the quantised graph that computes it is grafted onto the float
graph, so that it works on exact inputs. Where the model is small, each operator's graft replaces
it in a graph of its own and the damage is what arrives at the model's outputs. Where that would
take too long, all grafts run side by side once, and the damage is what leaves each operator.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from farm.accuracy.damage import Damage
from farm.compile.passes import cpu_session, reported_as
from farm.compile.quantization.calibrate import Feeds
from farm.model.walk import clone

_MOST_BYTES_LOADED = 1 << 29  # over the graphs of all operators, one after the other
_SMALLEST_POWER = 1e-30

Arrays = Sequence[npt.NDArray[np.generic]]


def sensitivity(
    model: onnx.ModelProto,
    quantised: onnx.ModelProto,
    operators: Collection[str],
    feeds: Sequence[Feeds],
) -> Damage:
    """Relative noise power that each quantised operator causes alone, the most harmful first.

    model: the prepared float graph that ``quantised`` was made from. operators: names of those
    that its quantisation applies to. feeds: a few samples. Raises CompileError.
    """
    grafts = list(_grafts(model, quantised, operators))
    with reported_as("sensitivity"):
        at_outputs = model.ByteSize() * len(grafts) <= _MOST_BYTES_LOADED
        way = _one_by_one if at_outputs else _side_by_side
        damage = way(model, quantised, grafts, feeds)
    return Damage(tuple(sorted(damage.items(), key=lambda item: -item[1])), at_outputs)


@dataclass(frozen=True, slots=True)
class _Graft:
    """The quantised computation of one operator.

    nodes: from tensors of the float graph to the results, in topological order.
    results: by the name of the tensor of the float graph that each stands for.
    """

    operator: str
    nodes: tuple[onnx.NodeProto, ...]
    results: Mapping[str, str]


def _grafts(
    model: onnx.ModelProto, quantised: onnx.ModelProto, operators: Collection[str]
) -> Iterator[_Graft]:
    graph = _Producers(quantised)
    exact = {name for node in model.graph.node for name in node.output}
    exact.update(value.name for value in model.graph.input)
    for node in model.graph.node:
        if node.name not in operators:
            continue
        same = graph.named.get(node.name)
        if same is not None and not graph.is_quantised(same):
            continue
        outputs = (node if same is None else same).output
        results = dict(graph.stands_for(name, exact) for name in outputs if name)
        nodes = graph.back_to(exact.difference(results), results.values())
        if exact.issuperset(results):
            yield _renamed(_Graft(node.name, nodes, results))


class _Producers:
    """Which node of a graph makes which tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._nodes = list(model.graph.node)
        self.named = {node.name: node for node in model.graph.node}
        self._makes = {name: node for node in model.graph.node for name in node.output}
        self._takers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._takers.setdefault(name, []).append(node)

    def is_quantised(self, node: onnx.NodeProto) -> bool:
        """Whether the weights, or the second factor, come out of a DequantizeLinear."""
        weight = self._makes.get(node.input[1])
        return weight is not None and weight.op_type == "DequantizeLinear"

    def stands_for(self, tensor: str, exact: set[str]) -> tuple[str, str]:
        """Its counterpart in the float graph, and the tensor after quantising it.

        Where the tensor leaves the graph, the second one has the counterpart's name.
        """
        after = tensor
        for taker in self._takers.get(tensor, []):
            if taker.op_type == "QuantizeLinear":
                after = self._takers[taker.output[0]][0].output[0]
        return (tensor if tensor in exact else after), after

    def back_to(self, known: set[str], tensors: Iterable[str]) -> tuple[onnx.NodeProto, ...]:
        """The nodes that compute tensors from known tensors and constants, in graph order."""
        needed: set[str] = set()
        waiting = list(tensors)
        while waiting:
            name = waiting.pop()
            if name not in known and name not in needed and name in self._makes:
                needed.add(name)
                waiting.extend(self._makes[name].input)
        return tuple(node for node in self._nodes if not needed.isdisjoint(node.output))


def _renamed(graft: _Graft) -> _Graft:
    """The graft with names of its own for everything it makes."""
    made = {name for node in graft.nodes for name in node.output if name}

    def own(name: str) -> str:
        return f"{graft.operator}/quantised/{name}" if name in made else name

    nodes = []
    for node in graft.nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{graft.operator}/quantised/{node.name}"
        copy.input[:] = [own(name) for name in node.input]
        copy.output[:] = [own(name) for name in node.output]
        nodes.append(copy)
    results = {exact: own(name) for exact, name in graft.results.items()}
    return _Graft(graft.operator, tuple(nodes), results)


def _one_by_one(
    model: onnx.ModelProto,
    quantised: onnx.ModelProto,
    grafts: Sequence[_Graft],
    feeds: Sequence[Feeds],
) -> dict[str, float]:
    outputs = [value.name for value in model.graph.output]
    exact = list(_run(model, outputs, feeds))
    damage = {}
    for graft in grafts:
        grafted = _grafted(model, quantised, [graft])
        own = {node.name for node in graft.nodes}
        for node in grafted.graph.node:
            if node.name not in own:
                node.input[:] = [graft.results.get(name, name) for name in node.input]
        names = [graft.results.get(name, name) for name in outputs]
        noisy = _run(grafted, names, feeds)
        noise = [sum(map(_noise, a, b)) for a, b in zip(exact, noisy, strict=True)]
        damage[graft.operator] = float(np.mean(noise))
    return damage


def _side_by_side(
    model: onnx.ModelProto,
    quantised: onnx.ModelProto,
    grafts: Sequence[_Graft],
    feeds: Sequence[Feeds],
) -> dict[str, float]:
    grafted = _grafted(model, quantised, grafts)
    pairs = [(graft.operator, *pair) for graft in grafts for pair in graft.results.items()]
    names = list(dict.fromkeys(name for _, *pair in pairs for name in pair))
    total = dict.fromkeys((graft.operator for graft in grafts), 0.0)
    for arrays in _run(grafted, names, feeds):
        values = dict(zip(names, arrays, strict=True))
        for operator, exact, result in pairs:
            total[operator] += _noise(values[exact], values[result]) / len(feeds)
    return total


def _grafted(
    model: onnx.ModelProto, quantised: onnx.ModelProto, grafts: Sequence[_Graft]
) -> onnx.ModelProto:
    """The float graph with the grafts beside it, operators in topological order."""
    grafted = clone(model)
    graph = grafted.graph
    del grafted.opset_import[:], graph.node[:]
    grafted.opset_import.extend(quantised.opset_import)
    needed = {name for graft in grafts for node in graft.nodes for name in node.input}
    needed -= {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(t for t in quantised.graph.initializer if t.name in needed)
    graph.node.extend(_merged(model.graph.node, grafts))
    return grafted


def _merged(nodes: Sequence[onnx.NodeProto], grafts: Sequence[_Graft]) -> Iterator[onnx.NodeProto]:
    """Each graft right behind the operator that makes the first tensor it stands for."""
    behind = {next(iter(graft.results)): graft for graft in grafts}
    for node in nodes:
        yield node
        for name in node.output:
            if name in behind:
                yield from behind[name].nodes


def _run(
    model: onnx.ModelProto, outputs: Sequence[str], feeds: Sequence[Feeds]
) -> Iterator[Arrays]:
    observed = clone(model)
    del observed.graph.output[:]
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = cpu_session(observed)
    for sample in feeds:
        yield session.run(list(outputs), dict(sample))


def _noise(exact: npt.NDArray[np.generic], noisy: npt.NDArray[np.generic]) -> float:
    reference = np.asarray(exact, np.float64)
    error = np.asarray(noisy, np.float64) - reference
    return float((error**2).sum() / max((reference**2).sum(), _SMALLEST_POWER))
