"""What formats have in common: names that are keys, and values that are plain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import count


def unique(names: Sequence[str]) -> list[str]:
    """``a, a, b`` -> ``a, a_2, b``: keys of an object, the first of a name as it is."""
    taken = set(names)
    found: list[str] = []
    for name in names:
        new = name
        if name in found:
            new = next(n for i in count(2) if (n := f"{name}_{i}") not in taken)
        taken.add(new)
        found.append(new)
    return found


def in_text(value: object) -> object:
    """A time in ISO 8601; everything else as it is."""
    return value.isoformat() if isinstance(value, datetime) else value
