"""Lowering of float operators: the reference of the lowered steps against ONNX's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.codegen.front.source import UnsupportedOperator
from farm.codegen.lower.floats.operators import lower_float
from farm.codegen.program import Element, Tensor
from tests.farm.codegen.single_node import compare, lowered, node_of, unsupported

RNG = np.random.default_rng(8)
NEAR = 1e-5


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


X = numbers(2, 4, 7, 9)


class TestFunctions:
    @pytest.mark.parametrize(
        "op_type",
        ["Abs", "Erf", "Exp", "HardSigmoid", "HardSwish", "LeakyRelu", "Neg", "Relu", "Sigmoid",
         "Tanh"],
    )  # fmt: skip
    def test_without_parameters(self, op_type):
        compare(op_type, X, tolerance=1e-6)

    def test_with_parameters(self):
        compare("Sqrt", np.abs(X), tolerance=1e-6)
        compare("LeakyRelu", X, alpha=0.3, tolerance=1e-6)
        compare("HardSigmoid", X, alpha=0.7, beta=0.1, tolerance=1e-6)
        compare("Gelu", X, tolerance=1e-6)
        compare("Gelu", X, approximate="tanh", tolerance=1e-6)

    def test_limits_of_clip(self):
        compare("Clip", X, np.float32(-0.5), np.float32(0.25))
        compare("Clip", X, None, np.float32(0.25))
        compare("Clip", X)
        compare("Clip", X, min=-0.5, opset=6)

    def test_slopes_of_prelu(self):
        compare("PRelu", X, numbers(4, 1, 1), tolerance=NEAR)
        compare("PRelu", X, numbers(9)[0], tolerance=NEAR)
        slopes = numbers(4)
        (step,) = lowered("PRelu", X, slopes, opset=6)
        want = np.where(X < 0, X * slopes[:, None, None], X)
        np.testing.assert_array_equal(step.reference([X])[0], want)


class TestArithmetic:
    @pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
    def test_constants_on_either_side(self, op_type):
        compare(op_type, X, numbers(4, 1, 9))
        compare(op_type, X, numbers(4, 1, 9), constants=(1,))
        compare(op_type, numbers(7, 1), X, constants=(0,), changing=(1,))

    @given(st.lists(st.sampled_from([(1, 3), (3, 1), (2, 2), (1, 1)]), max_size=4))
    def test_broadcasting(self, axes):
        a, b = (numbers(*shape) for shape in (zip(*axes, strict=True) if axes else ((), ())))
        compare("Sub", a, b, changing=(1,))

    def test_too_many_axes_to_broadcast(self):
        message = unsupported("Add", numbers(2, 1, 2, 1, 2), numbers(2, 1, 2, 1))
        assert "(Add): it broadcasts over more than 4 groups of axes" in message


class TestBatchNormalization:
    def test_constants_become_a_factor_and_an_offset(self):
        variance = np.abs(numbers(4))
        parameters = numbers(4), numbers(4), numbers(4), variance
        compare("BatchNormalization", X, *parameters, epsilon=0.01, tolerance=NEAR)

    def test_training(self):
        node = node_of("BatchNormalization", X, *[numbers(4)] * 4)
        training = replace(node, attributes={"training_mode": 1})
        tensors = tuple(Tensor(name, X.shape, Element.F32) for name in "xy")
        with pytest.raises(UnsupportedOperator, match="it is in training mode"):
            lower_float(training, tensors[:1], tensors[1:])


@st.composite
def windows(draw: st.DrawFn) -> dict[str, object]:
    """Attributes of a convolution or pool over the positions of X."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel = draw(pair)
    attributes: dict[str, object] = {
        "kernel_shape": kernel,
        "strides": draw(pair),
        "dilations": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
    }
    auto_pad = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto_pad == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, size - 1)) for size in kernel * 2]
    else:
        # ONNX Runtime refuses the negative padding of longer strides, and dilated padding.
        strides = tuple(draw(st.integers(1, size)) for size in kernel)
        attributes |= {"auto_pad": auto_pad, "strides": strides, "dilations": (1, 1)}
    return attributes


