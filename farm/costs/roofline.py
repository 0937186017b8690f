"""Rooflines: how long a kernel takes by its work, and how far off that may be.

A kernel of work (F flops, B bytes) is taken to need ``overhead + F / peak + B / bandwidth``: the
sum in place of the greater of the two terms of the roofline (S. Williams, A. Waterman and D.
Patterson, "Roofline", CACM 52(4), 2009, which is a bound), because arithmetic and traffic overlap
in part only. The bandwidth is that of the level of memory that the kernel's tensors fit into.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from farm.costs.families import Family
from farm.costs.work import KernelWork
from farm.prediction import Basis, Prediction
from farm.units import Seconds

_Z90 = 1.6448536269514722  # of the standard normal distribution: 5 % lie above it
_CACHE = re.compile(r"L(\d)d? (\d+)([KM])\b")
_UNITS = {"K": 1 << 10, "M": 1 << 20}
_USUAL_CACHES = (float(32 << 10), float(1 << 20), float(32 << 20))
_LEAST_SPREAD = 0.05  # kernels of one signature differ by as much from run to run


@dataclass(frozen=True, slots=True)
class Level:
    """A level of memory. limit: bytes that fit into it, infinite for the last one."""

    limit: float
    bytes_per_second: float


@dataclass(frozen=True, slots=True)
class Roof:
    """The constants of one family at one place.

    overhead: seconds of every kernel. per_flop: seconds, 0 where arithmetic never counts.
    per_byte: seconds of a byte, as a multiple of the level's. spread: of the
    logarithm of what was measured over what the others predict, as if it were a standard
    deviation: nine of ten kernels are within 1.64 of it. rows: kernels that it rests on.
    """

    overhead: Seconds
    per_flop: Seconds
    per_byte: float
    spread: float
    rows: int

    @property
    def peak(self) -> float | None:
        """Operations per second at most; None where arithmetic never counts."""
        return 1.0 / self.per_flop if self.per_flop > 0.0 else None


@dataclass(frozen=True, slots=True)
class Roofline:
    """What a place needs for a kernel, by its family.

    levels: the smallest first, one at least. general: of families that have no roof of their own.
    resolution: seconds of the clock that timed the kernels; errors below it say nothing.
    """

    levels: tuple[Level, ...]
    general: Roof
    roofs: Mapping[Family, Roof] = field(default_factory=dict)
    resolution: float = 0.0

    def predict(self, work: KernelWork) -> Prediction:
        """The seconds of one kernel, with the interval that nine of ten lie in."""
        if work.family is Family.VIEW and Family.VIEW not in self.roofs:
            # The engine told no kernel of any: it only looks at the same bytes otherwise.
            return Prediction(0.0, 0.0, self.general.overhead, "s", Basis.ROOFLINE, 0)
        roof = self.roofs.get(work.family, self.general)
        seconds = roof_seconds(roof, self.levels, work)
        reach = math.exp(_Z90 * max(roof.spread, _LEAST_SPREAD))
        told = seconds + self.resolution
        low, high = max(0.0, told / reach - self.resolution), told * reach - self.resolution
        return Prediction(seconds, low, high, "s", Basis.ROOFLINE, roof.rows)


def roof_seconds(roof: Roof, levels: Sequence[Level], work: KernelWork) -> Seconds:
    """The seconds of one kernel under a roof."""
    moved = work.traffic / level_of(work.traffic, levels).bytes_per_second
    return Seconds(roof.overhead + roof.per_flop * work.flops + roof.per_byte * moved)


def level_of(traffic: float, levels: Sequence[Level]) -> Level:
    """The first level that so many bytes fit into; the last one where none is large enough."""
    return next((level for level in levels if traffic <= level.limit), levels[-1])


def cache_limits(caches: str) -> tuple[float, ...]:
    """Bytes of the data caches in a machine's description, the smallest first.

    ``L1d 32K, L1i 32K, L2 1024K`` gives two. Where nothing is known they are as usual.
    """
    found = {
        level: float(int(size) * _UNITS[unit]) for level, size, unit in _CACHE.findall(caches)
    }
    return tuple(sorted(found.values())) or _USUAL_CACHES
