"""Resize and Upsample of every version compute what ONNX Runtime does, bit by bit where copied."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from farm.codegen.generate import generate
from farm.compile.passes import cpu_session
from farm.compile.quantization.calibrate import Range
from tests.models import build, value

COORDINATES = [
    "align_corners",
    "asymmetric",
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "tf_crop_and_resize",
]
ROUNDINGS = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]
EXACT = 1e-5


def resize(shape, scales, *, sizes=(), roi=(), opset=19, **attributes) -> onnx.ModelProto:
    """A model of one Resize whose first two axes stay as they are."""
    output = [*sizes] or np.floor(np.float32(shape[2:]) * np.float32(scales)).astype(int).tolist()
    stored = {"roi": np.float32(roi), "scales": np.float32([1, 1, *scales])}
    names = ["x", "roi" if len(roi) else "", "scales"]
    if sizes:
        stored = {"sizes": np.array([*shape[:2], *sizes])}
        names = ["x", "", "", "sizes"]
    node = make_node("Resize", names, ["y"], name="resize", **attributes)
    outputs = [value("y", [*shape[:2], *output])]
    model = build([node], [value("x", shape)], outputs, stored, opset, ir_version=9)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def results(model: onnx.ModelProto, ranges=None) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of the program and of ONNX Runtime for one random input."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    (ours,) = generate(model, "test", ranges).program.run({"x": x}).values()
    (theirs,) = cpu_session(model).run(None, {"x": x})
    assert ours.shape == theirs.shape
    return ours, theirs


def random_scales(random: np.random.Generator, shape: list[int]) -> np.ndarray:
    """Fractions, ratios of whole numbers, now and then 1; shapes are the same in double."""
    while True:
        sizes, rank = np.array(shape[2:]), len(shape) - 2
        drawn = np.round(random.uniform(0.3, 3, rank), random.integers(0, 3))
        scales = random.integers(1, 12, rank) / sizes if random.random() < 0.4 else drawn
        scales[random.random(rank) < 0.2] = 1
        scales = scales.astype(np.float32)
        output = np.floor(sizes.astype(np.float32) * scales)
        if (output >= 1).all() and (np.floor(sizes * scales.astype(float)) == output).all():
            return scales


def random_model(random: np.random.Generator, mode: str, coordinates: str) -> onnx.ModelProto:
    rank = 2 if mode == "cubic" else int(random.integers(1, 4))
    shape = [1, 2, *(int(size) for size in random.integers(1, 9, rank))]
    options: dict = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        # Where a symmetric coordinate is whole but for rounding, ONNX Runtime takes either side.
        choices = ROUNDINGS[2:] if coordinates == "half_pixel_symmetric" else ROUNDINGS
        options["nearest_mode"] = str(random.choice(choices))
    elif coordinates != "tf_crop_and_resize" and random.random() < 0.25:
        options["antialias"] = 1
    scales = random_scales(random, shape)
    if coordinates == "tf_crop_and_resize":
        begins = np.round(random.uniform(-0.1, 0.4, rank), 2)
        ends = np.round(random.uniform(0.6, 1.1, rank), 2)
        options |= {"roi": [0, 0, *begins, 1, 1, *ends], "extrapolation_value": 7.0}
    elif random.random() < 0.4:
        options["sizes"] = [int(s) for s in np.floor(np.float32(shape[2:]) * scales)]
    return resize(shape, scales, **options)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_random_sizes(mode, coordinates):
    random = np.random.default_rng([COORDINATES.index(coordinates), len(mode)])
    for _ in range(40):
        model = random_model(random, mode, coordinates)
        ours, theirs = results(model)
        tolerance = 0 if mode == "nearest" else EXACT
        text = onnx.printer.to_text(model.graph)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=text)


def test_corners_are_aligned_where_a_scale_is_a_fraction():
    options = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    ours, theirs = results(resize([1, 3, 5, 4], [1.7, 2.3], **options))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=EXACT)


@pytest.mark.parametrize("coordinates", ["align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("scales", [[1.7, 2.3], [0.7, 2.6], [0.25, 0.3]])
def test_integers_lie_within_one_step(coordinates, scales):
    options = {"mode": "linear", "coordinate_transformation_mode": coordinates}
    model = resize([1, 4, 5, 4], scales, **options)
    ours, theirs = results(model, {"x": Range(-1.0, 1.0), "y": Range(-1.0, 1.0)})
    assert np.abs(ours - theirs).max() <= 2 / 255


def test_a_result_of_the_same_shape_is_a_copy():
    ours, theirs = results(resize([1, 1, 3, 4], [1.2, 1.1], mode="linear"))
    np.testing.assert_array_equal(ours, theirs)


def test_coordinates_next_to_a_half_are_one():
    options = {"coordinate_transformation_mode": "asymmetric"}
    for rounding in ROUNDINGS:
        model = resize([1, 1, 7], [2 / 7], mode="nearest", nearest_mode=rounding, **options)
        np.testing.assert_array_equal(*results(model))
