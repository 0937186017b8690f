"""Trains the example: a small convolutional network for scikit-learn's handwritten digits.

Plain numpy, seeded, a few seconds. Writes ``digits.onnx`` and ``digits.npz``;
the latter holds only images that training never saw.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime as ort
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

SEED = 7
HELD_OUT = 797
EPOCHS = 40
BATCH = 50
LEARNING_RATE = 3e-3
CLASSES = 10


def main() -> None:
    """Train, write both files, and check the written model with ONNX Runtime."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path(__file__).parent, help="where the files are written"
    )
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    split = split_digits()
    network = build_network(np.random.default_rng(SEED))
    train(network, split, np.random.default_rng(SEED + 1))
    onnx.save(to_onnx(network), folder / "digits.onnx")
    images = split.held_images.transpose(0, 3, 1, 2)
    np.savez_compressed(folder / "digits.npz", image=images, label=split.held_labels)
    accuracy = held_out_accuracy(folder / "digits.onnx", folder / "digits.npz")
    print(f"held-out accuracy: {accuracy:.4f} on {len(images)} images")


@dataclass(frozen=True, slots=True)
class Split:
    """The digits, images [n, 8, 8, 1] from 0 to 1: those trained on and those held out."""

    train_images: Floats
    train_labels: Labels
    held_images: Floats
    held_labels: Labels


def split_digits() -> Split:
    """Hold out HELD_OUT images, with the classes' shares kept."""
    data = load_digits()
    train_images, held_images, train_labels, held_labels = train_test_split(
        (data.images[..., np.newaxis] / 16).astype(np.float32),
        data.target.astype(np.int64),
        test_size=HELD_OUT,
        random_state=SEED,
        stratify=data.target,
    )
    return Split(train_images, train_labels, held_images, held_labels)


@dataclass(slots=True)
class Parameter:
    """A trained array with its gradient and Adam's two moments."""

    value: Floats
    gradient: Floats
    mean: Floats
    square: Floats

    @classmethod
    def of(cls, value: Floats) -> Parameter:
        """A parameter that starts at ``value``."""
        return cls(value, np.zeros_like(value), np.zeros_like(value), np.zeros_like(value))

    def adam_step(self, rate: float, step: int, decay: tuple[float, float] = (0.9, 0.99)) -> None:
        """One update (Kingma and Ba 2015, algorithm 1). step: counted from 1."""
        first, second = decay
        self.mean = first * self.mean + (1 - first) * self.gradient
        self.square = second * self.square + (1 - second) * self.gradient**2
        corrected = np.sqrt(self.square / (1 - second**step)) + 1e-8
        self.value -= rate * self.mean / (1 - first**step) / corrected


class Layer(Protocol):
    """One layer. ``backward`` takes the gradient of the latest ``forward``'s result."""

    parameters: tuple[Parameter, ...]

    def forward(self, x: Floats) -> Floats:
        """The layer's result."""

    def backward(self, dy: Floats) -> Floats:
        """The gradient of the layer's input; fills the parameters' gradients."""


class Dense:
    """``y = x w + b`` over the last axis."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        scale = np.sqrt(2 / inputs)
        self.weight = Parameter.of(
            (scale * rng.standard_normal((inputs, outputs))).astype(np.float32)
        )
        self.bias = Parameter.of(np.zeros(outputs, np.float32))
        self.parameters: tuple[Parameter, ...] = (self.weight, self.bias)

    def forward(self, x: Floats) -> Floats:
        """X: [..., inputs]; result: [..., outputs]."""
        self._x = x
        return x @ self.weight.value + self.bias.value

    def backward(self, dy: Floats) -> Floats:
        """Gradient of x."""
        rows, drows = self._x.reshape(-1, self._x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        self.weight.gradient = rows.T @ drows
        self.bias.gradient = drows.sum(axis=0)
        return dy @ self.weight.value.T


class Convolution:
    """3 x 3, stride 1, zero padding: a dense layer over the columns of ``im2col``."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        self.dense = Dense(inputs * 9, outputs, rng)
        self.parameters = self.dense.parameters

    def forward(self, x: Floats) -> Floats:
        """X: [batch, height, width, inputs]; result: [batch, height, width, outputs]."""
        windows = sliding_window_view(_padded(x), (3, 3), axis=(1, 2))
        return self.dense.forward(windows.reshape(*x.shape[:3], -1))

    def backward(self, dy: Floats) -> Floats:
        """Gradient of x: each column's gradient is added where the column was read."""
        batch, height, width, _ = dy.shape
        columns = self.dense.backward(dy).reshape(batch, height, width, -1, 3, 3)
        dx = np.zeros((batch, height + 2, width + 2, columns.shape[3]), np.float32)
        for row in range(3):
            for column in range(3):
                target = dx[:, row : row + height, column : column + width]
                target += columns[..., row, column]
        return dx[:, 1:-1, 1:-1]


class Relu:
    """``max(x, 0)``."""

    parameters: tuple[Parameter, ...] = ()

    def forward(self, x: Floats) -> Floats:
        """Any shape."""
        self._positive = x > 0
        return np.where(self._positive, x, np.float32(0))

    def backward(self, dy: Floats) -> Floats:
        """Gradient of x."""
        return np.where(self._positive, dy, np.float32(0))


