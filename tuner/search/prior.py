"""What is expected of candidates before any of them was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from farm.candidate import Candidate


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


class Prior(Protocol):
    """Expects something of every candidate of one model on one device."""

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        """One value for each candidate, in their order."""
