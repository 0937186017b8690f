"""Linear interpolation of u8: against ONNX's reference, and kernels against references."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.front.source import read_source
from farm.codegen.lower.resize import resized_axes
from farm.codegen.ops.integer.resize import ResizeLinear, linear_taps
from farm.codegen.program import Layout
from tests.farm.codegen.kernel_harness import Case, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
SIZES = [  # x, and the result's height and width
    ((1, 6, 5, 7), (10, 14)),
    ((2, 3, 5, 7), (3, 20)),
    ((1, 8, 8, 4), (1, 1)),
    ((1, 2, 1, 4), (3, 4)),
]


MODES = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]


def onnx_model(shape, size, mode: str):
    node = helper.make_node(
        "Resize", ["x", "", "scales"], ["y"], mode="linear", coordinate_transformation_mode=mode
    )
    scales = [1.0, 1.0, size[0] / shape[2], size[1] / shape[3]]
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (*shape[:2], *size))],
        [helper.make_tensor("scales", TensorProto.FLOAT, [4], scales)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def resize(shape, size, mode: str, layout: Layout) -> Case:
    node = read_source(onnx_model(shape, size, mode)).nodes[0]
    taps = {axis: linear_taps(np.arange(shape[axis]), shape[axis]) for axis in (2, 3)}
    for each in resized_axes(node, shape, (*shape[:2], *size)):
        taps[each.axis] = linear_taps(each.coordinates, each.inputs)
    x, y = tensor("x", shape, layout), tensor("y", (*shape[:2], *size), layout)
    rng = np.random.default_rng(math.prod(shape))
    inputs = [rng.integers(0, 256, shape, np.uint8)]
    return Case(ResizeLinear((x,), (y,), taps[2], taps[3]), inputs)


def all_cases() -> list[Case]:
    sizes = zip(SIZES, MODES, strict=True)
    return [resize(*size, mode, layout) for size, mode in sizes for layout in Layout]


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_agree_with_the_reference(program):
    program.check()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_results_are_those_of_onnx_runtime_rounded(shape, size, mode):
    case = resize(shape, size, mode, Layout.PLAIN)
    session = ort.InferenceSession(onnx_model(shape, size, mode).SerializeToString())
    (expected,) = session.run(None, {"x": case.inputs[0].astype(np.float32)})
    error = case.step.reference(case.inputs)[0] - expected
    assert np.abs(error).max() <= 0.5 + 255 / 2048


def test_taps_stay_inside():
    taps = linear_taps((np.arange(8) + 0.5) / 2 - 0.5, 4)
    assert taps.low.tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    assert taps.high.tolist() == [1, 1, 1, 2, 2, 3, 3, 3]
    assert taps.weight.tolist() == [0, 512, 1536, 512, 1536, 512, 1536, 0]


def test_coordinates_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="has coordinates that are not finite numbers"):
        linear_taps(np.array([0.0, np.inf]), 4)
