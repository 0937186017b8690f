"""What is asked of a device's cost models, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from farm.candidate import Candidate, GivenFormat
from farm.costs.operators import CostedOperator
from farm.prediction import Prediction
from farm.units import Bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, as far as its costs go. Nothing of it needs to have run anywhere.

    operators: those that run, in the model's order. weight_bytes, activation_bytes: of distinct
    tensors, in the model's own floats. given: what it computes in.
    """

    sha256: str
    operators: tuple[CostedOperator, ...]
    macs: int
    weight_bytes: Bytes
    activation_bytes: Bytes
    given: GivenFormat = GivenFormat.FLOAT32


@dataclass(frozen=True, slots=True)
class CandidatePrediction:
    """What one candidate of a model is expected to take on a device, with 90 % intervals.

    latency: seconds of one run on a quiet machine. cpu_seconds: of all its threads together.
    peak_memory: bytes of the process; of a package its weights and its planned arena, exact.
    energy: joules of a run; None where nothing tells the device's. failure: how likely it is that
    it cannot be compiled, does not run, or is too inaccurate, from 0 to 1.
    """

    candidate: Candidate
    latency: Prediction
    cpu_seconds: Prediction
    peak_memory: Prediction
    energy: Prediction | None
    failure: float


class Predictor(Protocol):
    """The cost models of one device on one machine, of one version."""

    def predict(
        self, subject: Subject, candidates: Sequence[Candidate]
    ) -> tuple[CandidatePrediction, ...]:
        """One prediction for each candidate, in their order. Nothing is run.

        Raises DeviceError: nothing at all is known of an engine of the device.
        """
