"""What a version of cost models says of itself, as values and as the JSON text that is kept."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from farm.errors import StoreError


@dataclass(frozen=True, slots=True)
class QuantityReport:
    """How a quantity is predicted on models that were left out of the fit.

    error, roofline_error: the median of how far the learnt figure and the simpler one are off, as
    shares of what was measured. coverage: share of 90 % intervals that hold what was measured.
    width: half an interval, as a share of the value, the median. rows, models: that it rests on.
    is_used: whether the learnt figure is; else the simpler one, which is no worse.
    """

    quantity: str
    error: float
    roofline_error: float
    coverage: float
    width: float
    rows: int
    models: int
    is_used: bool


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A candidate of a model that was left out: its latency as predicted, and as measured."""

    model: str
    candidate: str
    predicted: float
    low: float
    high: float
    measured: float

    @property
    def is_inside(self) -> bool:
        """Whether the interval holds what was measured."""
        return self.low <= self.measured <= self.high


@dataclass(frozen=True, slots=True)
class Report:
    """quantities: what there was enough to say of. held_out: of latency."""

    quantities: tuple[QuantityReport, ...] = ()
    held_out: tuple[HeldOut, ...] = ()

    def of(self, quantity: str) -> QuantityReport | None:
        """Of one quantity; None where there was too little to say."""
        return next((each for each in self.quantities if each.quantity == quantity), None)

    @property
    def models(self) -> int:
        """That any quantity was fitted to."""
        return max((each.models for each in self.quantities), default=0)

    def to_json(self) -> str:
        """The text that the store keeps. What is not a number is left out."""
        told = [asdict(each) for each in self.quantities if _is_finite(asdict(each))]
        pairs = [asdict(each) for each in self.held_out if _is_finite(asdict(each))]
        return json.dumps({"quantities": told, "held_out": pairs}, allow_nan=False)

    @classmethod
    def of_json(cls, text: str) -> Report:
        """What ``to_json`` wrote. Raises StoreError: the text is another one."""
        try:
            plain = json.loads(text)
            return cls(
                tuple(QuantityReport(**each) for each in plain["quantities"]),
                tuple(HeldOut(**each) for each in plain["held_out"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "What a version of the cost models says of itself cannot be read: "
                f"{type(error).__name__} {error}. The next run makes a new one."
            ) from None


def _is_finite(plain: dict[str, Any]) -> bool:
    return all(math.isfinite(v) for v in plain.values() if isinstance(v, float))
