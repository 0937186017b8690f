"""Attention masks: huge negative numbers, added before a softmax, that only stand for nothing.

A mask of -1e9 or of the lowest float32 decides the range of the sum, and 8 bits leave nothing of
what it was added to. What lies far enough below the largest value of a row, though, adds nothing
to a softmax, so that the range may end there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.compile.quantization.calibrate import Range
from farm.compile.quantization.resolution import Link, is_lost

NOTHING = 16.0
"""Distance below the largest value of a row at which a softmax gives nothing.

exp(-16) = 1.1e-7 is the resolution of float32 at one, and a hundredth of that of the tables that
packages compute exponentials with.
"""

# What may lie between a sum and its softmax; all but some shapes, only where the axis is the last.
_PASSING = frozenset({"Dropout", "Flatten", "Identity", "Max", "Reshape", "Squeeze", "Unsqueeze"})
_PASSING_ANY_AXIS = frozenset({"Dropout", "Identity", "Max"})
_MOST_MASKS = 4  # one after the other


@dataclass(frozen=True, slots=True)
class MaskedSum:
    """A sum, or a choice, of values and a mask that goes to a softmax alone.

    operator: its name. results: names of the sum and of what passes it on. floor: what is lower
    counts as nothing. mask: name of the mask, "" of a constant; below mask_floor it has no effect.
    """

    operator: str
    results: tuple[str, ...]
    floor: float
    mask: str
    mask_floor: float


def masked_sums(
    links: Sequence[Link], ranges: Mapping[str, Range], outputs: Collection[str]
) -> Iterator[MaskedSum]:
    """The sums with masks before softmaxes whose ranges go on below what the softmax sees."""
    finder = _Finder(links, ranges, outputs)
    for softmax in links:
        if softmax.op_type == "Softmax" and softmax.changing:
            yield from finder.before(softmax)


def without_masks(
    links: Sequence[Link],
    ranges: Mapping[str, Range],
    masks: Iterable[MaskedSum],
    outputs: Collection[str],
) -> dict[str, Range]:
    """The ranges, with those of masked sums ending where a softmax sees nothing any more.

    So do the ranges of masks that are added to such sums alone. outputs: of the model.
    """
    limited = dict(ranges)
    floors: dict[str, list[float]] = {}
    for found in masks:
        for name in set(found.results).intersection(ranges):
            limited[name] = _from(ranges[name], found.floor)
        floors.setdefault(found.mask, []).append(found.mask_floor)
    for name, lowest in floors.items():
        readers = sum(link.changing.count(name) for link in links)
        if name in ranges and readers == len(lowest) and name not in outputs:
            limited[name] = _from(ranges[name], min(lowest))
    return limited


@dataclass(frozen=True, slots=True)
class _Masking:
    """How a tensor is made of values and a mask.

    top: what the mask adds where it masks nothing, at least. highest: what it adds at most.
    """

    values: str
    mask: str
    top: float
    highest: float


class _Finder:
    def __init__(
        self, links: Sequence[Link], ranges: Mapping[str, Range], outputs: Collection[str]
    ) -> None:
        self._ranges = ranges
        self._outputs = outputs
        self._makers = {name: link for link in links for name in link.outputs}
        self._readers: dict[str, set[str]] = {}
        for link in links:
            for name in link.changing:
                self._readers.setdefault(name, set()).add(link.name)

    def before(self, softmax: Link) -> Iterator[MaskedSum]:
        """The masked sums that a softmax alone reads."""
        results = tuple(self._results(softmax))
        if results and results[-1] in self._ranges:
            floor = self._lowest(results[-1], softmax.axis, _MOST_MASKS) - NOTHING
            yield from self._sums(results, softmax.axis, floor, _MOST_MASKS)

    def _results(self, softmax: Link) -> Iterator[str]:
        """From the input of a softmax back to what was more than passed on."""
        passing = _PASSING if softmax.axis == -1 else _PASSING_ANY_AXIS
        reader, name = softmax, softmax.changing[0]
        while self._reads_alone(reader, name):
            yield name
            maker = self._makers.get(name)
            if maker is None or maker.op_type not in passing or len(maker.changing) != 1:
                return
            reader, name = maker, maker.changing[0]

    def _reads_alone(self, reader: Link, name: str) -> bool:
        return self._readers[name] == {reader.name} and name not in self._outputs

    def _sums(
        self, results: tuple[str, ...], axis: int, floor: float, depth: int
    ) -> Iterator[MaskedSum]:
        """The sum that the last one of the results is, and those that it is made of."""
        name = results[-1]
        found = self._masking(name, axis, depth)
        if found is None or self._ranges[name].lowest >= floor:
            return
        maker, values = self._makers[name], self._ranges[found.values]
        yield MaskedSum(maker.name, results, floor, found.mask, floor - values.highest)
        if self._reads_alone(maker, found.values):
            yield from self._sums((found.values,), axis, floor - found.highest, depth - 1)

    def _lowest(self, name: str, axis: int, depth: int) -> float:
        """The lowest value of a tensor that is not masked."""
        found = self._masking(name, axis, depth)
        if found is None:
            return self._ranges[name].lowest
        return self._lowest(found.values, axis, depth - 1) + found.top

    def _masking(self, name: str, axis: int, depth: int) -> _Masking | None:
        """How a tensor is made of values and a mask; None if it is not."""
        link = self._makers.get(name)
        if link is None or depth == 0:
            return None
        if link.op_type == "Where":
            values = [given for given in link.inputs[1:] if isinstance(given, str)]
            alone = len(values) == 1 and values[0] in self._ranges
            return _Masking(values[0], "", 0.0, 0.0) if alone else None
        if link.op_type not in {"Add", "Sub"}:
            return None
        for side in (1, 0) if link.op_type == "Add" else (1,):
            sign, values_name = (-1 if link.op_type == "Sub" else 1), link.inputs[1 - side]
            if isinstance(values_name, str) and values_name in self._ranges:
                values_range = self._unmasked(values_name, axis, depth - 1)
                lost = is_lost(values_range, self._ranges[name])
                found = self._mask(link.inputs[side], values_name, axis, sign, lost=lost)
                if found is not None:
                    return found
        return None

    def _unmasked(self, name: str, axis: int, depth: int) -> Range:
        return _from(self._ranges[name], self._lowest(name, axis, depth))

    def _mask(
        self,
        given: str | NDArray[Any] | None,
        values: str,
        axis: int,
        sign: int,
        *,
        lost: bool,
    ) -> _Masking | None:
        """A summand as a mask: constant, or so large that 8 bits of the sum lose the values."""
        if given is None:
            return None
        if not isinstance(given, str):
            top = _top_of_constant(sign * given, axis)
            highest = float((sign * given).max(initial=-np.inf))
            return None if top is None else _Masking(values, "", top, highest)
        if not lost or given not in self._ranges:
            return None
        found = self._ranges[given] if sign > 0 else _negative(self._ranges[given])
        unmasked = -found.gap if found.highest == 0 else found.highest
        return _Masking(values, given if sign > 0 else "", unmasked, found.highest)


def _top_of_constant(mask: NDArray[Any], axis: int) -> float | None:
    """The highest value that every row along the axis has, or more; None if it has no rows.

    Rows that are masked as a whole mean nothing and do not count.
    """
    if mask.ndim < -axis or mask.shape[axis] < 2:
        return None
    rows = mask.max(axis=axis)
    rows = rows[rows > mask.min()]
    return float(rows.min()) if rows.size else None


def _negative(found: Range) -> Range:
    return Range(-found.highest, -found.lowest, found.gap)


def _from(found: Range, lowest: float) -> Range:
    """A range that ends at a lowest value, if it went on below it."""
    start = max(found.lowest, min(lowest, 0.0))
    return Range(start, found.highest, min(found.gap, found.highest - start))
