"""Networks with random weights whose answers mean something.

Random weights alone let activations grow or die, and give every input the same class. Here each
batch normalisation has the statistics of its inputs, measured on inputs like those that the
network is for, and the last layer is centred on their features: so different inputs get different
classes, by margins that rounding can lose. Where inputs are of kinds, the last layer tells these
apart, as that of a trained network does.
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]

OPSET = 20
IR_VERSION = 10
_EPSILON = 1e-5
_CALM = 4.0  # of the scores of one image, of many classes that are kinds
_SPREAD = 16.0  # of the scores of one image: the first class mostly leads, now and then barely

_Attribute = int | float | list[int]
_At = tuple[str, Array]
"""A tensor and its values for the calibration's images."""


class Network:
    """Adds operators one after the other, and computes each for some inputs.

    given: name of the input. inputs: what it is calibrated on, the batch first.
    """

    def __init__(self, name: str, random: np.random.Generator, given: str, inputs: Array) -> None:
        self._name = name
        self._random = random
        self._given = given
        self._shape = inputs.shape[1:]
        self._at: _At = (given, inputs)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def at(self) -> _At:
        """The tensor that was made last."""
        return self._at

    def go(self, at: _At) -> None:
        """Go on from another tensor."""
        self._at = at

    def convolution(
        self,
        name: str,
        channels: int,
        kernel: int,
        stride: int = 1,
        weight: float = 1.0,
        groups: int = 1,
        kept: float = 0.0,
    ) -> None:
        """A convolution and the batch normalisation that fits its results.

        weight: of the normalised results, on average.
        kept: of each result, how much is one input as it is, beside as much of the random sum
            as 1: without a sum around a deep network, rounding grows from layer to layer.
        """
        inputs = self._at[1].shape[1] // groups
        spread = np.sqrt(2 / (inputs * kernel * kernel))
        weights = self._random.normal(0, spread, (channels, inputs, kernel, kernel))
        passed = np.arange(channels) % inputs
        weights[np.arange(channels), passed, kernel // 2, kernel // 2] += kept
        self._add(
            "Conv",
            f"{name}_conv",
            {f"{name}_weight": weights},
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
            group=groups,
        )
        self._normalise(name, weight)

    def linear(self, name: str, features: int) -> None:
        """A linear layer and the batch normalisation that fits its results."""
        inputs = self._at[1].shape[1]
        weights = self._random.normal(0, np.sqrt(2 / inputs), (inputs, features))
        self._add("MatMul", f"{name}_product", {f"{name}_weight": weights})
        self._normalise(name, 1.0)

    def classifier(self, name: str, classes: int, directions: int | None = None) -> None:
        """A linear layer whose scores tell the calibration's inputs apart.

        directions: how many of those in which the features vary most it looks at; None: all.
        """
        features = self._at[1].astype(np.float64)
        middle = features.mean(axis=0)
        _, _, found = np.linalg.svd(features - middle, full_matrices=False)
        seen = found[:directions]
        weights = self._random.standard_normal((classes, len(seen))) @ seen
        weights *= _SPREAD / ((features - middle) @ weights.T).std()
        constants = {f"{name}_weight": weights, f"{name}_bias": -weights @ middle}
        self._add("Gemm", name, constants, transB=1)

    def nearest(self, name: str, classes: int, inputs: Array, kinds: NDArray[np.int64]) -> None:
        """A linear layer whose highest score is that of the kind whose features are the nearest.

        inputs, kinds: examples, [n, ...] and [n]; kinds count from 0. What is left of the classes
        looks for mixtures of kinds.
        """
        features = self._features(inputs).astype(np.float64)
        middle = features.mean(axis=0)
        count = kinds.max() + 1
        means = np.stack([features[kinds == kind].mean(axis=0) for kind in range(count)]) - middle
        mixing = self._random.standard_normal((classes - count, count)) / np.sqrt(count)
        weights = np.concatenate([means, mixing @ means])
        bias = -(weights**2).sum(axis=1) / 2  # so that the score falls with the squared distance
        scale = _CALM / ((features - middle) @ weights.T + bias).std()
        constants = {f"{name}_weight": weights, f"{name}_bias": bias - weights @ middle}
        self._add("Gemm", name, {n: scale * a for n, a in constants.items()}, transB=1)

    def _features(self, inputs: Array) -> Array:
        """The tensor that was made last, for other inputs."""
        session = ort.InferenceSession(
            self.model().SerializeToString(), providers=["CPUExecutionProvider"]
        )
        rows = [session.run(None, {self._given: each[None]})[0] for each in inputs]
        return np.concatenate(rows)

    def relu(self, name: str) -> None:
        """Relu."""
        self.plain("Relu", name)

    def plain(
        self, op_type: str, name: str, more: Sequence[_At] = (), **attributes: _Attribute
    ) -> None:
        """An operator without weights. more: its inputs after the tensor that was made last."""
        self._add(op_type, name, {}, more, **attributes)

    def model(self) -> onnx.ModelProto:
        """The model up to the tensor that was made last."""
        name, values = self._at
        given = helper.make_tensor_value_info(
            self._given, TensorProto.FLOAT, ["batch", *self._shape]
        )
        result = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", values.shape[1]])
        graph = helper.make_graph(self._nodes, self._name, [given], [result], self._weights)
        model = _model(graph)
        onnx.checker.check_model(model)
        return model

    def _normalise(self, name: str, weight: float) -> None:
        values = self._at[1].astype(np.float64)
        axes = (0, *range(2, values.ndim))
        channels = values.shape[1]
        parameters = {
            f"{name}_scale": weight * self._random.uniform(0.5, 1.5, channels),
            f"{name}_bias": self._random.normal(0, 0.2, channels),
            f"{name}_mean": values.mean(axis=axes),
            f"{name}_variance": values.var(axis=axes),
        }
        self._add("BatchNormalization", f"{name}_norm", parameters, epsilon=_EPSILON)

    def _add(
        self,
        op_type: str,
        name: str,
        constants: dict[str, NDArray[np.float64]],
        more: Sequence[_At] = (),
        **attributes: _Attribute,
    ) -> None:
        given = (self._at, *more)
        names = [each for each, _ in given] + list(constants)
        node = helper.make_node(op_type, names, [name], name)
        node.attribute.extend(helper.make_attribute(*pair) for pair in attributes.items())
        stored = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()]
        self._at = (name, _computed(node, dict(given), stored))
        self._nodes.append(node)
        self._weights += stored


def _computed(
    node: onnx.NodeProto, given: dict[str, Array], stored: Sequence[onnx.TensorProto]
) -> Array:
    """What an operator gives, by ONNX Runtime."""
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in given.items()
    ]
    outputs = [onnx.ValueInfoProto(name=node.output[0])]
    model = _model(helper.make_graph([node], "one", inputs, outputs, stored))
    content = model.SerializeToString()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, given)[0]
    return result


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(
        graph,
        producer_name="benchmarks/inputs/networks.py",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
