"""Names apart from those that lowering makes: ``x.u8`` because another tensor is called ``x``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from onnx import ModelProto

from farm.codegen.program import Program, Tensor
from farm.compile.names import tensors
from farm.model.walk import clone


def names_apart(model: ModelProto) -> tuple[ModelProto, Mapping[str, str]]:
    """The model, and new names for its tensors that are called like another one with an ending.

    Without such tensors it is the model itself, which is never changed.
    """
    renamed = clone(model)
    taken = {name for name in tensors(renamed.graph, str) if name}
    apart: dict[str, str] = {}
    for name in sorted(taken):
        if any(name[:i] in taken for i, letter in enumerate(name) if letter == "."):
            apart[name] = _free(name.replace(".", "_"), taken)
            taken.add(apart[name])
    if not apart:
        return model, {}
    for _ in tensors(renamed.graph, lambda name: apart.get(name, name)):
        pass
    return renamed, apart


def with_model_names(program: Program, apart: Mapping[str, str]) -> Program:
    """The program with inputs and outputs that know what the model calls them."""
    given = {new: old for old, new in apart.items()}

    def labelled(tensor: Tensor) -> Tensor:
        return replace(tensor, model_name=given.get(tensor.label, tensor.model_name))

    inputs, outputs = map(labelled, program.inputs), map(labelled, program.outputs)
    return replace(program, inputs=tuple(inputs), outputs=tuple(outputs))


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
