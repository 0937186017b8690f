"""What is expected of candidates, as a run asks it: before each is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from farm.candidate import Candidate
from farm.measurement import Metric
from farm.prediction import Prediction

Predictions = Mapping[Metric, Prediction]


@dataclass(frozen=True, slots=True)
class Expects:
    """What a device's cost models say.

    of: asked for several candidates at a time; those of which nothing is known are left out.
    version: of the cost models; "" where the calibration is all there is, or nothing at all.
    """

    of: Callable[[Sequence[Candidate]], Mapping[Candidate, Predictions]]
    version: str = ""


NOTHING = Expects(lambda _: {})
