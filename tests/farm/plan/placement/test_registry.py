"""Why an operator cannot run somewhere: one sentence."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from farm.devices.profile import DeviceKind
from farm.errors import PlanError
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.placement.registry import (
    OperatorFacts,
    known_registry,
    operator_facts,
    read_registry,
)
from tests.models import conv_net, save

TABLE = """
[dsp.engine]
source = "tests"
Conv = { types = ["float"], ranks = [2, 4], since = 11, until = 13, attributes = { group = [1] } }
Relu = { source = "elsewhere" }
"""


def facts(
    op_type: str = "Conv",
    types: tuple[str, ...] = ("float",),
    ranks: tuple[int, ...] = (4,),
    opset: int = 11,
    domain: str = "",
    attributes: Mapping[str, object] = {},
) -> OperatorFacts:
    return OperatorFacts("c1", op_type, domain, opset, types, ranks, attributes)


@pytest.mark.parametrize(
    ("operator", "why"),
    [
        (facts("Sin"), "it has no kernel for this operator"),
        (facts(domain="com.microsoft"), "it has no kernel for this operator"),
        (facts(types=("float", "double")), "a tensor is double, and it takes float"),
        (facts(ranks=(4, 5)), "a tensor has 5 dimensions, and it takes 2 to 4"),
        (facts(attributes={"group": 8}), "its attribute group is 8, and it takes 1"),
        (facts(opset=9), "it is of operator set 9, and it takes 11 to 13"),
        (facts(opset=14), "it is of operator set 14, and it takes 11 to 13"),
    ],
)
def test_what_stands_against_an_operator(operator: OperatorFacts, why: str) -> None:
    said = read_registry(TABLE, "table").obstacle(DeviceKind.DSP, "engine", "dsp", operator)
    assert said == f"{operator.op_type} c1 cannot run on dsp with engine: {why}."


@pytest.mark.parametrize(
    "operator", [facts(), facts(attributes={"group": 1, "pads": [1]}), facts("Relu", opset=99)]
)
def test_what_nothing_stands_against(operator: OperatorFacts) -> None:
    registry = read_registry(TABLE, "table")
    assert registry.obstacle(DeviceKind.DSP, "engine", "dsp", operator) == ""


def test_an_engine_that_nothing_is_known_of_takes_everything() -> None:
    registry = read_registry(TABLE, "table")
    assert registry.obstacle(DeviceKind.CPU, "engine", "cpu", facts("Sin")) == ""


def test_every_support_has_a_source() -> None:
    table = read_registry(TABLE, "table").supports[DeviceKind.DSP, "engine"]
    assert {name: support.source for name, support in table.items()} == {
        "Conv": "tests",
        "Relu": "elsewhere",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "table is not valid TOML"),
        ("[tpu.engine]", "'tpu' is not a valid DeviceKind"),
        ("[gpu.engine]\nConv = {}", "at Conv.source: Field required"),
        ('[gpu.engine]\nsource = "s"\nConv = { sinze = 3 }', "at Conv.sinze"),
        ('[gpu.engine]\nsource = "s"\nConv = { since = 0 }', "at Conv.since"),
    ],
)
def test_tables_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        read_registry(text, "table")


def test_the_farms_own_table_says_what_a_gpu_runs(tmp_path) -> None:
    save(conv_net(), tmp_path)
    model = load_model(tmp_path / "model.onnx")
    found = operator_facts(model.proto, build_graph(model))
    registry = known_registry()
    said = {
        registry.obstacle(DeviceKind.GPU, "onnxruntime-cuda", "gpu", each)
        for each in found.values()
    }
    assert said == {""}
    integers = facts("MatMulInteger", types=("uint8", "int8", "int32"), opset=13)
    assert "a tensor is uint8" in registry.obstacle(
        DeviceKind.GPU, "onnxruntime-cuda", "gpu", integers
    )
