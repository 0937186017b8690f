"""What candidates of a model are expected to take on a device, from all that a store has of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from db.questions.learning import WholeTrial
from db.reader import StoreReader
from farm.candidate import Candidate, PackageEngine, Pipeline
from farm.devices.energy import Work, modelled_energy
from farm.devices.profile import DeviceProfile
from farm.prediction import Basis, Prediction
from farm.units import Bytes, Seconds
from tuner.learning.candidates.estimate import Estimate, Estimator
from tuner.learning.candidates.features import row_of
from tuner.learning.candidates.memory import sizes_of
from tuner.learning.candidates.models import CPU, ENERGY, LATENCY, MEMORY, CandidateModels
from tuner.learning.candidates.quantity import Quantity, Spread
from tuner.learning.candidates.rows import Tried, tried_in
from tuner.learning.values import CandidatePrediction, Subject

Planned = Callable[[Subject, Candidate], Bytes | None]
"""Weights and arena of a package as they are planned; None where that is not known."""

_UNITS: Mapping[str, str] = {LATENCY: "s", CPU: "s", MEMORY: "B", ENERGY: "J"}
_WIDEST = 20.0  # of logarithms, either way: what is further off says nothing at all
_REPEATED = 0.05  # to either side: how far apart two measurements of one candidate may be
_Z90 = 1.6448536269514722  # of the standard normal distribution: 5 % lie above it


Known = Callable[[str], Mapping[str, Tried]]
"""Candidates of a model, by its SHA-256, that were tried, by their ids."""


def _not_planned(_subject: Subject, _candidate: Candidate) -> Bytes | None:
    return None


def _nothing(_sha256: str) -> Mapping[str, Tried]:
    return {}


@dataclass(frozen=True, slots=True)
class LearnedPredictor:
    """A ``Predictor`` of one device on one machine.

    models: what was learnt. estimator: of the sums of kernels that it rests on. known: candidates
    of models that were tried, which are told as they were measured. planned: of packages.
    """

    profile: DeviceProfile
    estimator: Estimator
    models: CandidateModels
    known: Known = _nothing
    planned: Planned = _not_planned

    def predict(
        self, subject: Subject, candidates: Sequence[Candidate]
    ) -> tuple[CandidatePrediction, ...]:
        """See :class:`Predictor`."""
        if not candidates:
            return ()
        estimates = [self.estimator.estimate(subject, each) for each in candidates]
        rows = [row_of(subject, *pair) for pair in zip(candidates, estimates, strict=True)]
        inputs = self.models.encoder.matrix(rows)
        sums = np.array([row.numbers[0] for row in rows])
        sizes = sizes_of(subject)
        memory = np.log([self.models.memory.bytes_of(sizes, each) for each in candidates])
        simple = {LATENCY: sums, CPU: sums, MEMORY: memory, ENERGY: sums}
        found = {
            name: quantity.predict(inputs, simple[name])
            for name, quantity in self.models.quantities.items()
        }
        failing = self.models.failures.predict(inputs)
        known = self.known(subject.sha256)
        return tuple(
            self._one(
                subject,
                candidate,
                {
                    name: _prediction(
                        self.models.quantities[name], spread, at, estimates[at], name
                    )
                    for name, spread in found.items()
                },
                known.get(candidate.id),
                float(failing[at]),
            )
            for at, candidate in enumerate(candidates)
        )

    def _one(
        self,
        subject: Subject,
        candidate: Candidate,
        told: Mapping[str, Prediction],
        known: Tried | None,
        failure: float,
    ) -> CandidatePrediction:
        """told: what the models say. known: of the candidate, where it was tried."""
        if known is not None and not known.failed:
            told = _as_measured(told, known.trial, self.models.quiet)
        peak = told[MEMORY]
        if isinstance(candidate.engine, PackageEngine):
            peak = self._package(subject, candidate, known, peak)
        energy = None if candidate.spans_devices else told.get(ENERGY)  # as a counter tells it
        energy = energy or self._energy(subject, candidate, told[LATENCY])
        if known is not None:
            failure = float(known.failed)
        return CandidatePrediction(candidate, told[LATENCY], told[CPU], peak, energy, failure)

    def _package(
        self, subject: Subject, candidate: Candidate, known: Tried | None, otherwise: Prediction
    ) -> Prediction:
        """Weights and arena, exact where they were planned; else as large as the model says."""
        planned = self.planned(subject, candidate)
        if planned is None:
            return otherwise
        return Prediction(planned, planned, planned, "B", Basis.MEASURED, int(known is not None))

    def _energy(
        self, subject: Subject, candidate: Candidate, latency: Prediction
    ) -> Prediction | None:
        """By the profile's figures, for the ends of the latency's interval, too."""
        power = self.profile.power
        if power is None or isinstance(candidate.engine, Pipeline) or candidate.spans_devices:
            return None
        work = work_of(subject)
        value, low, high = (
            float(modelled_energy(power, work, candidate, Seconds(each)))
            for each in (latency.value, latency.low, latency.high)
        )
        return Prediction(value, low, high, "J", latency.basis, latency.rows)


def known_in(
    store: StoreReader, device: str, machine_id: str, until: datetime | None = None
) -> Known:
    """What a store says of candidates that were tried on a device of a machine, when asked.

    until: that were begun before.
    """

    def of_model(sha256: str) -> Mapping[str, Tried]:
        tried = tried_in(store, device, machine_id, sha256, until)
        return {each.trial.candidate: each for each in tried}

    return of_model


def work_of(subject: Subject) -> Work:
    """What one run does, each tensor counted at every operator that reads or writes it."""
    tensors = [t for op in subject.operators for t in (*op.reads, *op.writes)]
    weights = sum(t.size for t in tensors if t.stored)
    activations = sum(t.size for t in tensors if not t.stored)
    return Work(subject.macs, Bytes(weights), Bytes(activations))


def _prediction(
    quantity: Quantity, found: Spread, at: int, estimate: Estimate, name: str
) -> Prediction:
    middle, reach = float(found.middle[at]), min(float(found.reach[at]), _WIDEST)
    return Prediction(
        math.exp(middle),
        math.exp(middle - reach),
        math.exp(middle + reach),
        _UNITS[name],
        Basis.LEARNED if quantity.is_learned else estimate.basis,
        quantity.rows,
    )


def _as_measured(
    told: Mapping[str, Prediction], trial: WholeTrial, quiet: Seconds | None
) -> dict[str, Prediction]:
    """What was measured of this very candidate, in place of what the models say of it.

    Seconds are those of a quiet machine.
    """
    calm = quiet / trial.sentinel if quiet and trial.sentinel else 1.0
    values = {
        LATENCY: (trial.seconds or 0.0) * calm,
        CPU: (trial.cpu_seconds or 0.0) * calm,
        MEMORY: trial.peak_bytes or 0.0,
        ENERGY: trial.joules or 0.0,
    }
    reach = math.exp(_Z90 * _REPEATED)
    measured = {
        name: Prediction(value, value / reach, value * reach, _UNITS[name], Basis.MEASURED, 1)
        for name, value in values.items()
        if value > 0.0 and name in told
    }
    return {**told, **measured}
