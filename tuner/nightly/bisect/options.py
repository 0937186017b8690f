"""From one candidate to another, one option at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from farm.candidate import Candidate


@dataclass(frozen=True, slots=True)
class Option:
    """One more option as in the other candidate. name: ``threads 1 -> 4``."""

    name: str
    candidate: Candidate


def options_between(good: Candidate, bad: Candidate) -> tuple[Option, ...]:
    """Every option in which two candidates differ, each candidate with one more of the bad one's.

    The last candidate is the bad one. Another engine is one option, with all that belongs to it.
    """
    return tuple(_options(good, bad))


def _options(good: Candidate, bad: Candidate) -> Iterator[Option]:
    now = good
    if good.engine.kind != bad.engine.kind:
        now = replace(now, engine=bad.engine)
        yield Option(f"engine {good.engine.kind} -> {bad.engine.kind}", now)
    for part in ("engine", "precision"):
        before, after = getattr(now, part), getattr(bad, part)
        for name in _differing(before, after):
            before = replace(before, **{name: getattr(after, name)})
            told = _told(name, getattr(getattr(good, part), name), getattr(after, name))
            now = replace(now, **{part: before})
            yield Option(told, now)
    for name in _differing(now, bad):
        told = _told(name, getattr(good, name), getattr(bad, name))
        now = replace(now, **{name: getattr(bad, name)})
        yield Option(told, now)


def _differing(before: Any, after: Any) -> list[str]:  # noqa: ANN401  (of any dataclass)
    names = (field.name for field in fields(before))
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def _told(name: str, before: object, after: object) -> str:
    return f"{name} {_value(before)} -> {_value(after)}"


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None | () | "":
            return "none"
        case tuple():
            return ",".join(map(str, value))
        case _:
            return str(getattr(value, "kind", value))
