"""Precisions that a search tries: the first ones of static int8, near ones, those of packages."""

from __future__ import annotations

from dataclasses import replace

from farm.candidate import (
    CalibrationMethod,
    DynamicInt8,
    FloatType,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
)


def is_packable(precision: Precision) -> bool:
    """Whether there are packages of this precision."""
    match precision:
        case Precision(float_type=FloatType.FLOAT32, quantization=None):
            return True
        case Precision(
            float_type=FloatType.FLOAT32, quantization=StaticInt8(per_channel=True, products=False)
        ):
            return True
        case _:
            return False


def static_choices() -> list[StaticInt8]:
    """The most accurate first; the others are near enough to be found from there."""
    methods = (CalibrationMethod.PERCENTILE, CalibrationMethod.MIN_MAX)
    return [StaticInt8(calibration=method, bias_correction=True) for method in methods]


def quantization_neighbours(
    precision: Precision,
) -> list[StaticInt8 | DynamicInt8 | WeightOnlyInt4 | None]:
    """Quantisations that differ from this precision's in one choice; it may be among them."""
    match precision.quantization:
        case StaticInt8() as q:
            methods = [replace(q, calibration=m) for m in CalibrationMethod]
            # Plain and by products, each has operators of its own to keep in float.
            products = [] if q.keep_float else [replace(q, products=not q.products)]
            whole = replace(q, per_channel=not q.per_channel)
            return [*methods, whole, replace(q, bias_correction=True), *products]
        case DynamicInt8() as q:
            return [replace(q, per_channel=not q.per_channel)]
        case WeightOnlyInt4() as q:
            return [
                *(replace(q, block_size=b) for b in (16, 32, 64, 128)),
                replace(q, accuracy_level=0 if q.accuracy_level else 4),
            ]
        case None:
            return []
