"""The nights of a series, as the store has them and as the screen wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from db.night_records import ChangePoint, ChangeState, NightValue
from tuner.nightly.details import details_of
from tuner.nightly.screen.series import Change, Night, Series

_REFUTED = frozenset({ChangeState.REFUTED, ChangeState.NOISE})
_OPEN = frozenset({ChangeState.CONFIRMED, ChangeState.BUG})


@dataclass(frozen=True, slots=True)
class History:
    """The nights that count for a series: those that were compared with one and the same state.

    values: oldest first. changes: of the series, oldest first, of these nights.
    """

    values: tuple[NightValue, ...]
    changes: tuple[ChangePoint, ...]

    @classmethod
    def of(
        cls, values: Sequence[NightValue], changes: Sequence[ChangePoint], good: str
    ) -> History:
        """Of all values of a series, those that were compared with the state of this key."""
        counted = tuple(v for v in values if v.value is not None and details_of(v).good == good)
        nights = {value.night for value in counted}
        return cls(counted, tuple(change for change in changes if change.found_night in nights))

    @property
    def names(self) -> tuple[str, ...]:
        """The nights' names, oldest first."""
        return tuple(value.night for value in self.values)

    def series(self) -> Series:
        """What the screen judges."""
        nights = tuple(
            Night(v.value or 0.0, v.uncertainty or 0.0, v.software_id, details_of(v).machine)
            for v in self.values
        )
        return Series(nights, refuted=self._refuted())

    def open_change(self) -> ChangePoint | None:
        """What was confirmed of these nights and is not gone, expected or noise."""
        last = self.changes[-1] if self.changes else None
        return last if last is not None and last.state in _OPEN else None

    def night_of(self, change: Change) -> str:
        """The name of the first night at a new level."""
        return self.values[change.first].night

    def as_seen(self, change: ChangePoint) -> Change:
        """A change point of these nights as the screen wants it; one before them began then."""
        names = self.names
        first = names.index(change.first_night) if change.first_night in names else 0
        found = names.index(change.found_night)
        return Change(first, first, first, log(change.ratio), 0.0, found)

    def _refuted(self) -> Change | None:
        last = self.changes[-1] if self.changes else None
        return None if last is None or last.state not in _REFUTED else self.as_seen(last)
