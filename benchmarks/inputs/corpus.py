"""Models of many kinds to learn from: those of the onnx package, and generated families.

``python -m benchmarks.inputs.corpus FOLDER`` writes them. Weights are random: what is learnt from
these models is how long they take, not what they say.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto
from onnx.helper import get_attribute_value
from onnx.numpy_helper import from_array, to_array

from farm.costs.probes.builder import Probe

_LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# VGG and ZFNet are left out: they are hundreds of megabytes of weights, and AlexNet shows those.
_STORED_ALONE = 4  # the first IR version whose stored tensors need not be inputs, too
LIGHT = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
         "squeezenet")  # fmt: skip


def main() -> None:
    """Write every model to a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the models are written")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for path in write_corpus(folder):
        print(f"{path}: {path.stat().st_size} B")


def write_corpus(folder: Path) -> Iterator[Path]:
    """Write the models that are not there yet; the files of all."""
    made: dict[str, Callable[[], ModelProto]] = {
        **{f"light_{name}": partial(light, name) for name in LIGHT},
        **FAMILIES,
    }
    for name, make in made.items():
        path = folder / f"{name}.onnx"
        if not path.exists():
            onnx.save(make(), path)
        yield path


def light(name: str) -> ModelProto:
    """A model of the onnx package, whose weights are constants, with random ones."""
    model = onnx.load(_LIGHT / f"light_{name}.onnx")
    graph, random = model.graph, np.random.default_rng(7)
    sizes = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    kept: list[NodeProto] = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        values = _random(node, tuple(map(int, sizes[node.input[0]])), random)
        graph.initializer.append(from_array(values, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    stored = {tensor.name for tensor in graph.initializer}
    used = {name for node in kept for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    for given in [given for given in graph.input if given.name in stored]:
        graph.input.remove(given)
    model.ir_version = max(model.ir_version, _STORED_ALONE)
    return model


def _random(
    node: NodeProto, shape: tuple[int, ...], random: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Weights of more than one dimension are random; others stay: a variance must be positive."""
    constant = next((to_array(get_attribute_value(a)) for a in node.attribute), np.zeros(1))
    if len(shape) < 2:
        return np.full(shape, constant.flat[0], np.float32)
    values = random.standard_normal(shape, dtype=np.float32)
    return (values / math.sqrt(math.prod(shape[1:]))).astype(np.float32)


def _conv(
    probe: Probe,
    image: str,
    read: int,
    written: int,
    kernel: int = 3,
    stride: int = 1,
    group: int = 1,
) -> str:
    pads = [kernel // 2] * 4
    weights = probe.weight(written, read // group, kernel, kernel)
    return probe.add("Conv", image, weights, probe.weight(written), pads=pads, group=group,
                     strides=[stride, stride])  # fmt: skip


def _relu_conv(probe: Probe, image: str, *sizes: int, **more: int) -> str:
    return probe.add("Relu", _conv(probe, image, *sizes, **more))


def _classified(probe: Probe, image: str, channels: int, classes: int) -> ModelProto:
    pooled = probe.add("Flatten", probe.add("GlobalAveragePool", image))
    made = probe.add("Gemm", pooled, probe.weight(channels, classes), probe.weight(classes))
    probe.end(probe.add("Softmax", made, axis=1))
    return probe.model()


def plain(side: int, width: int, depth: int) -> ModelProto:
    """Convolutions of 3x3 and pooling, twice as wide after each pooling."""
    probe = Probe("plain")
    image, channels = probe.given(1, 3, side, side), 3
    for level in range(depth):
        for _ in range(2):
            image = _relu_conv(probe, image, channels, width << level)
            channels = width << level
        image = probe.add("MaxPool", image, kernel_shape=[2, 2], strides=[2, 2])
    return _classified(probe, image, channels, 10)


def separable(side: int, width: int, depth: int, classes: int = 100) -> ModelProto:
    """Depthwise and pointwise convolutions, like MobileNet."""
    probe = Probe("separable")
    image, channels = _relu_conv(probe, probe.given(1, 3, side, side), 3, width, stride=2), width
    for level in range(depth):
        stride = 2 if level % 2 else 1
        image = _relu_conv(probe, image, channels, channels, stride=stride, group=channels)
        wider = min(channels * (2 if level % 2 else 1), 16 * width)
        image = _relu_conv(probe, image, channels, wider, kernel=1)
        channels = wider
    return _classified(probe, image, channels, classes)


def inverted(side: int, width: int, depth: int) -> ModelProto:
    """Inverted residuals with clipped activations, like MobileNet v2."""
    probe = Probe("inverted")
    low, high = (probe.stored(np.array(v, np.float32)) for v in (0.0, 6.0))

    def clipped(image: str, *sizes: int, **more: int) -> str:
        return probe.add("Clip", _conv(probe, image, *sizes, **more), low, high)

    image, channels = clipped(probe.given(1, 3, side, side), 3, width, stride=2), width
    for level in range(depth):
        stride = 2 if level % 3 == 2 else 1
        made = clipped(image, channels, 6 * channels, kernel=1)
        made = clipped(made, 6 * channels, 6 * channels, stride=stride, group=6 * channels)
        wider = channels * stride
        made = _conv(probe, made, 6 * channels, wider, kernel=1)
        image = probe.add("Add", made, image) if stride == 1 else made
        channels = wider
    return _classified(probe, image, channels, 50)


def residual(side: int, width: int, depth: int) -> ModelProto:
    """Residual blocks of two convolutions of 3x3."""
    probe = Probe("residual")
    image, channels = _relu_conv(probe, probe.given(1, 3, side, side), 3, width, stride=2), width
    for level in range(depth):
        stride = 2 if level else 1
        made = _relu_conv(probe, image, channels, channels * stride, stride=stride)
        made = _conv(probe, made, channels * stride, channels * stride)
        if stride == 2:
            image = _conv(probe, image, channels, 2 * channels, kernel=1, stride=2)
            channels *= 2
        image = probe.add("Relu", probe.add("Add", made, image))
    return _classified(probe, image, channels, 100)


def encoder_decoder(side: int, width: int) -> ModelProto:
    """Down three times and up again, with what was there joined in, like U-Net."""
    probe = Probe("encoder_decoder")
    image, channels, kept = probe.given(1, 3, side, side), 3, []
    for level in range(3):
        image, channels = _relu_conv(probe, image, channels, width << level), width << level
        kept.append(image)
        image = probe.add("MaxPool", image, kernel_shape=[2, 2], strides=[2, 2])
    scales = probe.stored(np.array([1, 1, 2, 2], np.float32))
    for level in (2, 1, 0):
        image = probe.add("Resize", image, "", scales, mode="nearest")
        image = probe.add("Concat", image, kept[level], axis=1)
        image = _relu_conv(probe, image, channels + (width << level), width << level)
        channels = width << level
    probe.end(probe.add("Sigmoid", _conv(probe, image, channels, 1, kernel=1)))
    return probe.model()


def transformer(tokens: int, width: int, heads: int, layers: int) -> ModelProto:
    """Encoder layers, the normalisation after each half."""
    probe = Probe("transformer")
    made = probe.given(1, tokens, width)
    for _ in range(layers):
        made = _attention(probe, made, tokens, width, heads)
        wide = probe.add("Relu", _linear(probe, made, width, 4 * width))
        made = _normal(
            probe, probe.add("Add", made, _linear(probe, wide, 4 * width, width)), width
        )
    probe.end(_linear(probe, made, width, 16))
    return probe.model()


def _linear(probe: Probe, made: str, read: int, written: int) -> str:
    weights = probe.weight(read, written)
    return probe.add("Add", probe.add("MatMul", made, weights), probe.weight(written))


def _normal(probe: Probe, made: str, width: int) -> str:
    scale, bias = probe.weight(width), probe.weight(width)
    return probe.add("LayerNormalization", made, scale, bias, axis=-1)


def _attention(probe: Probe, given: str, tokens: int, width: int, heads: int) -> str:
    shape = probe.integers(1, tokens, heads, width // heads)

    def split(perm: list[int]) -> str:
        made = probe.add("Reshape", _linear(probe, given, width, width), shape)
        return probe.add("Transpose", made, perm=perm)

    query, key, value = split([0, 2, 1, 3]), split([0, 2, 3, 1]), split([0, 2, 1, 3])
    scale = probe.stored(np.array(1 / math.sqrt(width // heads), np.float32))
    scores = probe.add("Mul", probe.add("MatMul", query, key), scale)
    made = probe.add("MatMul", probe.add("Softmax", scores, axis=-1), value)
    made = probe.add("Transpose", made, perm=[0, 2, 1, 3])
    made = probe.add("Reshape", made, probe.integers(1, tokens, width))
    made = _linear(probe, made, width, width)
    return _normal(probe, probe.add("Add", given, made), width)


def dense(width: int, depth: int) -> ModelProto:
    """Layers of one width, one sample."""
    probe = Probe("dense")
    made, read = probe.given(1, 256), 256
    for _ in range(depth):
        made = probe.add("Gemm", made, probe.weight(read, width), probe.weight(width))
        made, read = probe.add("Relu", made), width
    probe.end(probe.add("Gemm", made, probe.weight(width, 10), probe.weight(10)))
    return probe.model()


def recurrent(steps: int, inputs: int, hidden: int) -> ModelProto:
    """Convolutions along time before an LSTM."""
    probe = Probe("recurrent")
    weights = probe.weight(inputs, 40, 3)
    made = probe.add("Conv", probe.given(1, 40, steps), weights, probe.weight(inputs), pads=[1, 1])
    made = probe.add("Transpose", probe.add("Relu", made), perm=[2, 0, 1])
    gates, back = probe.weight(1, 4 * hidden, inputs), probe.weight(1, 4 * hidden, hidden)
    made = probe.add("LSTM", made, gates, back, hidden_size=hidden)
    made = probe.add("Squeeze", made, probe.integers(1))
    probe.end(_linear(probe, made, hidden, 20))
    return probe.model()


FAMILIES: Mapping[str, Callable[[], ModelProto]] = {
    "plain_small": partial(plain, 32, 8, 3),
    "plain_wide": partial(plain, 64, 24, 4),
    "separable_small": partial(separable, 64, 8, 8),
    "separable_wide": partial(separable, 128, 24, 10),
    "inverted_small": partial(inverted, 64, 8, 7),
    "inverted_wide": partial(inverted, 128, 16, 8),
    "residual_small": partial(residual, 48, 12, 3),
    "residual_wide": partial(residual, 112, 32, 4),
    "encoder_decoder": partial(encoder_decoder, 64, 16),
    "transformer_small": partial(transformer, 32, 64, 4, 2),
    "transformer_long": partial(transformer, 128, 128, 4, 3),
    "transformer_wide": partial(transformer, 64, 384, 6, 3),
    "dense_small": partial(dense, 128, 4),
    "dense_wide": partial(dense, 1024, 3),
    "recurrent": partial(recurrent, 50, 64, 96),
}


if __name__ == "__main__":
    main()
