"""What needs more memory than it may have, by what is predicted: it is not tried at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farm.candidate import Candidate
from farm.measurement import Metric
from farm.units import Bytes, counted, format_bytes
from tuner.runs.expected import NOTHING, Expects


class MemoryGate:
    """Lets candidates through whose peak memory may be within a limit.

    Only what is above it for certain is refused: the low end of its interval. limit: bytes; None
    lets everything through. why: what the limit is, for people.
    """

    def __init__(
        self, expects: Expects = NOTHING, limit: Bytes | None = None, why: str = ""
    ) -> None:
        self._expects = expects
        self._limit = limit
        self._why = why
        self._least: dict[Candidate, float] = {}

    def through(self, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Those that may be within the limit, in their order."""
        if self._limit is None:
            return tuple(candidates)
        asked = [c for c in candidates if c not in self._least]
        said = self._expects.of(asked) if asked else {}
        for candidate in asked:
            found = said.get(candidate, {}).get(Metric.PEAK_MEMORY)
            self._least[candidate] = found.low if found else 0.0
        return tuple(c for c in candidates if self._least[c] <= self._limit)

    def notes(self) -> Iterator[str]:
        """How many were refused, and why."""
        limit = self._limit
        refused = [c for c, least in self._least.items() if limit is not None and least > limit]
        if refused and limit is not None:
            least = min(refused, key=self._least.__getitem__)
            yield (
                f"{counted(len(refused), 'candidate')} {'was' if len(refused) == 1 else 'were'} "
                f"not tried: each is predicted to need more memory than {self._why} "
                f"{format_bytes(limit)}; the least, {least.label()}, "
                f"{format_bytes(self._least[least])} or more."
            )