class TestWindows:
    @given(windows(), st.sampled_from([1, 2, 4]), st.booleans())
    def test_convolution(self, attributes, groups, with_bias):
        weights = numbers(8, 4 // groups, *attributes["kernel_shape"])
        bias = [numbers(8)] if with_bias else []
        options = attributes | {"group": groups, "tolerance": NEAR, "by_runtime": True}
        compare("Conv", X, weights, *bias, constants=(1,), **options)

    def test_convolution_over_one_axis(self):
        compare("Conv", X[0], numbers(3, 7, 5), constants=(1,), pads=[1, 2], tolerance=NEAR)

    def test_convolution_over_three_axes(self):
        with pytest.raises(UnsupportedOperator, match="it has 3 axes of positions"):
            compare("Conv", numbers(1, 1, 3, 3, 3), numbers(1, 1, 2, 2, 2), constants=(1,))

    def test_weights_that_change(self):
        assert "'x1' is no constant" in unsupported("Conv", X, numbers(2, 4, 3, 3))

    @given(windows(), st.booleans())
    def test_pools(self, attributes, counts_padding):
        compare("MaxPool", X, by_runtime=True, **attributes)
        options = {"count_include_pad": int(counts_padding), "by_runtime": True}
        compare("AveragePool", X, tolerance=NEAR, **options, **attributes)

    def test_windows_beyond_the_padding(self):
        compare("MaxPool", X, kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)
        compare("AveragePool", X, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, tolerance=NEAR)

    def test_indices(self):
        node = node_of("MaxPool", X, kernel_shape=[2, 2])
        values = tuple(Tensor(name, X.shape, Element.F32) for name in ("x", "y", "indices"))
        with pytest.raises(UnsupportedOperator, match="it gives indices"):
            lower_float(node, values[:1], values[1:])

    def test_whole_images(self):
        compare("GlobalAveragePool", X, tolerance=NEAR)
        compare("GlobalMaxPool", X)


class TestProducts:
    @pytest.mark.parametrize("turned_a", [0, 1])
    @pytest.mark.parametrize("turned_b", [0, 1])
    @pytest.mark.parametrize("constants", [(), (0,), (1,), (1, 2), (2,)])
    @pytest.mark.parametrize("c", [None, numbers(1, 5), numbers(3, 5), numbers(3, 1)])
    def test_gemm(self, turned_a, turned_b, constants, c):
        a = numbers(4, 3) if turned_a else numbers(3, 4)
        b = numbers(5, 4) if turned_b else numbers(4, 5)
        inputs = (a, b) if c is None else (a, b, c)
        changing = tuple(i for i in range(len(inputs)) if i not in constants)
        factors = {"alpha": 0.5, "beta": -1.5}
        turned = {"transA": turned_a, "transB": turned_b}
        if 0 in constants and 1 in constants:
            return
        compare(
            "Gemm",
            *inputs,
            constants=constants,
            changing=changing,
            tolerance=NEAR,
            **factors,
            **turned,
        )

    @pytest.mark.parametrize(
        ("a", "b"),
        [((3, 4), (4, 5)), ((4,), (2, 4, 3)), ((2, 1, 3, 4), (3, 4, 2)), ((2, 3, 4), (4,))],
    )
    def test_matmul(self, a, b):
        compare("MatMul", numbers(*a), numbers(*b), changing=(1,), tolerance=NEAR)
        compare("MatMul", numbers(*a), numbers(*b), constants=(1,), tolerance=NEAR)


class TestReductions:
    @pytest.mark.parametrize("axes", [(1,), (0, 2), (-1, 1), (2, 3), (0, 1, 2, 3)])
    @pytest.mark.parametrize("keep", [0, 1])
    def test_mean(self, axes, keep):
        compare("ReduceMean", X, np.array(axes), keepdims=keep, tolerance=NEAR)
        compare("ReduceMean", X, axes=axes, keepdims=keep, opset=13, tolerance=NEAR)

    def test_mean_of_all_and_of_none(self):
        compare("ReduceMean", X, tolerance=NEAR)
        compare("ReduceMean", X, opset=11, keepdims=0, tolerance=NEAR)
        compare("ReduceMean", X, noop_with_empty_axes=1)

    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_softmax(self, axis):
        compare("Softmax", X, axis=axis, tolerance=1e-6)

    def test_softmax_of_old_operator_sets(self):
        (step,) = lowered("Softmax", X, opset=11)
        flat = X.reshape(2, -1).astype(np.float64)
        powers = np.exp(flat - flat.max(1, keepdims=True))
        want = (powers / powers.sum(1, keepdims=True)).reshape(X.shape)
        np.testing.assert_allclose(step.reference([X])[0], want, rtol=1e-5)


MODES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]


class TestResize:
    @pytest.mark.parametrize("mode", ["linear", "cubic"])
    @pytest.mark.parametrize("coordinates", MODES)
    @pytest.mark.parametrize("sizes", [(2, 4, 9, 20), (2, 4, 3, 4), (2, 4, 7, 9)])
    def test_modes(self, mode, coordinates, sizes):
        compare(
            "Resize",
            X,
            None,
            None,
            np.array(sizes),
            mode=mode,
            coordinate_transformation_mode=coordinates,
            tolerance=NEAR,
        )

    def test_unknown_modes(self):
        scales = np.float32([1, 1, 2, 2])
        assert "its mode is magic" in unsupported("Resize", X, None, scales, mode="magic")
        message = unsupported(
            "Resize", X, None, scales, mode="linear", coordinate_transformation_mode="magic"
        )
        assert "its coordinate_transformation_mode is magic" in message