class MaxPool:
    """Maximum over 2 x 2 windows, stride 2."""

    parameters: tuple[Parameter, ...] = ()

    def forward(self, x: Floats) -> Floats:
        """X: [batch, height, width, channels], height and width even."""
        batch, height, width, channels = x.shape
        windows = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
        y: Floats = windows.max(axis=(2, 4), keepdims=True)
        # Ties are zeros from the ReLU before, whose gradient is stopped there.
        self._chosen = windows == y
        return y[:, :, 0, :, 0]

    def backward(self, dy: Floats) -> Floats:
        """Gradient of x."""
        spread: Floats = self._chosen * dy[:, :, np.newaxis, :, np.newaxis]
        batch, rows, _, columns, _, channels = spread.shape
        return spread.reshape(batch, 2 * rows, 2 * columns, channels)


class Flatten:
    """Everything but the batch axis becomes one axis, channels first as in ONNX."""

    parameters: tuple[Parameter, ...] = ()

    def forward(self, x: Floats) -> Floats:
        """X: [batch, height, width, channels]."""
        batch, self._height, self._width, _ = x.shape
        return x.transpose(0, 3, 1, 2).reshape(batch, -1)

    def backward(self, dy: Floats) -> Floats:
        """Gradient of x."""
        return dy.reshape(len(dy), -1, self._height, self._width).transpose(0, 2, 3, 1)


def build_network(rng: np.random.Generator) -> list[Layer]:
    """About 0.9 million multiply-accumulates per image, 31 thousand weights."""
    return [
        Convolution(1, 32, rng),
        Relu(),
        Convolution(32, 32, rng),
        Relu(),
        MaxPool(),
        Convolution(32, 64, rng),
        Relu(),
        MaxPool(),
        Flatten(),
        Dense(256, CLASSES, rng),
    ]


def train(network: list[Layer], split: Split, rng: np.random.Generator) -> None:
    """Minimise cross entropy with Adam and a cosine schedule."""
    images, labels = split.train_images, split.train_labels
    steps = EPOCHS * (len(images) // BATCH)
    parameters = [parameter for layer in network for parameter in layer.parameters]
    for step, chosen in enumerate(_batches(len(images), rng), start=1):
        y = _shifted(images[chosen], rng)
        for layer in network:
            y = layer.forward(y)
        dy = (_softmax(y) - np.eye(CLASSES, dtype=np.float32)[labels[chosen]]) / np.float32(BATCH)
        for layer in reversed(network):
            dy = layer.backward(dy)
        rate = LEARNING_RATE * (1 + np.cos(np.pi * step / steps)) / 2
        for parameter in parameters:
            parameter.adam_step(float(rate), step)
        if step % (steps // 5) == 0:
            print(f"step {step} of {steps}")


def to_onnx(network: list[Layer]) -> onnx.ModelProto:
    """The network with a softmax, input ``image`` [batch, 1, 8, 8], values 0 to 1."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    value = "image"
    for index, layer in enumerate(network):
        kind, arrays, attributes = _operator(layer)
        name = f"{kind.lower()}_{index}"
        names = [f"{name}_{part}" for part in ("weight", "bias")[: len(arrays)]]
        weights += [numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True)]
        node = helper.make_node(kind, [value, *names], [name], name)
        node.attribute.extend(helper.make_attribute(*pair) for pair in attributes.items())
        nodes.append(node)
        value = name
    nodes.append(helper.make_node("Softmax", [value], ["probabilities"], "softmax", axis=1))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES])],
        weights,
    )
    model = helper.make_model(
        graph,
        producer_name="examples/train_digits.py",
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def held_out_accuracy(model: Path, data: Path) -> float:
    """Top-1 accuracy of a written model on written data, by ONNX Runtime."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    with np.load(data) as arrays:
        (probabilities,) = session.run(None, {"image": arrays["image"]})
        return float(np.mean(np.argmax(probabilities, axis=1) == arrays["label"]))


def _operator(layer: Layer) -> tuple[str, list[Floats], dict[str, list[int] | int]]:
    match layer:
        case Convolution(dense=dense):
            kernel = dense.weight.value.T.reshape(len(dense.bias.value), -1, 3, 3)
            return "Conv", [kernel, dense.bias.value], {"pads": [1, 1, 1, 1]}
        case Dense():
            return "Gemm", [layer.weight.value, layer.bias.value], {}
        case MaxPool():
            return "MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}
        case _:
            return type(layer).__name__, [], {}


def _batches(count: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    for _ in range(EPOCHS):
        order = rng.permutation(count)
        yield from order[: count // BATCH * BATCH].reshape(-1, BATCH)


def _shifted(images: Floats, rng: np.random.Generator) -> Floats:
    """Each image moved by -1, 0 or 1 pixels along both axes, zeros from outside."""
    padded, size = _padded(images), images.shape[1]
    offsets = rng.integers(0, 3, (len(images), 2))
    return np.stack(
        [padded[i, row : row + size, col : col + size] for i, (row, col) in enumerate(offsets)]
    )


def _padded(x: Floats) -> Floats:
    return np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _softmax(logits: Floats) -> Floats:
    powers: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    total: Floats = powers.sum(axis=1, keepdims=True)
    return powers / total


if __name__ == "__main__":
    main()
