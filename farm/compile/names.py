"""Lets tools make names out of others without meeting a name that the model has already.

ONNX Runtime's quantiser calls a tensor ``x_scale`` because another one is called ``x``, and does
not look whether the model has an ``x_scale`` of its own; the other converters do the same. A tool
is therefore given the model under names that nobody else makes, and the result gets the model's
names back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableSequence
from dataclasses import dataclass

from onnx import GraphProto, ModelProto

from farm.errors import CompileError
from farm.model.walk import all_graphs, clone

_TOKEN = re.compile(r"<#(\d+)>")
_Rename = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Names:
    """What the names of a model are called while a tool is at work.

    user: the model's names in order of appearance; the one at i is called ``<#i>``.
    """

    user: tuple[str, ...]
    tokens: dict[str, str]

    def token(self, name: str) -> str:
        """What a tensor or an operator of the model is called meanwhile."""
        return self.tokens[name]

    def told(self, text: str) -> str:
        """A text with the model's names in it again."""
        return _TOKEN.sub(lambda found: self.user[int(found[1])], text)


def under_other_names(
    model: ModelProto, change: Callable[[ModelProto, Names], ModelProto]
) -> ModelProto:
    """What a change makes of a model, under the model's names.

    What the change adds is named as it would have named it, with underscores behind where the
    model has a tensor or an operator of that name. Tensors and operators of the model keep theirs.

    change: gets a copy of the model that it may write to, and what it finds there for which name.

    Raises CompileError: what the change raises, in the model's names.
    """
    renamed = clone(model)
    found = [name for names in (tensors, _operators) for name in names(renamed.graph, str)]
    user = tuple(dict.fromkeys(filter(None, found)))
    names = Names(user, {name: f"<#{index}>" for index, name in enumerate(user)})
    for rename in (tensors, _operators):
        _consume(rename(renamed.graph, lambda name: names.tokens.get(name, name)))
    try:
        changed = change(renamed, names)
    except CompileError as error:
        raise CompileError(names.told(str(error))) from error
    for rename in (tensors, _operators):
        _consume(rename(changed.graph, _Restored(names)))
    return changed


def tensors(graph: GraphProto, rename: _Rename) -> Iterator[str]:
    """Rename the tensors of a graph and of those inside it, in place; yields their new names."""
    for inner in all_graphs(graph):
        for value in (*inner.input, *inner.output, *inner.value_info, *inner.initializer):
            value.name = rename(value.name)
            yield value.name
        for sparse in inner.sparse_initializer:
            sparse.values.name = rename(sparse.values.name)
            yield sparse.values.name
        for annotation in inner.quantization_annotation:
            annotation.tensor_name = rename(annotation.tensor_name)
            yield annotation.tensor_name
        for node in inner.node:
            yield from _rename_all(node.input, rename)
            yield from _rename_all(node.output, rename)


class _Restored:
    """Names after the change, by names during it: the same one for the same one."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._taken = set(names.user)
        self._known = {token: name for name, token in names.tokens.items()} | {"": ""}

    def __call__(self, name: str) -> str:
        if name not in self._known:
            told = self._names.told(name)
            while told in self._taken:
                told += "_"
            self._taken.add(told)
            self._known[name] = told
        return self._known[name]


def _operators(graph: GraphProto, rename: _Rename) -> Iterator[str]:
    for inner in all_graphs(graph):
        for node in inner.node:
            node.name = rename(node.name)
            yield node.name


def _rename_all(names: MutableSequence[str], rename: _Rename) -> list[str]:
    names[:] = [rename(name) for name in names]
    return list(names)


def _consume(names: Iterator[str]) -> None:
    for _ in names:
        pass
