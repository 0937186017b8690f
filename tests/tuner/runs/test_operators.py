"""What the store keeps of a model's operators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from onnx import ModelProto

from farm.costs.operators import costed_operators
from farm.model.graph import build_graph
from farm.model.model import load_model
from tests.models import branching_net, cache_net, conv_net, save
from tuner.runs.record.operators import (
    ModelOperator,
    costed_in,
    model_details,
    operators_in,
    operators_record,
)


def kept(model: ModelProto, folder: Path, **shapes: int) -> dict[str, ModelOperator]:
    save(model, folder)
    loaded = load_model(folder / "model.onnx", shapes)
    record = operators_record(loaded.proto, build_graph(loaded))
    return dict(operators_in(json.dumps({"operators": record})))


def test_types_by_name_in_the_order_of_the_model(tmp_path: Path) -> None:
    found = kept(conv_net(), tmp_path)
    assert [each.op_type for each in found.values()][:3] == ["Conv", "Relu", "Conv"]
    assert {each.op_type for each in found.values() if each.has_weights} == {"Conv", "Gemm"}


def test_products_of_two_activations_have_no_weights(tmp_path: Path) -> None:
    found = kept(cache_net(), tmp_path, past_len=4)
    products = {name: each.has_weights for name, each in found.items() if each.op_type == "MatMul"}
    assert products == {"key": True, "score": False, "mix": False, "project": True}


def test_operators_in_branches_are_there(tmp_path: Path) -> None:
    found = kept(branching_net(), tmp_path)
    assert {"If", "MatMul", "Slice"} <= {each.op_type for each in found.values()}


def test_operators_have_signatures_and_say_whose_results_they_read(tmp_path: Path) -> None:
    first, second, *_ = kept(conv_net(), tmp_path).items()
    assert len(first[1].signature) == 16
    assert first[1].signature != second[1].signature
    assert (first[1].after, second[1].after) == ((), (first[0],))


def test_an_older_farm_kept_no_signatures() -> None:
    found = operators_in('{"operators": {"c": ["Conv", true], "r": ["Relu", false]}}')
    assert found == {"c": ModelOperator("Conv", True), "r": ModelOperator("Relu", False)}


@pytest.mark.parametrize("details", ["{}", '{"shapes": {}}'])
def test_an_older_farm_kept_none(details: str) -> None:
    assert operators_in(details) == {}


def test_what_costs_need_is_kept_with_a_model(tmp_path: Path) -> None:
    save(conv_net(), tmp_path)
    model = load_model(tmp_path / "model.onnx")
    graph = build_graph(model)
    details = model_details(model.proto, graph, {})
    assert costed_in(details) == costed_operators(model.proto, graph)
    assert costed_in("{}") == ()
