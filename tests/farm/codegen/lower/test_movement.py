"""Lowering of data movement: the reference of the lowered steps against ONNX's own."""

from __future__ import annotations

import numpy as np
import pytest

from farm.codegen.front.source import UnsupportedOperator
from farm.codegen.lower.movement import is_movement, lower_movement
from farm.codegen.program import Element, Quantization, Tensor
from tests.farm.codegen.single_node import compare, lowered, node_of, unsupported

X = np.random.default_rng(3).standard_normal((2, 3, 5, 6)).astype(np.float32)


class TestPad:
    @pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
    @pytest.mark.parametrize("pads", [(0, 1, 2, 3, 0, 1, 2, 4), (0, 0, 4, 0, 0, 0, 4, 5)])
    def test_modes(self, mode, pads):
        value = [np.float32(2.5)] if mode == "constant" else []
        if mode == "reflect":
            pads = tuple(min(pad, 2) for pad in pads)
        compare("Pad", X, np.array(pads), *value, mode=mode)

    def test_wrap(self):
        compare("Pad", X, np.array([0, 0, 4, 1, 0, 0, 3, 6]), mode="wrap", opset=19)

    def test_negative_pads_cut_off(self):
        (step,) = lowered("Pad", X, np.array([0, 0, -1, 2, 0, 0, -2, -3]), opset=13)
        want = np.pad(X[:, :, 1:3, :3], [(0, 0), (0, 0), (0, 0), (2, 0)])
        np.testing.assert_array_equal(step.reference([X])[0], want)

    def test_named_axes(self):
        parameters = np.array([1, 2, 0, 1]), np.float32(1), np.array([-1, 1])
        compare("Pad", X, *parameters, opset=18)

    def test_attributes_of_old_operator_sets(self):
        compare("Pad", X, pads=[0, 0, 1, 2, 0, 1, 0, 1], value=1.5, opset=2)

    def test_fill_in_the_integers_of_the_tensor(self):
        node = node_of("Pad", X, np.array([0, 0, 0, 1, 0, 0, 0, 0]), np.float32(-1.0))
        quantization = Quantization(0.25, 10)
        x = Tensor("x", X.shape, Element.U8, quantization=quantization)
        y = Tensor("y", (2, 3, 5, 7), Element.U8, quantization=quantization)
        (step,) = lower_movement(node, (x,), (y,))
        (padded,) = step.reference([np.full(X.shape, 200, np.uint8)])
        assert (padded[..., 0] == 6).all()
        assert (padded[..., 1:] == 200).all()

    def test_unknown_mode(self):
        assert "its mode is sideways" in unsupported("Pad", X, np.zeros(8, int), mode="sideways")


class TestSlice:
    def test_backwards_from_before_the_first(self):
        x = np.arange(4, dtype=np.float32)
        parameters = [np.array([n]) for n in (-9, -17, 0, -1)]
        (step,) = lowered("Slice", x, *parameters)  # Python would take nothing, ONNX the first
        assert step.reference([x])[0].tolist() == [0.0]

    def test_attributes_of_old_operator_sets(self):
        compare("Slice", X, starts=[1, -3], ends=[3, 100], axes=[1, 3], opset=9)
        compare("Slice", X, starts=[1, 0], ends=[2, 2], opset=1)


class TestSplit:
    def test_sizes_as_input_attribute_and_number(self):
        compare("Split", X, np.array([1, 3, 1]), axis=2, outputs=3)
        compare("Split", X, split=[2, 4], axis=-1, outputs=2, opset=11)
        compare("Split", X, axis=2, num_outputs=2, outputs=2, opset=18)
        compare("Split", X, axis=3, outputs=3, opset=11)


class TestRearranging:
    def test_transpose(self):
        compare("Transpose", X)
        compare("Transpose", X, perm=[2, 0, 3, 1])

    def test_depth_and_space(self):
        x = np.arange(96, dtype=np.float32).reshape(2, 12, 2, 2)
        compare("DepthToSpace", x, blocksize=2)
        compare("DepthToSpace", x, blocksize=2, mode="CRD")
        compare("SpaceToDepth", x, blocksize=2)

    def test_expand_and_tile(self):
        compare("Expand", X[:, :1, :, :1], np.array([2, 2, 3, 1, 6]))
        compare("Tile", X, np.array([1, 2, 1, 3]))

    def test_gather(self):
        compare("Gather", X, np.array([[-1, 0], [2, 2]]), axis=1)
        compare("Gather", X, np.array(3), axis=-1)

    def test_concat_with_a_constant(self):
        compare("Concat", X, X[:, :1], axis=1, constants=(1,))
        compare("Concat", X, X, axis=-2)

    def test_shapes(self):
        compare("Reshape", X, np.array([0, -1, 3]))
        compare("Flatten", X, axis=2)
        compare("Squeeze", X[:1], axes=[0], opset=11)
        compare("Unsqueeze", X, np.array([0, -1]))
        compare("Identity", X)


MODES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]


class TestResizeNearest:
    @pytest.mark.parametrize(
        "rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]
    )
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("sizes", [(2, 3, 7, 9), (2, 3, 3, 4), (2, 3, 10, 18)])
    def test_modes(self, mode, rounding, sizes):
        options = {"coordinate_transformation_mode": mode, "nearest_mode": rounding}
        none = np.zeros(0, np.float32)
        compare("Resize", X, none, none, np.array(sizes), mode="nearest", **options)

    def test_old_operator_sets(self):
        (step,) = lowered("Upsample", X, np.float32([1, 1, 2, 2]), mode="nearest", opset=9)
        np.testing.assert_array_equal(step.reference([X])[0], X.repeat(2, 2).repeat(2, 3))
        (step,) = lowered("Resize", X, np.float32([1, 1, 2, 0.5]), mode="nearest", opset=10)
        np.testing.assert_array_equal(step.reference([X])[0], X.repeat(2, 2)[..., ::2])

    def test_interpolation_is_no_movement(self):
        scales = np.float32([1, 1, 2, 2])
        assert is_movement(node_of("Resize", X, None, scales, mode="nearest"))
        assert not is_movement(node_of("Resize", X, None, scales, mode="linear"))


class TestUnsupported:
    def test_parameters_that_change(self):
        message = unsupported("Gather", X, np.array([0, 1]), axis=1, changing=(1,))
        assert "'node' (Gather)" in message
        assert "its input 'x1' is no constant" in message

    def test_training(self):
        parameters = np.float32(0.5), np.array(True)
        with pytest.raises(UnsupportedOperator, match=r"Dropout.*it is in training mode"):
            lowered("Dropout", X, *parameters, opset=13)
