"""Writes into a model where each of its operators is to run.

What ONNX Runtime makes of it says ``farm.session.assignment``.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto

from farm.errors import CompileError
from farm.model.walk import clone, with_nested

ANNOTATION = "layer_ann"
"""The key of the metadata property."""


def label(place: str) -> str:
    """What a place is called in annotations: without what the option has a meaning for.

    ``cpu/onnxruntime-cpu`` becomes ``cpu_onnxruntime-cpu``.
    """
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in place)


def annotated(model: ModelProto, labels: Mapping[str, str]) -> ModelProto:
    """A copy in which every operator has its label, and those inside of one have the same.

    labels: by the name of an operator of the outermost graph. Raises CompileError: one has none.
    """
    copy = clone(model)
    for node in copy.graph.node:
        if node.name not in labels:
            raise CompileError(f"The plan says nothing of operator '{node.name}'.")
        for each in with_nested([node]):
            kept = [prop for prop in each.metadata_props if prop.key != ANNOTATION]
            del each.metadata_props[:]
            each.metadata_props.extend(kept)
            each.metadata_props.add(key=ANNOTATION, value=labels[node.name])
    return copy


def labels_of(model: ModelProto) -> dict[str, str]:
    """The label of each operator of the outermost graph that has one, by its name."""
    return {
        node.name: prop.value
        for node in model.graph.node
        for prop in node.metadata_props
        if prop.key == ANNOTATION
    }
