"""The models that the benchmarks tune and that no file in the repository holds.

``python -m benchmarks.inputs.models FOLDER`` writes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from benchmarks.inputs.resnet import images_of_kinds, resnet50, smooth_images
from benchmarks.inputs.tiny import anomaly_detector, person_detector, pictures, spectra

OPSET = 20
IR_VERSION = 10
WEIGHT_SCALE = 0.05
LIGHT = ("squeezenet", "shufflenet")
_LINEAR = 2  # dimensions of a linear layer's weights
_LAST_SCALE = 2e-5
_SAMPLES = 400  # for a model of MLPerf Tiny's size


def main() -> None:
    """Write every model to a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the models are written")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for path in write_models(folder):
        print(f"{path}: {path.stat().st_size} B")


def write_models(folder: Path) -> list[Path]:
    """Write every model and its data to a folder; the files."""
    random = np.random.default_rng(1)
    models = {
        "transformer_encoder": transformer_encoder(),
        "resnet50": resnet50(),
        "ad_autoencoder": anomaly_detector(),
        "vww_mobilenet": person_detector(),
        **{name: with_random_weights(name) for name in LIGHT},
    }
    data = {
        "resnet50": {"image": random_images()},
        "ad_autoencoder": {"spectrum": spectra(_SAMPLES, random)},
        "vww_mobilenet": {"image": pictures(_SAMPLES, random)},
        "ic_resnet8": {"input_1": small_images(_SAMPLES)},
    }
    for name, model in models.items():
        onnx.save(model, folder / f"{name}.onnx")
    for name, arrays in data.items():
        save_arrays(folder / f"{name}.npz", arrays)
    return [
        *(folder / f"{name}.onnx" for name in models),
        *(folder / f"{name}.npz" for name in data),
    ]


def with_random_weights(name: str, seed: int = 0) -> onnx.ModelProto:
    """One of the onnx package's "light" models, whose weights are one number each: drawn anew.

    As He et al. 2015 (arXiv 1502.01852), equation 10, those of the last layer much smaller, so
    that no class takes all. Batch normalisation changes nothing. The input is called ``image``,
    so that those of ResNet-50 fit.
    """
    model = onnx.load(Path(onnx.__file__).parent / f"backend/test/data/light/light_{name}.onnx")
    random, graph = np.random.default_rng(seed), model.graph
    shapes = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    normalised = [node for node in graph.node if node.op_type == "BatchNormalization"]
    ones = {node.input[at] for node in normalised for at in (1, 4)}  # scale and variance
    for node in [node for node in graph.node if node.op_type == "ConstantOfShape"]:
        shape = [int(size) for size in shapes[node.input[0]]]
        weights = np.full(shape, float(node.output[0] in ones))
        if len(shape) > 1:
            weights = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        if len(shape) == _LINEAR:
            weights *= _LAST_SCALE
        tensor = numpy_helper.from_array(weights.astype(np.float32), node.output[0])
        graph.initializer.append(tensor)
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    for unread in [each for each in graph.initializer if each.name not in read]:
        graph.initializer.remove(unread)
    model.ir_version = IR_VERSION  # before the fourth, every initializer was an input, too
    constants = {each.name for each in graph.initializer}
    for each in [each for each in graph.input if each.name in constants or each.name not in read]:
        graph.input.remove(each)
    (image,) = graph.input
    for node in graph.node:
        node.input[:] = ["image" if name == image.name else name for name in node.input]
    image.name = "image"
    return model


