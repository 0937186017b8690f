"""ResNet-50 with random weights, see ``networks``, and images to ask it about."""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.inputs.networks import Array, Network

SIZE = 224
CLASSES = 1000
_BLOCKS = (3, 4, 6, 3)
_WIDTH = 64
_EXPANSION = 4  # channels of a block's result over those within
_CALIBRATED_ON = 24  # images
_KINDS, _EXAMPLES = 50, 2  # of each kind
_OWN = 0.5
_SEED_OF_KINDS = 99
_BRANCH = (
    0.3  # weight of a block's branch beside its input: rounding does not grow from block to block
)


def resnet50(seed: int = 0) -> onnx.ModelProto:
    """ResNet-50 v1.5 for 1000 classes; the same for the same seed on the same machine.

    Input ``image``: float32 [batch, 3, 224, 224]; output ``probabilities``: float32 [batch, 1000].
    Convolutions as He et al. 2015 (arXiv 1512.03385), table 1, strides in those of 3 x 3; weights
    drawn as He et al. 2015 (arXiv 1502.01852), equation 10. The last layer tells kinds of images
    apart, as a trained one does: a random one decides by so little that bfloat16 changes its mind.
    """
    random = np.random.default_rng(seed)
    images, kinds = images_of_kinds(random, _EXAMPLES * _KINDS)
    network = Network("resnet50", random, "image", images[:_CALIBRATED_ON])
    network.convolution("stem", _WIDTH, 7, stride=2)
    network.relu("stem_relu")
    network.plain("MaxPool", "stem_pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, blocks in enumerate(_BLOCKS):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            _bottleneck(network, f"stage{stage}_block{block}", _WIDTH << stage, stride)
    network.plain("GlobalAveragePool", "pooled")
    network.plain("Flatten", "features")
    network.nearest("scores", CLASSES, images, kinds)
    network.plain("Softmax", "probabilities", axis=-1)
    return network.model()


def images_of_kinds(random: np.random.Generator, count: int) -> tuple[Array, NDArray[np.int64]]:
    """Images and their kinds, [count, 3, 224, 224] and [count]; kinds are the same every time.

    An image is half as much its own as it is of its kind.
    """
    kinds = np.arange(count) % _KINDS
    images = smooth_images(np.random.default_rng(_SEED_OF_KINDS), _KINDS)[kinds]
    images = _standardised(images + _OWN * smooth_images(random, count))
    return images, kinds


def smooth_images(random: np.random.Generator, count: int) -> Array:
    """Images with large and small shapes in colours of their own, [count, 3, 224, 224].

    Each image has mean 0 and spread 1: no answer depends on brightness alone.
    """
    images = np.zeros((count, 3, SIZE, SIZE))
    for cells in (2, 4, 8, 16, 56):
        grid = random.standard_normal((count, 3, cells + 1, cells + 1))
        images += _enlarged(grid) * random.uniform(0.0, 1.0, (count, 3, 1, 1))
    return _standardised(images)


def _standardised(images: NDArray[np.floating]) -> Array:
    centred = images - images.mean(axis=(1, 2, 3), keepdims=True)
    standardised: Array = (centred / centred.std(axis=(1, 2, 3), keepdims=True)).astype(np.float32)
    return standardised


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


def _bottleneck(network: Network, name: str, width: int, stride: int) -> None:
    """1 x 1, 3 x 3 and 1 x 1, added to what came in; that is projected where shapes differ."""
    given = network.at()
    network.convolution(f"{name}_reduce", width, 1)
    network.relu(f"{name}_reduce_relu")
    network.convolution(f"{name}_middle", width, 3, stride=stride)
    network.relu(f"{name}_middle_relu")
    network.convolution(f"{name}_expand", width * _EXPANSION, 1, weight=_BRANCH)
    branch = network.at()
    if given[1].shape != branch[1].shape:
        network.go(given)
        network.convolution(f"{name}_shortcut", width * _EXPANSION, 1, stride=stride)
        given = network.at()
    network.go(branch)
    network.plain("Add", f"{name}_sum", more=(given,))
    network.relu(f"{name}_relu")
