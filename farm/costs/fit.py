"""Fits the constants of a roofline to kernels that were measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its packages are loaded where they are used, which takes long
from numpy.typing import NDArray

from farm.costs.families import Family
from farm.costs.roofline import Level, Roof, Roofline, level_of
from farm.costs.work import KernelWork
from farm.errors import PlanError
from farm.units import Seconds

_Matrix = NDArray[np.float64]
_TINY = np.finfo(float).tiny
_Z90 = 1.6448536269514722  # of the standard normal distribution: 5 % lie above it
_ROUNDS, _FAR_OFF = 8, 0.2
_TURNS = 20  # in which kernels are left out
_LEAST_POINTS = 3  # of a family that has constants of its own: they are three
_MEMORY = frozenset({Family.ELEMENTWISE, Family.MOVEMENT, Family.REORDER})
_CACHES = tuple((float(1 << power),) for power in range(18, 29))  # 256 KiB to 256 MiB
_FAR_BETTER = 0.8  # of the spread without a cache: less may be chance, of so many that are tried
_FROM_RUN_TO_RUN = 0.05  # spread of one kernel, in which no cache can be seen
_UNKNOWN_PER_BYTE = 1e-10  # where no kernel moves anything
_UNKNOWN_SPREAD = 1.0  # where too few kernels were measured to tell: a factor of five either way


@dataclass(frozen=True, slots=True)
class Point:
    """A kernel that was measured. kind: by the engine's own word."""

    work: KernelWork
    seconds: Seconds
    kind: str = ""


def fit_roofline(
    points: Sequence[Point], limits: Sequence[float] | None, resolution: float = 0.0
) -> Roofline:
    """The roofline of the kernels of one place.

    Errors are relative: a kernel of ten microseconds counts as much as one of a millisecond.

    points: of all families. limits: bytes that fit into each level of memory but the last one,
    rising; None where nobody tells them: one cache, if the kernels show it. resolution: seconds
    of the clock that timed them, below which differences say nothing.

    Raises PlanError: no kernel takes any time.
    """
    if not any(point.seconds > 0.0 for point in points):
        raise PlanError("No kernel took any time, so that no roofline can be fitted.")
    told = [p for p in points if p.seconds > 0.0 or resolution > 0.0]
    moving = [p for p in told if p.work.family in _MEMORY and p.work.traffic > 0.0]
    if limits is None:
        limits = _shown_limits(moving, resolution)
    levels = _levels(moving or told, (*limits, math.inf), resolution)
    by_family: dict[Family, list[Point]] = {}
    for point in told:
        by_family.setdefault(point.work.family, []).append(point)
    roofs = {
        family: _roof(found, levels, resolution)
        for family, found in by_family.items()
        if len(found) >= _LEAST_POINTS or family is Family.VIEW
    }
    return Roofline(levels, _roof(told, levels, resolution), roofs, resolution)


def _shown_limits(points: Sequence[Point], resolution: float) -> tuple[float, ...]:
    """The size of a cache without which kernels that move bytes are predicted much worse, if any.

    Each size is judged by kernels that were left out, and needs some on either side.
    """

    def spread(limits: tuple[float, ...]) -> float:
        within = sum(p.traffic <= limit for p in works for limit in limits)
        if limits and not _LEAST_POINTS <= within <= len(works) - _LEAST_POINTS:
            return math.inf
        return _spread(_by_level(points, (*limits, math.inf)), seconds, resolution)

    works, seconds = [p.work for p in points], [p.seconds for p in points]
    if len(points) <= _LEAST_POINTS:
        return ()
    best = min(_CACHES, key=spread)
    return best if spread(best) < _FAR_BETTER * spread(()) > _FROM_RUN_TO_RUN else ()


def _levels(
    points: Sequence[Point], bounds: Sequence[float], resolution: float
) -> tuple[Level, ...]:
    """Bytes per second of every level, by the kernels that do hardly anything but move bytes."""
    columns = _by_level(points, bounds)
    found = _least_squares(columns, [p.seconds for p in points], resolution)[1:]
    return tuple(
        Level(limit, 1.0 / per_byte)
        for limit, per_byte in zip(bounds, _filled(found.tolist(), points), strict=True)
    )


