"""Names for scalars that have a unit, and how they are written for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import NewType

from farm.errors import OptionError

Bytes = NewType("Bytes", int)
Seconds = NewType("Seconds", float)
Joules = NewType("Joules", float)

_TIME_STEPS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_ROUNDS_UP = 0.9995  # from here on three digits show the next unit's 1.00
_ENERGY_STEPS = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"))
_SIZE_UNITS = ("", "K", "M", "G", "T", "P", "E")

_THOUSANDTHS = {"": 0, "m": 1, "u": 2, "µ": 2, "n": 3}
_TIMES = {f"{unit}s": Fraction(1, 1000**power) for unit, power in _THOUSANDTHS.items()} | {
    "": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_ENERGIES = {f"{unit}J": Fraction(1, 1000**power) for unit, power in _THOUSANDTHS.items()} | {
    "": Fraction(1)
}
_SIZES = (
    {f"{unit}iB": Fraction(1024**power) for power, unit in enumerate(_SIZE_UNITS) if unit}
    | {f"{unit}B": Fraction(1000**power) for power, unit in enumerate(_SIZE_UNITS)}
    | {"": Fraction(1)}
)
# A number of so few digits that it needs little memory, whatever its exponent.
_PART = re.compile(
    r"\s*(\d{1,40}(?:\.\d{1,40})?(?:e[+-]?\d{1,3})?)(?![\d.])\s*([a-zµ]*)\s*",
    re.ASCII | re.IGNORECASE,
)

_MOST_SECONDS = Seconds(1e9)  # 31 years, which the timers of all systems can wait
_IN_MINUTES = 120  # seconds from which a time is written in minutes
_MOST_BYTES = Bytes(2**63 - 1)
_MOST_JOULES = Joules(1e18)


def counted(count: int, what: str) -> str:
    """``1, "buffer"`` -> ``"1 buffer"``, ``2345, "byte"`` -> ``"2,345 bytes"``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def format_seconds(value: float) -> str:
    """``0.0000512`` -> ``"51.2 µs"``, ``0.0`` -> ``"0 s"``: three digits and the fitting unit."""
    return _scaled(value, _TIME_STEPS)


def format_joules(value: float) -> str:
    """``0.0012`` -> ``"1.20 mJ"``."""
    return _scaled(value, _ENERGY_STEPS)


def format_bytes(value: float) -> str:
    """``16384`` -> ``"16.0 KiB"``: binary units."""
    if abs(value) >= 1000 * 1024**6:
        return f"{value / 1024**6:.2e} EiB"
    for power in range(len(_SIZE_UNITS) - 1, 0, -1):
        if abs(value) >= _ROUNDS_UP * 1024**power:
            return f"{_three_digits(value / 1024**power)} {_SIZE_UNITS[power]}iB"
    return f"{value:.0f} B"


def parse_seconds(text: str) -> Seconds:
    """``"90"``, ``"90s"``, ``"2m"``, ``"1h30m"``, ``"30d"``, ``"5ms"`` in seconds.

    Raises OptionError.
    """
    value = _parse(text, _TIMES)
    if value is None:
        raise OptionError(f"'{text}' is not a time; write for example 90s, 2m, 1h30m, 30d or 5ms.")
    if value > _MOST_SECONDS:
        raise OptionError(
            f"'{text}' is too long a time; {_MOST_SECONDS:.0f} seconds are the most."
        )
    return Seconds(float(value))


def rounded_up(seconds: Seconds) -> str:
    """``95.2`` -> ``"96s"``, ``200.0`` -> ``"4m"``: what ``parse_seconds`` reads, not below it."""
    whole = max(1, ceil(seconds))
    return f"{whole}s" if whole < _IN_MINUTES else f"{ceil(whole / 60)}m"


def parse_bytes(text: str) -> Bytes:
    """``"4096"``, ``"64KiB"``, ``"1.5GiB"``, ``"10MB"`` in bytes. Raises OptionError."""
    value = _parse(text, _SIZES)
    if value is None:
        raise OptionError(f"'{text}' is not a size; write for example 4096, 64KiB or 1.5GiB.")
    if value > _MOST_BYTES:
        raise OptionError(f"'{text}' is too large a size; {_MOST_BYTES} bytes are the most.")
    if value.denominator != 1:
        raise OptionError(
            f"'{text}' is not a whole number of bytes; write for example 4096, 64KiB or 1.5GiB."
        )
    return Bytes(value.numerator)


def parse_joules(text: str) -> Joules:
    """``"0.5"``, ``"20mJ"``, ``"3uJ"`` in joules. Raises OptionError."""
    value = _parse(text, _ENERGIES)
    if value is None:
        raise OptionError(f"'{text}' is not an energy; write for example 0.5J, 20mJ or 3uJ.")
    if value > _MOST_JOULES:
        raise OptionError(f"'{text}' is too large an energy; {_MOST_JOULES:.0e} J are the most.")
    return Joules(float(value))


def parse_percent(text: str) -> float:
    """``"5%"``, ``"5"``, ``"0.5 %"`` as a share of one. Raises OptionError."""
    number = _parse(text.strip().removesuffix("%").rstrip(), {"": Fraction(1)})
    if number is None:
        raise OptionError(f"'{text}' is not a percentage; write for example 5% or 0.5%.")
    return float(number / 100)


def _parse(text: str, factors: Mapping[str, Fraction]) -> Fraction | None:
    """The exact sum of numbers with units, None where the text is something else."""
    total, position = Fraction(0), 0
    while part := _PART.match(text, position):
        number, unit = part.groups()
        alone = part.end() - position == len(text)
        if unit not in factors or not (unit or alone):  # 10 000 is not the sum of two numbers
            return None
        total += Fraction(number) * factors[unit]
        position = part.end()
    return total if position == len(text) > 0 else None


def _scaled(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    if not value:
        return f"0 {steps[0][1]}"
    magnitude = abs(value)
    for factor, unit in steps:
        if magnitude >= _ROUNDS_UP * factor:
            return f"{_three_digits(value / factor)} {unit}"
    factor, unit = steps[-1]
    return f"{_three_digits(value / factor)} {unit}"


def _three_digits(value: float) -> str:
    magnitude = abs(value) / _ROUNDS_UP
    return f"{value:.{2 if magnitude < 10 else 1 if magnitude < 100 else 0}f}"