class TestConvTranspose:
    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"strides": [2, 3]},
            {"strides": [2, 2], "pads": [1, 0, 0, 2]},
            {"strides": [3, 2], "output_padding": [2, 1], "pads": [1, 1, 1, 1]},
            {"dilations": [2, 3], "strides": [2, 1], "kernel_shape": [3, 2]},
            {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
            {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
            {"strides": [2, 2], "auto_pad": "VALID"},
            {"strides": [3, 2], "output_shape": [14, 11]},
            {"strides": [3, 2], "output_shape": [14, 11], "auto_pad": "SAME_UPPER"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("groups", [1, 2])
    def test_attributes(self, attributes, groups):
        x, w, b = numbers(2, 4, 5, 6), numbers(4, 3, 3, 2), numbers(3 * groups)
        given = {"group": groups, "by_runtime": True, "tolerance": NEAR, **attributes}
        compare("ConvTranspose", x, w, b, constants=(1, 2), **given)
        compare("ConvTranspose", x, w, constants=(1,), opset=11, **given)

    @pytest.mark.parametrize("rank", [1, 3])
    def test_over_other_axes(self, rank):
        x, w = numbers(1, 2, *[4] * rank), numbers(2, 3, *[3] * rank)
        compare("ConvTranspose", x, w, constants=(1,), strides=[2] * rank, tolerance=NEAR)

    def test_weights_that_change(self):
        message = unsupported("ConvTranspose", numbers(1, 2, 4), numbers(2, 3, 3))
        assert "(ConvTranspose): its input 'x1' is no constant" in message


class TestRecurrent:
    GATES = {"LSTM": 4, "GRU": 3}  # noqa: RUF012

    def inputs(self, op_type, directions, *, bias=True, states=0, peephole=False):
        """x, and parameters of 5 hidden elements for 3 inputs, 4 steps and a batch of 2."""
        gates = self.GATES[op_type] * 5
        given = [numbers(4, 2, 3), numbers(directions, gates, 3), numbers(directions, gates, 5)]
        given.append(numbers(directions, 2 * gates) if bias else None)
        given += [None, *(numbers(directions, 2, 5) for _ in range(states))]
        if peephole:
            given += [None] * (2 - states) + [numbers(directions, 15)]
        while given[-1] is None:
            given.pop()
        return given

    @pytest.mark.parametrize("op_type", GATES)
    @pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
    @pytest.mark.parametrize("outputs", [1, 2])
    @pytest.mark.parametrize("bias", [False, True])
    def test_directions(self, op_type, direction, outputs, bias):
        given = self.inputs(op_type, 1 + (direction == "bidirectional"), bias=bias)
        attributes = {"hidden_size": 5, "direction": direction}
        for opset in (7, 14, 22):
            compare(
                op_type,
                *given,
                constants=range(1, 8),
                outputs=outputs,
                opset=opset,
                by_runtime=True,
                tolerance=NEAR,
                **attributes,
            )

    @pytest.mark.parametrize("constants", [range(1, 5), range(1, 8)])
    def test_initial_states(self, constants):
        for op_type, states, outputs in (("LSTM", 2, 3), ("LSTM", 1, 3), ("GRU", 1, 2)):
            given = self.inputs(op_type, 1, states=states)
            options = {"by_runtime": True, "tolerance": NEAR, "hidden_size": 5}
            compare(op_type, *given, constants=constants, outputs=outputs, **options)

    def test_peepholes_and_a_reset_after_the_product(self):
        options = {"by_runtime": True, "tolerance": NEAR, "hidden_size": 5}
        given = self.inputs("LSTM", 1, peephole=True)
        compare("LSTM", *given, constants=range(1, 8), **options)
        given = self.inputs("GRU", 1)
        compare("GRU", *given, constants=range(1, 8), linear_before_reset=1, **options)

    def test_activations_that_are_its_own(self):
        options = {"by_runtime": True, "tolerance": NEAR, "hidden_size": 5}
        given = self.inputs("LSTM", 1)
        own = ["Sigmoid", "Tanh", "Tanh"]
        compare("LSTM", *given, constants=range(1, 8), activations=own, **options)

    def test_whole_sequences(self):
        given = self.inputs("GRU", 1)
        options = {"by_runtime": True, "tolerance": NEAR, "hidden_size": 5}
        compare("GRU", *given, np.int32([4, 4]), constants=range(1, 8), **options)

    @pytest.mark.parametrize(
        ("attributes", "reason"),
        [
            ({"activations": ["Relu", "Tanh", "Tanh"]}, "its activations are Relu, Tanh, Tanh"),
            ({"clip": 0.5}, "it clips at 0.5"),
            ({"input_forget": 1}, "its input gate and its forget gate are one"),
        ],
    )
    def test_what_is_not_supported(self, attributes, reason):
        x, *others = self.inputs("LSTM", 1)
        node = node_of("LSTM", x, *others, constants=range(1, 8), hidden_size=5, **attributes)
        inputs = (Tensor("x0", (4, 2, 3), Element.F32),)
        with pytest.raises(UnsupportedOperator, match=reason):
            lower_float(node, inputs, (Tensor("y", (4, 1, 2, 5), Element.F32),))

    def test_shorter_sequences(self):
        x, *others = self.inputs("GRU", 1)
        node = node_of("GRU", x, *others, np.int32([4, 3]), constants=range(1, 8), hidden_size=5)
        inputs = (Tensor("x0", (4, 2, 3), Element.F32),)
        with pytest.raises(UnsupportedOperator, match="sequences are shorter than others"):
            lower_float(node, inputs, (Tensor("y", (4, 1, 2, 5), Element.F32),))
