"""Precisions: in which numbers the operators of a candidate compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Discriminator

from farm.candidate.fields import ADDED, STRICT

BlockSize = Literal[16, 32, 64, 128]
"""Weights that share one scale in block-wise quantisation."""


class FloatType(StrEnum):
    """Arithmetic of the operators that are not quantised."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT64 = "float64"


class GivenFormat(StrEnum):
    """What a model computes in as it was given, see ``farm.model.formats``.

    quantised: its operators that have weights compute in integers, and the rest in float32.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT64 = "float64"
    QUANTISED = "quantised"

    @property
    def float_type(self) -> FloatType:
        """Arithmetic of its float operators."""
        return FloatType.FLOAT32 if self is GivenFormat.QUANTISED else FloatType(str(self))

    @property
    def is_half(self) -> bool:
        """Whether its floats have 16 bits, so that float32 has all of their values."""
        return self in (GivenFormat.FLOAT16, GivenFormat.BFLOAT16)


class CalibrationMethod(StrEnum):
    """How activation ranges are found from calibration data."""

    MIN_MAX = "min-max"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"


@dataclass(frozen=True, slots=True)
class StaticInt8:
    """QDQ quantisation with calibrated ranges: u8 activations, s8 weights, s32 biases.

    keep_float: names of operators that stay in float, sorted.
    products: matrix products have integers for their operands alone, and those of two activations
        have them, too; operands that may be negative are s8 with their zero at 0.
    bias_correction: the mean error of every channel goes into its bias.
    """

    __pydantic_config__ = STRICT
    kind: Literal["static-int8"] = "static-int8"
    per_channel: bool = True
    calibration: CalibrationMethod = CalibrationMethod.MIN_MAX
    keep_float: tuple[str, ...] = ()
    products: bool = field(default=False, metadata=ADDED)
    bias_correction: bool = field(default=False, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class DynamicInt8:
    """s8 weights, activation ranges found at run time, matrix products (and Conv if asked)."""

    __pydantic_config__ = STRICT
    kind: Literal["dynamic-int8"] = "dynamic-int8"
    per_channel: bool = False
    convolutions: bool = False
    keep_float: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WeightOnlyInt4:
    """Matrix products with block-wise 4-bit weights (``MatMulNBits``), float activations.

    block_size: weights that share one scale, along the reduction axis: 16, 32, 64 or 128.
    accuracy_level: 0 = float32 arithmetic, 4 = int8 arithmetic (ONNX Runtime's contract).
    """

    __pydantic_config__ = STRICT
    kind: Literal["weight-only-int4"] = "weight-only-int4"
    block_size: BlockSize = 32
    accuracy_level: Literal[0, 4] = 0
    keep_float: tuple[str, ...] = ()


Quantization = Annotated[StaticInt8 | DynamicInt8 | WeightOnlyInt4, Discriminator("kind")]


@dataclass(frozen=True, slots=True)
class Precision:
    """Number formats of a candidate: how it is quantised, and the rest's arithmetic.

    given: the model's own, which a model of 16-bit floats is taken out of where ``float_type`` is
        float32: its weights and operators become float32, its inputs and outputs stay.
    """

    __pydantic_config__ = STRICT
    float_type: FloatType = FloatType.FLOAT32
    quantization: Quantization | None = None
    given: GivenFormat = field(default=GivenFormat.FLOAT32, metadata=ADDED)

    @classmethod
    def own(cls, given: GivenFormat) -> Precision:
        """The precision of a model that is run as it was given."""
        return cls(given.float_type, given=given)

    @property
    def is_widened(self) -> bool:
        """Whether a model of 16-bit floats computes in float32, quantised or not."""
        return self.given.is_half and self.float_type is FloatType.FLOAT32

    @property
    def has_products(self) -> bool:
        """Whether operands alone are quantised, see ``StaticInt8``."""
        return isinstance(self.quantization, StaticInt8) and self.quantization.products

    @property
    def keeps_precision(self) -> bool:
        """Whether every number is at least as precise as in the model as it was given.

        So it is in the model itself, and in float32 of a model of 16-bit floats; neither in other
        16-bit floats or anything narrower, nor where the farm quantises.
        """
        is_own = self.float_type is self.given.float_type
        return self.quantization is None and (is_own or self.is_widened)

    def label(self) -> str:
        """A short name for tables: ``int8 per-channel entropy (3 float)``, ``bfloat16``."""
        match self.quantization:
            case None if self.is_widened:
                return "float32 inside"
            case None if self.given is GivenFormat.QUANTISED:
                text = "quantised as given"
            case None:
                return str(self.float_type)
            case StaticInt8(per_channel=per_channel, calibration=method) as choice:
                text = f"int8 {'per-channel' if per_channel else 'per-tensor'} {method}"
                text += " products" if choice.products else ""
                text += " corrected" if choice.bias_correction else ""
            case DynamicInt8(per_channel=per_channel, convolutions=convolutions):
                text = f"dynamic int8{' per-channel' if per_channel else ''}"
                text += " with conv" if convolutions else ""
            case WeightOnlyInt4(block_size=block, accuracy_level=level):
                text = f"int4 weights /{block}{' int8 arithmetic' if level == 4 else ''}"
        if self.float_type is not FloatType.FLOAT32:
            text += f" + {self.float_type}"
        if self.quantization is not None and (kept := len(self.quantization.keep_float)):
            text += f" ({kept} float)"
        return text
