"""Random networks that a device is calibrated with."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import onnx

from farm.costs.families import Family
from farm.costs.operators import costed_operators
from farm.costs.probes.networks import image_network, networks, sequence_network
from farm.model.graph import build_graph
from farm.model.model import load_model


def families(model: onnx.ModelProto, folder: Path) -> set[Family]:
    onnx.save(model, folder / "n.onnx")
    loaded = load_model(folder / "n.onnx")
    operators = costed_operators(loaded.proto, build_graph(loaded))
    assert all(op.complete for op in operators)
    return {op.family for op in operators}


def test_networks_of_images_have_what_models_of_images_have(tmp_path: Path) -> None:
    found = families(image_network(1, 1e6, 60), tmp_path)
    assert {Family.CONVOLUTION, Family.POINTWISE, Family.DEPTHWISE, Family.POOL} <= found
    assert {Family.PRODUCT, Family.ELEMENTWISE, Family.REDUCTION, Family.VIEW} <= found


def test_networks_of_rows_have_what_transformers_have(tmp_path: Path) -> None:
    found = families(sequence_network(1, 64, 16, 2), tmp_path)
    assert {Family.PRODUCT, Family.NORMALISATION, Family.MOVEMENT, Family.VIEW} <= found


def test_of_one_row_there_are_products_alone(tmp_path: Path) -> None:
    assert families(sequence_network(1, 64, 1, 2), tmp_path) <= {
        Family.PRODUCT,
        Family.ELEMENTWISE,
    }


def test_weights_of_products_fit_into_each_level_of_the_cache_and_into_none() -> None:
    sizes = [each.model.ByteSize() for each in islice(networks(), 4)]
    limits = (1 << 20, 8 << 20, 32 << 20)
    assert [sum(size > limit for limit in limits) for size in sizes] == [0, 1, 2, 3]


def test_they_are_the_same_every_time_and_some_fit_a_package() -> None:
    first, again = ([*islice(networks(), 11)] for _ in range(2))
    assert [each.name for each in first] == [each.name for each in again]
    assert all(one.model == other.model for one, other in zip(first, again, strict=True))
    assert [each.weighs for each in first] == [
        *(False, False, True, True),  # products
        *(False, True),  # what others seldom have
        *(False, True, True, True, False),
    ]
