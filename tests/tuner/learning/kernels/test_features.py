"""What a kernel's speed may depend on."""

from __future__ import annotations

import pytest

from tests.farm.costs.values import chain
from tests.tuner.learning.kernels.values import CACHES, convolution
from tuner.learning.kernels.features import (
    Surroundings,
    feature_names,
    features,
    touched_bytes,
)


def named(operators, precision: str = "float32", around: float = 1e6) -> dict[str, float]:
    found = features(operators, precision, Surroundings(CACHES, around))
    return dict(zip(feature_names(len(CACHES)), found, strict=True))


def test_work_and_shapes_of_a_convolution() -> None:
    found = named([convolution(31, 7, 8)])
    assert found["is convolution"] == 1.0
    assert found["channels read"] == 5.0, "logarithm of 31 + 1"
    assert found["channels written"] == 3.0
    assert found["kernel"] == pytest.approx(3.32, abs=0.01), "logarithm of 9 + 1"
    assert found["written padded to 8"] == pytest.approx(0.193, abs=0.001), "8 / 7"
    assert found["inner"] == pytest.approx(8.13, abs=0.01), "31 channels of 9"


def test_weights_are_told_from_what_is_read_anew() -> None:
    small, large = named([convolution(4, 4, 32)]), named([convolution(64, 64, 2)])
    assert small["weights"] < small["read"]
    assert large["weights"] > large["read"]


def test_numbers_of_a_byte_fill_a_quarter_of_the_cache() -> None:
    whole, quarter = named([convolution(64, 64, 8)]), named([convolution(64, 64, 8)], "int8")
    assert whole["kernel over L1"] - quarter["kernel over L1"] == pytest.approx(2.0)


def test_what_is_around_a_kernel_is_seen() -> None:
    near, far = named([convolution(4, 4, 4)], around=2**20), named([convolution(4, 4, 4)])
    assert near["model over L2"] == 0.0
    assert far["model over L2"] < 0.0


def test_what_is_fused_is_seen() -> None:
    found = named(chain("Conv", "Relu"))
    assert (found["operators"], found["with Relu"], found["with Add"]) == (2.0, 1.0, 0.0)


def test_a_normalisation_that_is_folded_into_weights_is_not_seen() -> None:
    plain, normalised = (
        named(chain("Conv", "Relu")),
        named(chain("Conv", "BatchNormalization", "Relu")),
    )
    for name in ("operators", "with BatchNormalization", "with Relu"):
        assert plain[name] == normalised[name]
    assert named(chain("BatchNormalization"))["with BatchNormalization"] == 1.0


def test_a_model_touches_each_tensor_once() -> None:
    operators = chain("Relu", "Relu", count=100)
    assert touched_bytes(operators, "float32") == 3 * 400
    assert touched_bytes(operators, "int8") == 3 * 100