def small_images(count: int) -> NDArray[np.float32]:
    """Images for MLPerf Tiny's image classifier, [count, 32, 32, 3], whole numbers up to 255.

    Shapes that are smooth: of noise alone it says the same class every time.
    """
    large = smooth_images(np.random.default_rng(5), count)
    side = large.shape[-1] // 32
    images = large.reshape(count, 3, 32, side, 32, side).mean(axis=(3, 5))
    images /= images.std(axis=(1, 2, 3), keepdims=True)
    bytes_ = np.clip(np.rint(images * 60 + 120), 0, 255)
    channels_last: NDArray[np.float32] = bytes_.astype(np.float32).transpose(0, 2, 3, 1)
    return channels_last


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an npz of these names."""
    np.savez(path, **arrays)  # type: ignore[arg-type]  # no name is that of an option


def transformer_encoder(
    layers: int = 4, hidden: int = 256, sequence: int = 128, heads: int = 8, seed: int = 0
) -> onnx.ModelProto:
    """A transformer encoder with random weights, normalised after each residual sum.

    Input ``tokens`` and output ``encoded``: float32 [1, sequence, hidden]. Each layer is
    self-attention and a feed-forward part four times as wide (Vaswani et al. 2017, section 3).

    Raises ValueError: ``hidden`` is not a multiple of ``heads``.
    """
    if hidden % heads:
        raise ValueError(f"hidden must be a multiple of heads, and {hidden} is not one of {heads}")
    encoder = _Encoder(hidden, sequence, heads, np.random.default_rng(seed))
    value = "tokens"
    for layer in range(layers):
        value = encoder.layer(value, f"layer{layer}")
    encoder.operator("Identity", [value], "encoded")
    shape = [1, sequence, hidden]
    graph = helper.make_graph(
        encoder.nodes,
        "transformer_encoder",
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("encoded", TensorProto.FLOAT, shape)],
        encoder.constants,
    )
    model = helper.make_model(
        graph,
        producer_name="benchmarks/inputs/models.py",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def random_images(count: int = 128, seed: int = 1) -> NDArray[np.float32]:
    """Data for ``resnet50``: images that its calibration has not seen, [count, 3, 224, 224].

    So many that two answers of a part may change before the farm's limit of 5 % is reached.
    """
    return images_of_kinds(np.random.default_rng(seed), count)[0]


class _Encoder:
    """Collects operators and weights; every method returns the name of its result."""

    def __init__(self, hidden: int, sequence: int, heads: int, rng: np.random.Generator) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._hidden = hidden
        self._rng = rng
        self._split = self.constant("split_shape", np.array([1, sequence, heads, hidden // heads]))
        self._joined = self.constant("joined_shape", np.array([1, sequence, hidden]))
        self._scale = self.constant("scale", np.array([(hidden // heads) ** -0.5], np.float32))

    def layer(self, value: str, name: str) -> str:
        """Self-attention, then the feed-forward part, each added to its input and normalised."""
        attended = self._attention(value, f"{name}_attention")
        summed = self.operator("Add", [value, attended], f"{name}_attention_sum")
        middle = self._normalized(summed, f"{name}_attention_norm")
        wide = self._linear(middle, f"{name}_expand", self._hidden, 4 * self._hidden)
        active = self.operator("Gelu", [wide], f"{name}_gelu")
        narrow = self._linear(active, f"{name}_contract", 4 * self._hidden, self._hidden)
        summed = self.operator("Add", [middle, narrow], f"{name}_feed_sum")
        return self._normalized(summed, f"{name}_feed_norm")

    def operator(
        self, kind: str, inputs: list[str], name: str, *attributes: AttributeProto
    ) -> str:
        """Add one operator with one output, named like the operator."""
        node = helper.make_node(kind, inputs, [name], name)
        node.attribute.extend(attributes)
        self.nodes.append(node)
        return name

    def constant(self, name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> str:
        """Add one initializer."""
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def _attention(self, value: str, name: str) -> str:
        query = self._heads(value, f"{name}_query", [0, 2, 1, 3])
        key = self._heads(value, f"{name}_key", [0, 2, 3, 1])
        content = self._heads(value, f"{name}_value", [0, 2, 1, 3])
        scores = self.operator("MatMul", [query, key], f"{name}_scores")
        scaled = self.operator("Mul", [scores, self._scale], f"{name}_scaled")
        weights = self.operator("Softmax", [scaled], f"{name}_softmax", _attribute("axis", -1))
        mixed = self.operator("MatMul", [weights, content], f"{name}_mixed")
        order = _attribute("perm", [0, 2, 1, 3])
        ordered = self.operator("Transpose", [mixed], f"{name}_ordered", order)
        joined = self.operator("Reshape", [ordered, self._joined], f"{name}_joined")
        return self._linear(joined, f"{name}_output", self._hidden, self._hidden)

    def _heads(self, value: str, name: str, order: list[int]) -> str:
        projected = self._linear(value, name, self._hidden, self._hidden)
        split = self.operator("Reshape", [projected, self._split], f"{name}_split")
        return self.operator("Transpose", [split], f"{name}_heads", _attribute("perm", order))

    def _linear(self, value: str, name: str, inputs: int, outputs: int) -> str:
        weight = self._random(f"{name}_weight", inputs, outputs)
        product = self.operator("MatMul", [value, weight], f"{name}_matmul")
        return self.operator("Add", [product, self._random(f"{name}_bias", outputs)], name)

    def _normalized(self, value: str, name: str) -> str:
        scale = self.constant(f"{name}_scale", np.ones(self._hidden, np.float32))
        bias = self.constant(f"{name}_bias", np.zeros(self._hidden, np.float32))
        return self.operator("LayerNormalization", [value, scale, bias], name)

    def _random(self, name: str, *shape: int) -> str:
        values = WEIGHT_SCALE * self._rng.standard_normal(shape)
        return self.constant(name, values.astype(np.float32))


def _attribute(name: str, value: int | list[int]) -> AttributeProto:
    return helper.make_attribute(name, value)


if __name__ == "__main__":
    main()
