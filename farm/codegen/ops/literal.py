"""C literals of constant shapes, as the last arguments of kernel calls are written."""

from __future__ import annotations

import math
from collections.abc import Iterable

Field = int | float | str | Iterable[int]


def shape_literal(struct: str, **fields: Field) -> str:
    """A compound literal: ``shape_literal("Pool", height=3)`` is ``(Pool){.height = 3}``.

    Floats keep every bit as single precision; text is taken as it is; the rest are arrays.
    """
    written = ", ".join(f".{name} = {_value(value)}" for name, value in fields.items())
    return f"({struct}){{{written}}}"


def float_literal(value: float) -> str:
    """A float32 with every bit, in C's hexadecimal notation."""
    if math.isinf(value):
        return "FLOAT_INFINITY" if value > 0 else "-FLOAT_INFINITY"
    return "FLOAT_NAN" if math.isnan(value) else f"{float(value).hex()}f"


def _value(value: Field) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return float_literal(value)
    if isinstance(value, int):
        return str(value)
    return "{" + ", ".join(str(int(each)) for each in value) + "}"
