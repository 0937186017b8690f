"""Names for scalars that have a unit, and how they are written for people."""

from __future__ import annotations

from typing import NewType

Bytes = NewType("Bytes", int)
Seconds = NewType("Seconds", float)
Joules = NewType("Joules", float)

_TIME_STEPS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_ENERGY_STEPS = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"))


def format_seconds(value: float) -> str:
    """``0.0000512`` -> ``"51.2 µs"``: three significant digits and the fitting unit."""
    return _scaled(value, _TIME_STEPS)


def format_joules(value: float) -> str:
    """``0.0012`` -> ``"1.20 mJ"``."""
    return _scaled(value, _ENERGY_STEPS)


def format_bytes(value: float) -> str:
    """``16384`` -> ``"16.0 KiB"``: binary units."""
    magnitude = abs(value)
    for factor, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if magnitude >= factor:
            return f"{_three_digits(value / factor)} {unit}"
    return f"{value:.0f} B"


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    magnitude = abs(value)
    for factor, unit in steps:
        if magnitude >= factor:
            return f"{_three_digits(value / factor)} {unit}"
    factor, unit = steps[-1]
    return f"{_three_digits(value / factor)} {unit}"


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    return f"{value:.{2 if magnitude < 10 else 1 if magnitude < 100 else 0}f}"
