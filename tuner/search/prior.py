"""What is expected of candidates before any of them was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Protocol

from farm.candidate import Candidate
from farm.units import counted

_Z90 = 1.6448536269514722  # of the standard normal distribution: 5 % lie above it


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of one candidate.

    ratio: its objective over the baseline's, the median; lower is better. spread: standard
    deviation of the ratio's logarithm. rows: measurements that this rests on. failure: how likely
    it is that the candidate cannot be compiled, does not run, or is too inaccurate, from 0 to 1.
    """

    ratio: float
    spread: float
    rows: int
    failure: float = 0.0

    @property
    def speed_up(self) -> tuple[float, float, float]:
        """Times the speed of the baseline, and the ends of an interval of 90 %."""
        speed, factor = 1.0 / self.ratio, exp(_Z90 * self.spread)
        return speed, speed / factor, speed * factor

    @property
    def sentence(self) -> str:
        """``predicted 1.8x [1.5, 2.1] from 412 rows``; without rows it is by rules of thumb."""
        speed, low, high = self.speed_up
        basis = f"from {counted(self.rows, 'row')}" if self.rows else "by rules of thumb"
        return f"predicted {speed:.2g}x [{low:.2g}, {high:.2g}] {basis}"


class Prior(Protocol):
    """Expects something of every candidate of one model on one device."""

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        """One value for each candidate, in their order."""
