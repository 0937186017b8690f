"""Fits the constants of a roofline to kernels that were measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from farm.costs.families import Family
from farm.costs.roofline import Level, Roof, Roofline, level_of
from farm.costs.work import KernelWork
from farm.errors import PlanError
from farm.units import Seconds

_Matrix = NDArray[np.float64]
_LEAST_POINTS = 4  # of a family that has constants of its own: they are three
_MEMORY = frozenset({Family.ELEMENTWISE, Family.MOVEMENT, Family.REORDER})
_UNKNOWN_SPREAD = 1.0  # where too few kernels were measured to tell: a factor of five either way


@dataclass(frozen=True, slots=True)
class Point:
    """A kernel that was measured. kind: by the engine's own word."""

    work: KernelWork
    seconds: Seconds
    kind: str = ""


def fit_roofline(points: Sequence[Point], limits: Sequence[float]) -> Roofline:
    """The roofline of the kernels of one place.

    Errors are relative: a kernel of a microsecond counts as much as one of a millisecond.

    points: of all families. limits: bytes that fit into each level of memory but the last one,
    rising.

    Raises PlanError: no kernel takes any time.
    """
    timed = [point for point in points if point.seconds > 0.0]
    if not timed:
        raise PlanError("No kernel took any time, so that no roofline can be fitted.")
    bounds = (*limits, math.inf)
    moving = [p for p in timed if p.work.family in _MEMORY and p.work.traffic > 0.0]
    levels = _levels(moving or timed, bounds)
    by_family: dict[Family, list[Point]] = {}
    for point in timed:
        by_family.setdefault(point.work.family, []).append(point)
    roofs = {
        family: _roof(found, levels)
        for family, found in by_family.items()
        if len(found) >= _LEAST_POINTS or family is Family.VIEW
    }
    return Roofline(levels, _roof(timed, levels), roofs)


def _levels(points: Sequence[Point], bounds: Sequence[float]) -> tuple[Level, ...]:
    """Bytes per second of every level, by the kernels that do hardly anything but move bytes."""
    every = [Level(limit, 1.0) for limit in bounds]
    columns = [[1.0, *(_within(p, level, every) for level in every)] for p in points]
    found = _least_squares(np.array(columns), [p.seconds for p in points])[1:]
    return tuple(
        Level(limit, 1.0 / per_byte)
        for limit, per_byte in zip(bounds, _filled(found.tolist(), points), strict=True)
    )


def _within(point: Point, level: Level, levels: Sequence[Level]) -> float:
    return point.work.traffic if level_of(point.work.traffic, levels) is level else 0.0


def _filled(per_byte: Sequence[float], points: Sequence[Point]) -> list[float]:
    """Seconds per byte, where a level without kernels, or too fast to tell, is as a larger one."""
    slowest = max(p.seconds / p.work.traffic for p in points if p.work.traffic > 0.0)
    filled: list[float] = []
    last = next((each for each in per_byte[::-1] if each > 0.0), slowest)
    for each in reversed(per_byte):
        last = each if each > 0.0 else last
        filled.append(last)
    return filled[::-1]


def _roof(points: Sequence[Point], levels: Sequence[Level]) -> Roof:
    matrix = np.array([_columns(point.work, levels) for point in points])
    seconds = [point.seconds for point in points]
    overhead, per_flop, per_byte = _least_squares(matrix, seconds).tolist()
    spread = _spread(matrix, seconds)
    return Roof(Seconds(overhead), Seconds(per_flop), per_byte, spread, len(points))


def _columns(work: KernelWork, levels: Sequence[Level]) -> list[float]:
    moved = work.traffic / level_of(work.traffic, levels).bytes_per_second
    return [1.0, work.flops, moved]


def _least_squares(matrix: _Matrix, seconds: Sequence[float]) -> _Matrix:
    """Coefficients, none negative, that make relative errors small and 0 on average.

    Errors are those of logarithms on average: least squares of ratios alone would make kernels
    that are slower than their like count more.
    """
    target = np.asarray(seconds)
    scale = np.maximum(np.abs(matrix).max(axis=0), np.finfo(float).tiny)
    found, _ = nnls(matrix / scale / target[:, None], np.ones(len(target)))
    fitted = found / scale
    predicted = matrix @ fitted
    inside = predicted > 0.0
    shift = np.log(target[inside] / predicted[inside]).mean() if inside.any() else 0.0
    moved: _Matrix = fitted * np.exp(shift)
    return moved


def _spread(matrix: _Matrix, seconds: Sequence[float]) -> float:
    """How far off a kernel is that was left out, each of them in turn."""
    if len(seconds) < _LEAST_POINTS:
        return _UNKNOWN_SPREAD
    errors = []
    for at in range(len(seconds)):
        kept = np.arange(len(seconds)) != at
        others = [each for other, each in enumerate(seconds) if other != at]
        predicted = float(matrix[at] @ _least_squares(matrix[kept], others))
        errors.append(math.log(seconds[at] / predicted) if predicted > 0.0 else _UNKNOWN_SPREAD)
    return float(np.sqrt(np.mean(np.square(errors))))


def errors_of(roofline: Roofline, points: Iterable[Point]) -> Mapping[Family, tuple[float, ...]]:
    """Measured over predicted seconds of every kernel, by family."""
    found: dict[Family, list[float]] = {}
    for point in points:
        predicted = roofline.predict(point.work).value
        if predicted > 0.0:
            found.setdefault(point.work.family, []).append(point.seconds / predicted)
    return {family: tuple(ratios) for family, ratios in found.items()}
