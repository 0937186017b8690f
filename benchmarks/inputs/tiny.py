"""Two networks of the sizes of MLPerf Tiny's, with random weights, see ``networks``.

Both are as small devices run them: batch normalisation is left for the compiler to fold.
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import numpy as np
import onnx

from benchmarks.inputs.networks import Array, Network

FEATURES = 640
IMAGE = 96
_CALIBRATED_ON = 64  # inputs
_WIDTHS = (128, 128, 128, 128, 8, 128, 128, 128, 128)
# Channels and stride of each pair of a depthwise and a pointwise convolution at full width.
_PAIRS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)
_WIDTH = 4  # a quarter of the channels
_KEPT = 3.0


def anomaly_detector(seed: int = 0) -> onnx.ModelProto:
    """An autoencoder of dense layers: input ``spectrum``, float32 [batch, 640], and as many out.

    Sizes as the reference model of MLPerf Tiny's anomaly detection (Banbury et al. 2021, arXiv
    2106.07597): four layers of 128, one of 8, four of 128.
    """
    random = np.random.default_rng(seed)
    network = Network("anomaly_detector", random, "spectrum", spectra(_CALIBRATED_ON, random))
    for layer, width in enumerate(_WIDTHS):
        network.linear(f"dense{layer}", width)
        network.relu(f"dense{layer}_relu")
    network.classifier("rebuilt", FEATURES)
    return network.model()


def person_detector(seed: int = 0) -> onnx.ModelProto:
    """MobileNet v1 of a quarter of the width: input ``image``, float32 [batch, 3, 96, 96].

    Output ``probabilities``: float32 [batch, 2]. Layers as Howard et al. 2017 (arXiv 1704.04861),
    table 1; width and image as the reference model of MLPerf Tiny's visual wake words.
    """
    random = np.random.default_rng(seed)
    network = Network("person_detector", random, "image", pictures(_CALIBRATED_ON, random))
    network.convolution("stem", 32 // _WIDTH, 3, stride=2)
    network.relu("stem_relu")
    for pair, (channels, stride) in enumerate(_PAIRS):
        groups = network.at()[1].shape[1]
        network.convolution(
            f"depthwise{pair}", groups, 3, stride=stride, groups=groups, kept=_KEPT
        )
        network.relu(f"depthwise{pair}_relu")
        network.convolution(f"pointwise{pair}", channels // _WIDTH, 1, kept=_KEPT)
        network.relu(f"pointwise{pair}_relu")
    network.plain("GlobalAveragePool", "pooled")
    network.plain("Flatten", "features")
    network.classifier("scores", 2, directions=4)
    network.plain("Softmax", "probabilities", axis=-1)
    return network.model()


def spectra(count: int, random: np.random.Generator) -> Array:
    """Smooth lines with noise, [count, 640], each around 0 with spread 1."""
    steps = np.cumsum(random.standard_normal((count, FEATURES)), axis=1)
    lines = steps + random.standard_normal((count, FEATURES))
    lines -= lines.mean(axis=1, keepdims=True)
    lines /= lines.std(axis=1, keepdims=True)
    return lines.astype(np.float32)


def pictures(count: int, random: np.random.Generator) -> Array:
    """Rectangles before noise, [count, 3, 96, 96], values from 0 to 1 as those of bytes."""
    images = random.uniform(0.0, 0.3, (count, 3, IMAGE, IMAGE))
    for image in images:
        for _ in range(6):
            (top, left), (high, wide) = random.integers(0, IMAGE - 8, 2), random.integers(8, 64, 2)
            image[:, top : top + high, left : left + wide] = random.uniform(0.0, 1.0, (3, 1, 1))
    return images.astype(np.float32)
