"""Names for scalars that have a unit, and how they are written for people."""

from __future__ import annotations

import re
from typing import NewType

from farm.errors import OptionError

Bytes = NewType("Bytes", int)
Seconds = NewType("Seconds", float)
Joules = NewType("Joules", float)

_TIME_STEPS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_ROUNDS_UP = 0.9995  # from here on three digits show the next unit's 1.00
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
        if magnitude >= _ROUNDS_UP * factor:
            return f"{_three_digits(value / factor)} {unit}"
    return f"{value:.0f} B"


def parse_seconds(text: str) -> Seconds:
    """``"90"``, ``"90s"``, ``"2m"``, ``"1h30m"``, ``"5ms"`` in seconds. Raises OptionError."""
    factors = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "": 1.0}
    value = _parse(text, factors)
    if value is None:
        raise OptionError(f"'{text}' is not a time; write for example 90s, 2m, 1h30m or 5ms.")
    return Seconds(value)


def parse_bytes(text: str) -> Bytes:
    """``"4096"``, ``"64KiB"``, ``"1.5GiB"``, ``"10MB"`` in bytes. Raises OptionError."""
    units = ("", "K", "M", "G", "T")
    factors = {f"{u}iB": 1024.0**i for i, u in enumerate(units) if u}
    factors |= {f"{u}B": 1000.0**i for i, u in enumerate(units)} | {"": 1.0}
    value = _parse(text, factors)
    if value is None:
        raise OptionError(f"'{text}' is not a size; write for example 4096, 64KiB or 1.5GiB.")
    return Bytes(round(value))


def parse_joules(text: str) -> Joules:
    """``"0.5"``, ``"20mJ"``, ``"3uJ"`` in joules. Raises OptionError."""
    factors = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6, "nJ": 1e-9, "": 1.0}
    value = _parse(text, factors)
    if value is None:
        raise OptionError(f"'{text}' is not an energy; write for example 0.5J, 20mJ or 3uJ.")
    return Joules(value)


def _parse(text: str, factors: dict[str, float]) -> float | None:
    """The sum of numbers with units, None where the text is something else."""
    pattern = r"\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([A-Za-zµ]*)\s*"
    if not text.strip() or not re.fullmatch(f"(?:{pattern})+", text):
        return None
    parts = re.findall(pattern, text)
    if any(unit not in factors for _, unit in parts):
        return None
    return sum(float(number) * factors[unit] for number, unit in parts)


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    magnitude = abs(value)
    for factor, unit in steps:
        if magnitude >= _ROUNDS_UP * factor:
            return f"{_three_digits(value / factor)} {unit}"
    factor, unit = steps[-1]
    return f"{_three_digits(value / factor)} {unit}"


def _three_digits(value: float) -> str:
    magnitude = abs(value) / _ROUNDS_UP
    return f"{value:.{2 if magnitude < 10 else 1 if magnitude < 100 else 0}f}"
