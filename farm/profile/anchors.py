"""Anchors by name: which tensors of a graph hold what a tensor of the graph before it holds.

Whoever rewrites a graph leaves the names of most tensors as they were. ONNX Runtime changes some,
in ways that are its own:

- a second tensor of a name gets ``_token_N`` behind it, like the copy in another layout,
- what lies in a branch that it inlines gets ``_if_then_branch_`` before it, once per level,
- a node in blocked layout is called by its result with ``_nchwc`` behind it, and its result by
  nothing; once it has taken in a sum, it still has the name from before that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set as AbstractSet

from farm.profile.view import Node, View

_INLINED = re.compile(r"(?:_if_(?:then|else)_branch(?:_token_\d+)?_)+")
_NUMBERED = re.compile(r"_token_\d+$")
_BLOCKED = "_nchwc"
_SUMS = frozenset({"Add", "Sum"})
_ACTIVATIONS = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "LeakyRelu"})


def anchors_by_name(after: View, before: View) -> dict[str, str]:
    """Tensors of ``after``, with the tensors of ``before`` that they hold."""
    known = before.tensors
    found = {name: _original(name, known) for name in after.tensors}
    anchors = {name: original for name, original in found.items() if original}
    for node in after.nodes:
        base = _NUMBERED.sub("", node.name)
        if base.endswith(_BLOCKED) and len(node.outputs) == 1:
            result = _original(base.removesuffix(_BLOCKED), known)
            if result:
                anchors.setdefault(node.outputs[0], result)
    return _behind_sums(after, before, anchors)


def _original(name: str, known: AbstractSet[str]) -> str:
    """The name as it was; "" where there is no such tensor."""
    plain = _NUMBERED.sub("", name)
    tried = (name, plain, _INLINED.sub("", name, count=1), _INLINED.sub("", plain, count=1))
    return next((each for each in tried if each in known), "")


def _behind_sums(after: View, before: View, anchors: dict[str, str]) -> dict[str, str]:
    """Results of nodes in blocked layout that have taken in a sum: these are of the sum."""
    moved = dict(anchors)
    for node in after.nodes:
        if _BLOCKED in node.name and len(node.outputs) == 1 and node.outputs[0] in anchors:
            moved[node.outputs[0]] = _result(node, before, anchors)
    return moved


def _result(node: Node, before: View, anchors: dict[str, str]) -> str:
    """What a node computes, by what it reads beside the operands of the node that it is of."""
    result = anchors[node.outputs[0]]
    spare = Counter(anchors[name] for name in node.inputs if name in anchors)
    if (of := before.producers.get(result)) is not None:
        spare.subtract(before.nodes[of].inputs)
    for reader in (before.nodes[at] for at in before.readers.get(result, ())):
        others = [name for name in reader.inputs if name != result]
        if reader.op_type in _SUMS and len(others) == 1 and spare[others[0]] > 0:
            return _activated(before, reader.outputs[0])
    return result


def _activated(before: View, result: str) -> str:
    """A sum's result, or that of the activation that alone reads it."""
    readers = before.readers.get(result, ())
    if len(readers) == 1 and before.nodes[readers[0]].op_type in _ACTIVATIONS:
        return before.nodes[readers[0]].outputs[0]
    return result
