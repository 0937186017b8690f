"""ResNet-50 with random weights whose answers mean something, and images to ask it about.

Random weights alone let activations grow or die, and give every image the same class. Here each
batch normalisation has the statistics of its inputs, measured on images like those that
``smooth_images`` makes, and the last layer is centred on their features: so different images get
different classes, by margins that rounding can lose.
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
SIZE = 224
CLASSES = 1000
_BLOCKS = (3, 4, 6, 3)
_WIDTH = 64
_EXPANSION = 4  # channels of a block's result over those within
_CALIBRATED_ON = 24  # images
_EPSILON = 1e-5
_BRANCH = (
    0.3  # weight of a block's branch beside its input: rounding does not grow from block to block
)
_SPREAD = 16.0  # of the scores of one image: the first class mostly leads, now and then barely


def resnet50(seed: int = 0) -> onnx.ModelProto:
    """ResNet-50 v1.5 for 1000 classes; the same for the same seed on the same machine.

    Input ``image``: float32 [batch, 3, 224, 224]; output ``probabilities``: float32 [batch, 1000].
    Convolutions as He et al. 2015 (arXiv 1512.03385), table 1, strides in those of 3 x 3; weights
    drawn as He et al. 2015 (arXiv 1502.01852), equation 10.
    """
    random = np.random.default_rng(seed)
    builder = _Builder(random, smooth_images(random, _CALIBRATED_ON))
    builder.convolution("stem", _WIDTH, 7, stride=2)
    builder.relu("stem_relu")
    builder.plain("MaxPool", "stem_pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, blocks in enumerate(_BLOCKS):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            _bottleneck(builder, f"stage{stage}_block{block}", _WIDTH << stage, stride)
    builder.plain("GlobalAveragePool", "pooled")
    builder.plain("Flatten", "features")
    builder.classifier("scores")
    builder.plain("Softmax", "probabilities", axis=-1)
    return builder.model()


def smooth_images(random: np.random.Generator, count: int) -> Array:
    """Images with large and small shapes in colours of their own, [count, 3, 224, 224].

    Each image has mean 0 and spread 1: no answer depends on brightness alone.
    """
    images = np.zeros((count, 3, SIZE, SIZE))
    for cells in (2, 4, 8, 16, 56):
        grid = random.standard_normal((count, 3, cells + 1, cells + 1))
        images += _enlarged(grid) * random.uniform(0.0, 1.0, (count, 3, 1, 1))
    images -= images.mean(axis=(1, 2, 3), keepdims=True)
    images /= images.std(axis=(1, 2, 3), keepdims=True)
    return images.astype(np.float32)


def _enlarged(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grids stretched over an image, linear in between."""
    cells = grid.shape[-1] - 1
    place = (np.arange(SIZE) + 0.5) * cells / SIZE
    first = place.astype(int)
    share = place - first
    weights = np.zeros((SIZE, cells + 1))
    weights[np.arange(SIZE), first] = 1 - share
    weights[np.arange(SIZE), first + 1] += share
    return np.asarray(weights @ grid @ weights.T)


def _bottleneck(builder: _Builder, name: str, width: int, stride: int) -> None:
    """1 x 1, 3 x 3 and 1 x 1, added to what came in; that is projected where shapes differ."""
    given = builder.at()
    builder.convolution(f"{name}_reduce", width, 1)
    builder.relu(f"{name}_reduce_relu")
    builder.convolution(f"{name}_middle", width, 3, stride=stride)
    builder.relu(f"{name}_middle_relu")
    builder.convolution(f"{name}_expand", width * _EXPANSION, 1, weight=_BRANCH)
    branch = builder.at()
    if given[1].shape != branch[1].shape:
        builder.go(given)
        builder.convolution(f"{name}_shortcut", width * _EXPANSION, 1, stride=stride)
        given = builder.at()
    builder.go(branch)
    builder.plain("Add", f"{name}_sum", more=(given,))
    builder.relu(f"{name}_relu")


_Attribute = int | float | list[int]
_At = tuple[str, Array]
"""A tensor and its values for the calibration's images."""


class _Builder:
    """Adds operators one after the other, and computes each for the calibration's images."""

    def __init__(self, random: np.random.Generator, images: Array) -> None:
        self._random = random
        self._at: _At = ("image", images)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def at(self) -> _At:
        """The tensor that was made last."""
        return self._at

    def go(self, at: _At) -> None:
        """Go on from another tensor."""
        self._at = at

    def convolution(
        self, name: str, channels: int, kernel: int, stride: int = 1, weight: float = 1.0
    ) -> None:
        """A convolution and the batch normalisation that fits its results.

        weight: of the normalised results, on average.
        """
        inputs = self._at[1].shape[1]
        spread = np.sqrt(2 / (inputs * kernel * kernel))
        weights = self._random.normal(0, spread, (channels, inputs, kernel, kernel))
        self._add(
            "Conv",
            f"{name}_conv",
            {f"{name}_weight": weights},
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
        )
        values = self._at[1].astype(np.float64)
        parameters = {
            f"{name}_scale": weight * self._random.uniform(0.5, 1.5, channels),
            f"{name}_bias": self._random.normal(0, 0.2, channels),
            f"{name}_mean": values.mean(axis=(0, 2, 3)),
            f"{name}_variance": values.var(axis=(0, 2, 3)),
        }
        self._add("BatchNormalization", f"{name}_norm", parameters, epsilon=_EPSILON)

    def classifier(self, name: str) -> None:
        """A linear layer whose scores tell the calibration's images apart."""
        features = self._at[1].astype(np.float64)
        middle = features.mean(axis=0)
        _, sizes, directions = np.linalg.svd(features - middle, full_matrices=False)
        weights = self._random.standard_normal((CLASSES, len(sizes))) @ directions
        weights *= _SPREAD / ((features - middle) @ weights.T).std()
        constants = {f"{name}_weight": weights, f"{name}_bias": -weights @ middle}
        self._add("Gemm", name, constants, transB=1)

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
        given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])
        result = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", values.shape[1]])
        graph = helper.make_graph(self._nodes, "resnet50", [given], [result], self._weights)
        model = _model(graph)
        onnx.checker.check_model(model)
        return model

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
        producer_name="benchmarks/resnet.py",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
