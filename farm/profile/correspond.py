"""Which nodes of one graph the nodes of another one stand for.

The second graph was made from the first by whoever fuses, folds, splits and moves nodes. Some of
its tensors hold what a tensor of the first one holds: *anchors*. What lies between the anchors
before a node and those behind it is what the node stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from farm.profile.view import Node, View

Names = tuple[str, ...]

# They hold the same numbers as what they read, in another layout, shape or format.
SAME_NUMBERS = frozenset(
    {"ReorderInput", "ReorderOutput", "Identity", "Cast", "Transpose", "Reshape", "Squeeze",
     "Unsqueeze", "Flatten", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
     "Reorder", "Convert"}
)  # fmt: skip


def correspondence(
    after: View, before: View, anchors: Mapping[str, str], told: Sequence[Names] = ()
) -> tuple[Names, ...]:
    """For each node of ``after`` the names of the nodes of ``before``, in the order of those.

    anchors: tensors of ``after``, with the tensors of ``before`` that they hold. told: for each
    node of ``after``, nodes of ``before`` that are known otherwise, if not all of them. What lies
    between anchors and is nobody's yet goes to the nodes there that were told nothing, or else to
    all. A node that only moves or converts what is there already stands for none; see ``lent``.
    """
    anchors = spread(after, anchors)
    found = list(told) or [()] * len(after.nodes)
    claimed = {name for names in found for name in names}
    slices = _Slices(before, frozenset(anchors.values()))
    for group in _groups(after, anchors):
        nodes = [after.nodes[at] for at in group]
        held = {anchors[name] for node in nodes for name in node.inputs if name in anchors}
        made = [anchors[name] for node in nodes for name in node.outputs if name in anchors]
        between = slices.behind(name for name in made if name not in held)
        free = tuple(name for name in between if name not in claimed)
        untold = [at for at in group if not found[at]]
        for at in untold or group:
            found[at] = (*found[at], *free) or between
    return tuple(found)


def lent(after: View, found: Sequence[Names]) -> tuple[Names, ...]:
    """The same, where nodes that stand for none have those of their neighbours.

    Whoever moves or converts does it for the nodes that read the result, or else for the one
    whose result it is.
    """
    names = list(found)
    for around in (_readers, _writers):
        for _ in after.nodes:
            changed = False
            for at, node in enumerate(after.nodes):
                if not names[at]:
                    near = (names[other] for other in around(after, node))
                    names[at] = tuple(dict.fromkeys(name for each in near for name in each))
                    changed |= bool(names[at])
            if not changed:
                break
    return tuple(names)


def spread(after: View, anchors: Mapping[str, str]) -> dict[str, str]:
    """Anchors with the results of nodes that hold the same numbers as what they read."""
    known = dict(anchors)
    for _ in after.nodes:
        size = len(known)
        for node in after.nodes:
            if node.op_type in SAME_NUMBERS and node.inputs and node.inputs[0] in known:
                for name in node.outputs:
                    known.setdefault(name, known[node.inputs[0]])
        if len(known) == size:
            break
    return known


class _Slices:
    """What of a graph lies behind anchors and between them.

    Where something in one branch of a condition is an anchor, its other branch does not run.
    """

    def __init__(self, graph: View, cut: AbstractSet[str]) -> None:
        self._graph = graph
        self._cut = cut
        held = (graph.nodes[graph.producers[name]] for name in cut if name in graph.producers)
        self._taken = {branch for node in held for branch in node.path}
        self._decided = {owner for owner, _ in self._taken}

    def behind(self, targets: Iterable[str]) -> Names:
        """The nodes that compute these tensors, back to anchors, inputs and constants."""
        producers, nodes = self._graph.producers, self._graph.nodes
        seen: set[int] = set()
        waiting = [producers[name] for name in targets if name in producers]
        while waiting:
            at = waiting.pop()
            if at not in seen and self._runs(nodes[at]):
                seen.add(at)
                waiting += [producers[name] for name in self._followed(nodes[at])]
        return tuple(nodes[at].name for at in sorted(seen))

    def _runs(self, node: Node) -> bool:
        return all(b in self._taken for b in node.path if b[0] in self._decided)

    def _followed(self, node: Node) -> list[str]:
        """Tensors whose producers belong to the same slice."""
        constant = self._graph.constant
        inside = constant.issuperset(node.outputs)
        return [
            name
            for name in node.inputs
            if name in self._graph.producers
            and name not in self._cut
            and (inside or name not in constant)
        ]


def _groups(after: View, anchors: Mapping[str, str]) -> list[list[int]]:
    """Positions of nodes, those together that have tensors between them which are no anchors."""
    leader = list(range(len(after.nodes)))

    def find(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    for at, node in enumerate(after.nodes):
        for name in node.outputs:
            if name not in anchors and name not in after.constant:
                for reader in after.readers.get(name, ()):
                    leader[find(reader)] = find(at)
    groups: dict[int, list[int]] = {}
    for at in range(len(after.nodes)):
        groups.setdefault(find(at), []).append(at)
    return list(groups.values())


def _readers(after: View, node: Node) -> Iterable[int]:
    return (at for name in node.outputs for at in after.readers.get(name, ()))


def _writers(after: View, node: Node) -> Iterable[int]:
    return (after.producers[name] for name in node.inputs if name in after.producers)
