"""When a suite is due: five fields as cron has them, and the nights that follow from them.

As cron does, a schedule speaks of the machine's local time. Where both day and weekday are given,
a night is due on either; a field that begins with ``*`` counts as not given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from farm.errors import OptionError

EXAMPLE = "0 3 * * *"
_YEARS = 40  # after so many the same days of the week come again, 29 February included
_TERM = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\w+))?", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the five fields: its name, the numbers it takes, and names from ``low`` on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def takes(self) -> str:
        """``0 to 59``, for messages."""
        named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.high}{named}"


_KINDS = (
    _Kind("minute", 0, 59),
    _Kind("hour", 0, 23),
    _Kind("day", 1, 31),
    _Kind("month", 1, 12, _MONTHS),
    _Kind("weekday", 0, 7, _WEEKDAYS),  # 7 is Sunday, too
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field. values: that fit, rising. given: whether it does not begin with ``*``.

    text: as every cron reads it, without names, and Sunday as 0.
    """

    values: tuple[int, ...]
    given: bool
    text: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a suite is due, in the machine's local time.

    Days and months count from 1, weekdays from Sunday, which is 0.
    """

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def cron(self) -> str:
        """The five fields, as every cron reads them."""
        fields = (self.minute, self.hour, self.day, self.month, self.weekday)
        return " ".join(field.text for field in fields)

    @property
    def calendar(self) -> tuple[str, ...]:
        """What systemd's ``OnCalendar=`` takes; due is what fits any of them."""
        at = f"{_listed(self.hour)}:{_listed(self.minute)}:00"
        on_day = f"*-{_listed(self.month)}-{_listed(self.day)} {at}"
        if not self.weekday.given and self.weekday.text == "*":
            return (on_day,)
        names = ",".join(_WEEKDAYS[number].capitalize() for number in self.weekday.values)
        if self.day.given and self.weekday.given:
            return (on_day, f"{names} *-{_listed(self.month)}-* {at}")
        return (f"{names} {on_day}",)

    def next_after(self, moment: datetime) -> datetime:
        """When it is due next after a moment. Both know their zone; the result's is the local."""
        return next(self.due_after(moment))

    def due_after(self, moment: datetime) -> Iterator[datetime]:
        """All moments at which it is due after one, without end."""
        for day in _days_from(moment.astimezone().date()):
            if self._is_due(day):
                # An hour that summer time leaves out is taken as the one before it.
                times = (datetime.combine(day, at).astimezone() for at in self._times)
                yield from (due for due in times if due > moment)

    def due_between(self, after: datetime, until: datetime) -> tuple[datetime, ...]:
        """When it was due after one moment and up to another."""
        found = []
        for due in self.due_after(after):
            if due > until:
                break
            found.append(due)
        return tuple(found)

    def missed_between(self, last: datetime, tonight: datetime) -> tuple[datetime, ...]:
        """When it was due and nothing ran, between the beginnings of two nights that did.

        The later one stands for the last time that it was due: it may have been caught up with.
        """
        return self.due_between(last, tonight)[:-1]

    @property
    def _times(self) -> tuple[time, ...]:
        return tuple(time(h, m) for h in self.hour.values for m in self.minute.values)

    def _is_due(self, day: date) -> bool:
        if day.month not in self.month.values:
            return False
        fits = day.day in self.day.values, day.isoweekday() % 7 in self.weekday.values
        return any(fits) if self.day.given and self.weekday.given else all(fits)

    @property
    def ever_comes(self) -> bool:
        """Whether there is such a day at all: there is no 30 February."""
        first = date(2000, 1, 1)
        last = first + timedelta(days=366 * _YEARS)
        return any(day <= last for day in self._days_until(first, last))

    def _days_until(self, first: date, last: date) -> Iterator[date]:
        for day in _days_from(first):
            if day > last:
                return
            if self._is_due(day):
                yield day


def parse_schedule(text: str) -> Schedule:
    """Read ``minute hour day month weekday``.

    Each is ``*``, a number or a name (``mon``, ``jan``), a range, either with a step (``*/15``),
    or several of these with commas.

    Raises OptionError: which field is wrong, and what it takes; or a day that never comes.
    """
    texts = text.split()
    if len(texts) != len(_KINDS):
        names = " ".join(kind.name for kind in _KINDS)
        raise OptionError(
            f"schedule '{text}' has {len(texts)} {'field' if len(texts) == 1 else 'fields'}, and "
            f"cron has five, {names}: write for example {EXAMPLE}."
        )
    try:
        schedule = Schedule(*map(_field, _KINDS, texts))
    except ValueError as error:
        raise OptionError(f"schedule '{text}': {error}.") from None
    if not schedule.ever_comes:
        raise OptionError(f"schedule '{text}': no month that it names has such a day.")
    return schedule


def _field(kind: _Kind, text: str) -> Field:
    """One field. Raises ValueError."""
    values: set[int] = set()
    for part in text.split(","):
        values.update(_part(kind, part))
    if kind.high == 7:
        values = {value % 7 for value in values}
    rising, given = tuple(sorted(values)), not text.startswith("*")
    return Field(rising, given, _ranges(rising) if given else text)


def _part(kind: _Kind, part: str) -> range:
    """``*``, ``5``, ``1-5``, ``*/15`` or ``8-18/2``. Raises ValueError."""
    match = _TERM.fullmatch(part)
    if match is None:
        raise ValueError(
            f"{kind.name} takes {kind.takes}, ranges such as 1-5, steps such as */2, "
            f"and lists of them, got '{part}'"
        )
    begin, end, step = match.groups()
    if begin == "*":
        if end is not None:
            raise ValueError(f"{kind.name} '{part}': a range has two numbers")
        low, high = kind.low, min(kind.high, kind.low + _size(kind) - 1)
    else:
        low = _number(kind, begin)
        high = low if end is None else _number(kind, end)
        if step is not None and end is None:
            raise ValueError(
                f"{kind.name} '{part}': a step goes with * or a range, "
                f"as in {begin}-{kind.high}/{step}"
            )
    if low > high:
        raise ValueError(f"{kind.name} '{part}' runs backwards; write it as two ranges")
    return range(low, high + 1, _step(kind, part, step))


def _size(kind: _Kind) -> int:
    """How many values there are: of weekdays seven, though eight numbers."""
    return len(_WEEKDAYS) if kind.high == 7 else kind.high - kind.low + 1


def _step(kind: _Kind, part: str, text: str | None) -> int:
    if text is None:
        return 1
    if not (text.isdecimal() and 1 <= int(text) <= kind.high):
        raise ValueError(f"{kind.name} '{part}': a step is from 1 to {kind.high}, got '{text}'")
    return int(text)


def _number(kind: _Kind, text: str) -> int:
    """A number or name of a field. Raises ValueError."""
    if text.lower() in kind.names:
        return kind.low + kind.names.index(text.lower())
    if text.isdecimal() and len(text) <= 2 and kind.low <= int(text) <= kind.high:
        return int(text)
    raise ValueError(f"{kind.name} takes {kind.takes}, got '{text}'")


def _ranges(values: Sequence[int]) -> str:
    """``1, 2, 3, 5`` -> ``1-3,5``."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def _listed(field: Field) -> str:
    """Numbers as systemd takes them."""
    return "*" if field.text == "*" else ",".join(f"{value:02}" for value in field.values)


def _days_from(first: date) -> Iterator[date]:
    while True:
        yield first
        first += timedelta(days=1)
