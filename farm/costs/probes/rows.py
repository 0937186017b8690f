"""Models of many segments in a row, to be run by engines in turns: what borders take in place.

Alone, an engine finds its code and weights in the cache and its threads awake. After another one
it does not; and what it would have fused or kept in a layout of its own across the border, it does
not either. A row is run with each segment at another engine than the one before, every two engines
after each other, so that one run of it shows every border several times. It ends with the engine
that it begins with: run again and again, its first part comes after itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto

from farm.costs.probes.builder import Probe

_TIMES = 2  # that every two engines come after each other


@dataclass(frozen=True, slots=True)
class Row:
    """A model of equal segments. segments: names of the operators of each, in order."""

    name: str
    model: ModelProto
    segments: tuple[tuple[str, ...], ...]


def row_models(segments: int) -> tuple[Row, ...]:
    """Rows of a few microseconds a segment and of a tenth of a millisecond, of either border.

    segments: of each row.
    """
    return (
        _products("products in a row", segments, 128, 3),
        _convolutions("convolutions in a row", segments, 16, 16, 2),
        _separable("separable convolutions in a row", segments, 32, 24, 2),
        _convolutions("large convolutions in a row", segments, 16, 56, 1),
    )


def turns(engines: Sequence[str]) -> tuple[str, ...]:
    """Engines in turns: every two of them after each other, in either order, twice at least.

    It ends with the first one. As far as there is a choice, what comes next comes after other two
    than before.
    """
    row = list(engines[:2])
    pairs, triples = Counter([tuple(row)]), Counter[tuple[str, ...]]()
    wanted = len(engines) * (len(engines) - 1)
    while len(pairs) < wanted or min(pairs.values()) < _TIMES or row[-1] != row[0]:
        last = row[-1]
        following = min(
            (each for each in engines if each != last),
            key=lambda each: (pairs[last, each], triples[(*row[-2:], each)]),
        )
        pairs[last, following] += 1
        triples[(*row[-2:], following)] += 1
        row.append(following)
    return tuple(row)


def _products(name: str, segments: int, width: int, layers: int) -> Row:
    probe = Probe(name)
    tensor, parts = probe.given(1, width), []
    for _ in range(segments):
        names = []
        for _ in range(layers):
            product = probe.add("Gemm", tensor, probe.weight(width, width), probe.weight(width))
            tensor = probe.add("Relu", product)
            names += [product, tensor]
        parts.append(tuple(names))
    return _row(name, probe, tensor, parts)


def _convolutions(name: str, segments: int, channels: int, size: int, layers: int) -> Row:
    probe = Probe(name)
    tensor, parts = probe.given(1, channels, size, size), []
    for _ in range(segments):
        names = []
        for _ in range(layers):
            weights = probe.weight(channels, channels, 3, 3)
            product = probe.add("Conv", tensor, weights, pads=[1, 1, 1, 1])
            tensor = probe.add("Relu", product)
            names += [product, tensor]
        parts.append(tuple(names))
    return _row(name, probe, tensor, parts)


def _separable(name: str, segments: int, channels: int, size: int, layers: int) -> Row:
    """Of layers with a depthwise and a pointwise convolution, as small networks have them."""
    probe = Probe(name)
    tensor, parts = probe.given(1, channels, size, size), []
    for _ in range(segments):
        names = []
        for _ in range(layers):
            for shape, groups, pads in (
                ((channels, 1, 3, 3), channels, [1, 1, 1, 1]),
                ((channels, channels, 1, 1), 1, [0, 0, 0, 0]),
            ):
                weights = probe.weight(*shape)
                product = probe.add("Conv", tensor, weights, pads=pads, group=groups)
                tensor = probe.add("Relu", product)
                names += [product, tensor]
        parts.append(tuple(names))
    return _row(name, probe, tensor, parts)


def _row(name: str, probe: Probe, last: str, parts: Sequence[tuple[str, ...]]) -> Row:
    probe.end(last)
    return Row(name, probe.model(), tuple(parts))
