"""Signatures: what decides how long an operator takes, whatever model it is in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto
from onnx.helper import make_node

from farm.costs.families import Family
from farm.costs.kernels import wired
from farm.costs.operators import (
    CostedOperator,
    Window,
    costed_operators,
    group_signature,
    members_of,
    signatures,
)
from farm.model.graph import build_graph
from farm.model.model import load_model
from tests.models import branching_net, build, conv_net, save, value, weights


def costed(model: ModelProto, folder: Path) -> Mapping[str, CostedOperator]:
    save(model, folder)
    loaded = load_model(folder / "model.onnx")
    return {op.name: op for op in costed_operators(loaded.proto, build_graph(loaded))}


def convolution(
    name: str = "c", side: int = 8, kernel: int = 3, pads: int = 1, groups: int = 1
) -> ModelProto:
    node = make_node("Conv", ["x", "w"], [name], name=name, pads=[pads] * 4, group=groups)
    stored = weights(w=(4, 4 // groups, kernel, kernel))
    return build([node], [value("x", [1, 4, side, side])], [value(name, None)], stored)


def reshaped(to: list[int]) -> ModelProto:
    node = make_node("Reshape", ["x", "shape"], ["y"], name="r")
    stored = {"shape": np.array(to, dtype=np.int64)}
    return build([node], [value("x", [2, 6])], [value("y", None)], stored)


def signature(model: ModelProto, folder: Path) -> str:
    (only,) = costed(model, folder).values()
    return only.signature


def test_names_and_values_of_weights_do_not_matter(tmp_path: Path) -> None:
    other = convolution(name="other")
    other.graph.initializer[0].raw_data = bytes(len(other.graph.initializer[0].raw_data))
    assert signature(convolution(), tmp_path) == signature(other, tmp_path)


@pytest.mark.parametrize(
    "other",
    [convolution(side=9), convolution(kernel=1, pads=0), convolution(pads=0), reshaped([3, 4])],
    ids=["shape", "weights", "attribute", "type"],
)
def test_what_changes_the_time_changes_the_signature(other: ModelProto, tmp_path: Path) -> None:
    assert signature(convolution(), tmp_path) != signature(other, tmp_path)


def test_integers_that_are_parameters_matter(tmp_path: Path) -> None:
    assert signature(reshaped([3, 4]), tmp_path) != signature(reshaped([4, 3]), tmp_path)


def test_every_operator_of_the_outermost_graph_has_a_signature(tmp_path: Path) -> None:
    save(branching_net(), tmp_path)
    loaded = load_model(tmp_path / "model.onnx")
    found = signatures(loaded.proto, build_graph(loaded))
    assert set(found) == {node.name for node in loaded.proto.graph.node}
    assert all(len(each) == 16 for each in found.values())


@pytest.mark.parametrize(
    ("model", "family"),
    [
        (convolution(), Family.CONVOLUTION),
        (convolution(kernel=1, pads=0), Family.POINTWISE),
        (convolution(groups=4), Family.DEPTHWISE),
        (reshaped([3, 4]), Family.VIEW),
    ],
)
def test_families(model: ModelProto, family: Family, tmp_path: Path) -> None:
    (only,) = costed(model, tmp_path).values()
    assert only.family is family


def test_operands_say_what_is_stored(tmp_path: Path) -> None:
    (only,) = costed(convolution(), tmp_path).values()
    assert [(o.name, o.stored, o.size, o.count) for o in only.reads] == [
        ("x", False, 1024, 256),
        ("w", True, 576, 144),
    ]
    assert [(o.name, o.size) for o in only.writes] == [("c", 1024)]


def test_wires_lead_to_the_operators_that_were_before(tmp_path: Path) -> None:
    found = wired(costed(conv_net(), tmp_path).values())
    (conv, relu, second, *_) = found
    assert found[conv].after == ()
    assert found[relu].after == (conv,)
    assert found[second].after == (relu,)


def test_groups_are_told_by_their_members() -> None:
    assert members_of(group_signature(["ab", "cd"])) == ("ab", "cd")
    assert members_of(group_signature(["ab"])) == ("ab",)


def test_windows_and_shapes_are_told(tmp_path: Path) -> None:
    (only,) = costed(convolution(groups=4), tmp_path).values()
    assert (only.window.kernel, only.window.group) == ((3, 3), 4)
    assert len(only.reads[0].shape) == 4
    (view,) = costed(reshaped([3, 4]), tmp_path).values()
    assert view.window == Window()
