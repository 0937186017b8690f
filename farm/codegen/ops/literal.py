"""C literals: constant shapes, as the last arguments of kernel calls are written, and arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from farm.codegen.program import Array

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


def finite_literal(value: float) -> str:
    """A float32 that is finite, the same way."""
    return f"{value.hex()}f"


def initializer_lines(array: Array) -> Iterator[str]:
    """The lines of an array's initialiser. Floats are written in hexadecimal: exactly."""
    write = _plain_float if array.dtype == np.float32 else _integer
    texts = [write(value) for value in array.ravel().tolist()]
    per_line = 24 if array.dtype.itemsize == 1 else 12
    for start in range(0, len(texts), per_line):
        yield ", ".join(texts[start : start + per_line]) + ","


def _integer(value: int) -> str:
    """The lowest 64-bit number is the negative of one that C has not."""
    return "(-9223372036854775807 - 1)" if value == -(2**63) else str(int(value))


def _plain_float(value: float) -> str:
    """A float32 without the kernels' macros."""
    if math.isnan(value):
        return '__builtin_nanf("")'
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}__builtin_inff()"
    return finite_literal(value)


def _value(value: Field) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return float_literal(value)
    if isinstance(value, int):
        return str(value)
    return "{" + ", ".join(str(int(each)) for each in value) + "}"