def _by_level(points: Sequence[Point], bounds: Sequence[float]) -> _Matrix:
    """One row of each kernel: 1, and its bytes in the level that they fit into."""
    every = [Level(limit, 1.0) for limit in bounds]
    return np.array([[1.0, *(_within(p, level, every) for level in every)] for p in points])


def _within(point: Point, level: Level, levels: Sequence[Level]) -> float:
    return point.work.traffic if level_of(point.work.traffic, levels) is level else 0.0


def _filled(per_byte: Sequence[float], points: Sequence[Point]) -> list[float]:
    """Seconds per byte, where a level without kernels, or too fast to tell, is as a larger one."""
    rates = [p.seconds / p.work.traffic for p in points if p.work.traffic * p.seconds > 0.0]
    least = min(rates, default=_UNKNOWN_PER_BYTE)  # it is as fast as that at least
    filled: list[float] = []
    last = next((each for each in per_byte[::-1] if each > 0.0), least)
    for each in reversed(per_byte):
        last = each if each > 0.0 else last
        filled.append(last)
    return filled[::-1]


def _roof(points: Sequence[Point], levels: Sequence[Level], resolution: float) -> Roof:
    matrix = np.array([_columns(point.work, levels) for point in points])
    seconds = [point.seconds for point in points]
    overhead, per_flop, per_byte = _least_squares(matrix, seconds, resolution).tolist()
    spread = _spread(matrix, seconds, resolution)
    return Roof(Seconds(overhead), Seconds(per_flop), per_byte, spread, len(points))


def _columns(work: KernelWork, levels: Sequence[Level]) -> list[float]:
    moved = work.traffic / level_of(work.traffic, levels).bytes_per_second
    return [1.0, work.flops, moved]


def _least_squares(
    matrix: _Matrix, seconds: Sequence[float] | _Matrix, resolution: float
) -> _Matrix:
    """Coefficients, none negative, that make relative errors small, half of them above 0.

    Least squares of ratios, in which kernels that are far off count less each time (P. Huber,
    "Robust estimation of a location parameter", 1964): something else on the machine may have made
    them slow. Then all are scaled, because ratios alone would make slow kernels count more.
    """
    target = np.asarray(seconds)
    scale = np.maximum(np.abs(matrix).max(axis=0), _TINY)
    trust = np.ones(len(target))
    for _ in range(_ROUNDS):
        weight = np.sqrt(trust) / (target + resolution)
        found, _ = scipy.optimize.nnls(matrix / scale * weight[:, None], target * weight)
        fitted = found / scale
        errors = np.log((target + resolution) / np.maximum(matrix @ fitted + resolution, _TINY))
        trust = 1.0 / np.maximum(1.0, np.abs(errors) / _FAR_OFF)
    moved: _Matrix = fitted * np.exp(np.median(errors))
    return moved


def _spread(matrix: _Matrix, seconds: Sequence[float], resolution: float) -> float:
    """How far off kernels are that were left out of the fit: what nine of ten are.

    Each is left out once, alone where there are few of them.
    """
    if len(seconds) <= _LEAST_POINTS:
        return _UNKNOWN_SPREAD
    target, errors = np.asarray(seconds), np.empty(len(seconds))
    turns = np.arange(len(seconds)) % min(len(seconds), _TURNS)
    for turn in range(int(turns.max()) + 1):
        out = turns == turn
        fitted = _least_squares(matrix[~out], target[~out], resolution)
        predicted = np.maximum(matrix[out] @ fitted + resolution, _TINY)
        errors[out] = np.log((target[out] + resolution) / predicted)
    return float(np.quantile(np.abs(errors), 0.9)) / _Z90


def errors_of(roofline: Roofline, points: Iterable[Point]) -> Mapping[Family, tuple[float, ...]]:
    """Measured over predicted seconds of every kernel, by family."""
    found: dict[Family, list[float]] = {}
    for point in points:
        predicted = roofline.predict(point.work).value
        if predicted > 0.0:
            found.setdefault(point.work.family, []).append(point.seconds / predicted)
    return {family: tuple(ratios) for family, ratios in found.items()}
