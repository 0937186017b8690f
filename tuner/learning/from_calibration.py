"""What is expected of candidates where nothing but a calibration of the device is known.

The operators of the model, one after the other at the roofline of the candidate's place, fused as
the engine fused the calibration's, with a call of the engine around them. What a calibration does
not say makes the interval wider: other threads, other number formats, what a process holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from farm.candidate import (
    Candidate,
    DynamicInt8,
    PackageEngine,
    Pipeline,
    StaticInt8,
    ThreadedEngine,
    WeightOnlyInt4,
    WholeEngine,
)
from farm.costs.calibration import Calibration, CostPlace, PlaceConstants
from farm.costs.fused import Wiring, occurrences
from farm.costs.model import LearnedCosts, MeasuredThenRoofline, not_calibrated
from farm.costs.operators import CostedOperator
from farm.devices.energy import Work, counted_energy, modelled_energy
from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError
from farm.model.formats import float_bytes
from farm.prediction import Basis, Prediction, total
from farm.units import Bytes, Joules, Seconds
from tuner.learning.values import CandidatePrediction, Subject

_FLOAT32 = "float32"
_INT8 = "int8"
_MOST_COPIES = 4.0  # of its weights that an engine holds while it loads
_LEAST_PROCESS = 1 << 20  # bytes that an engine takes for any model
_MOST_PROCESS = 64 << 20
_MOST_SPEEDUP = 2.0  # of 16-bit floats over float32, on a processor that is good at them
_MOST_SLOWDOWN = 2.0


@dataclass(frozen=True, slots=True)
class FromCalibration:
    """A predictor that rests on calibrations alone.

    profile, cores: of the device. calibrations: of devices by name; those that parts of a
    pipeline may be at are among them. learned: what their kernels taught, by device.
    """

    profile: DeviceProfile
    cores: int
    calibrations: Mapping[str, Calibration]
    learned: Mapping[str, LearnedCosts] = field(default_factory=dict)

    def predict(
        self, subject: Subject, candidates: Sequence[Candidate]
    ) -> tuple[CandidatePrediction, ...]:
        """See :class:`Predictor`."""
        learned = {name: each.of_model(subject.operators) for name, each in self.learned.items()}
        costs = MeasuredThenRoofline(self.calibrations, learned=learned)
        kernels = _Kernels(Wiring(subject.operators, ()), costs)
        return tuple(self._one(subject, kernels, candidate) for candidate in candidates)

    def _one(
        self, subject: Subject, kernels: _Kernels, candidate: Candidate
    ) -> CandidatePrediction:
        engine = candidate.engine
        parts: list[tuple[str, WholeEngine, frozenset[str]]]
        if isinstance(engine, Pipeline):
            parts = [(p.device, p.engine, frozenset(p.operators)) for p in engine.parts]
        else:
            parts = [(self.profile.name, engine, frozenset(kernels.wiring.order))]
        found = [
            self._part(kernels, names, device, each, candidate) for device, each, names in parts
        ]
        latency = replace(total(found), rows=max(p.rows for p in found))
        latency = _between(latency, candidate.batch, candidate.batch)
        threads = max(self._threads(each) for _, each, _ in parts)
        return CandidatePrediction(
            candidate,
            latency,
            _between(latency, 1.0, float(threads)),
            _peak_memory(subject, candidate, latency.rows),
            self._energy(subject, candidate, latency),
            0.0,
        )

    def _part(
        self,
        kernels: _Kernels,
        names: frozenset[str],
        device: str,
        engine: WholeEngine,
        of: Candidate,
    ) -> Prediction:
        """Seconds of a part, which may be all, with the call of its engine."""
        calibration = self.calibrations.get(device)
        if calibration is None:
            raise not_calibrated(device)
        constants, factors = self._constants(calibration, engine, of)
        return _between(kernels.seconds(names, calibration, constants), *factors)

    def _constants(
        self, calibration: Calibration, engine: WholeEngine, candidate: Candidate
    ) -> tuple[PlaceConstants, tuple[float, float]]:
        """The place that comes nearest, and between which factors of its seconds one is.

        Raises DeviceError: the calibration knows nothing of the engine.
        """
        wanted = _number_format(candidate)
        device = calibration.device
        for precision in dict.fromkeys((wanted, _FLOAT32)):
            constants = calibration.constants(CostPlace(device, engine.kind, precision))
            if constants is None:
                continue
            low, high = _format_factors(candidate, precision)
            all_threads = 1 if isinstance(engine, PackageEngine) else self.cores
            fewer = max(1.0, all_threads / self._threads(engine))
            return constants, (low, high * fewer)
        raise DeviceError(
            f"The calibration of device {device} knows nothing of {engine.kind}. Make a new one: "
            f"farm devices calibrate {device}"
        )

    def _threads(self, engine: WholeEngine) -> int:
        given = engine.threads if isinstance(engine, ThreadedEngine) else 1
        return min(given or self.cores, self.cores)

    def _energy(
        self, subject: Subject, candidate: Candidate, latency: Prediction
    ) -> Prediction | None:
        power, package = self.profile.power, self.profile.package
        if power is None or candidate.spans_devices:
            return None
        work = _work(subject)

        def joules(seconds: float) -> Joules:
            if candidate.is_counted and package is not None and package.clock_hz:
                packets = seconds * package.clock_hz / package.cycles_per_packet
                return counted_energy(power, packets, 0.0, Seconds(seconds))
            return modelled_energy(power, work, candidate, Seconds(seconds))

        value, low, high = map(joules, (latency.value, latency.low, latency.high))
        return Prediction(value, low, high, "J", latency.basis, latency.rows)


@dataclass(slots=True)
class _Kernels:
    """The kernels of a model's parts, each part priced once at each place."""

    wiring: Wiring
    costs: MeasuredThenRoofline
    _found: dict[tuple[frozenset[str], CostPlace], Prediction] = field(default_factory=dict)

    def seconds(
        self, names: frozenset[str], calibration: Calibration, constants: PlaceConstants
    ) -> Prediction:
        """Of a part with the call of its engine."""
        place = CostPlace(calibration.device, constants.engine, constants.precision)
        if (names, place) not in self._found:
            kernels = [self.costs.cost(group, place) for group in self._groups(names, constants)]
            ends = calibration.ends_of(place)
            call = ends.launch + 2.0 * ends.per_tensor if ends else 0.0
            known = Prediction(call, call, call, "s", Basis.ROOFLINE, 0)
            found = replace(total([*kernels, known]), rows=len(constants.points))
            self._found[names, place] = found
        return self._found[names, place]

    def _groups(
        self, names: frozenset[str], constants: PlaceConstants
    ) -> Iterator[tuple[CostedOperator, ...]]:
        """What the engine fuses together, then the rest, one by one."""
        taken: set[str] = set()
        patterns = [each for each in constants.patterns if len(each) > 1]
        for members in occurrences(self.wiring, lambda op: op.op_type, patterns):
            if all(op.name in names for op in members):
                taken.update(op.name for op in members)
                yield members
        left = names - taken
        yield from ((op,) for op in self.wiring.operators if op.name in left)


def _number_format(candidate: Candidate) -> str:
    match candidate.precision.quantization:
        case StaticInt8() | DynamicInt8():
            return _INT8
        case _:
            return _FLOAT32


def _format_factors(candidate: Candidate, precision: str) -> tuple[float, float]:
    """Between which multiples of the seconds in a precision those in a candidate's lie."""
    match candidate.precision.quantization:
        case StaticInt8(keep_float=()):
            return (1.0, 1.0) if precision == _INT8 else (1 / _MOST_COPIES, _MOST_SLOWDOWN)
        case StaticInt8() | DynamicInt8():
            return (1.0, _MOST_COPIES) if precision == _INT8 else (1 / _MOST_COPIES, 1.0)
        case WeightOnlyInt4():
            return 1 / _MOST_SPEEDUP, _MOST_SLOWDOWN
        case None if float_bytes(candidate.precision.float_type) < 4:
            return 1 / _MOST_SPEEDUP, _MOST_SLOWDOWN
        case None:
            return 1.0, 1.0


def _between(found: Prediction, low: float, high: float) -> Prediction:
    """A prediction whose value may be any multiple between two: the one in the middle."""
    middle = math.sqrt(low * high)
    return replace(found, value=found.value * middle, low=found.low * low, high=found.high * high)


def _work(subject: Subject) -> Work:
    reads = [operand for op in subject.operators for operand in op.reads]
    stored = sum(operand.size for operand in reads if operand.stored)
    moved = sum(operand.size for operand in reads if not operand.stored)
    written = sum(operand.size for op in subject.operators for operand in op.writes)
    return Work(subject.macs, Bytes(stored), Bytes(moved + written))


def _peak_memory(subject: Subject, candidate: Candidate, rows: int) -> Prediction:
    """Bytes of the process: at least its weights, at most several copies and all activations."""
    own = float_bytes(subject.given.float_type)
    match candidate.precision.quantization:
        case StaticInt8() | DynamicInt8():
            weights = subject.weight_bytes / own
        case WeightOnlyInt4():
            weights = subject.weight_bytes / (2 * own)
        case None:
            weights = subject.weight_bytes * float_bytes(candidate.precision.float_type) / own
    least = _LEAST_PROCESS + weights
    most = _MOST_PROCESS + _MOST_COPIES * subject.weight_bytes
    most += candidate.batch * subject.activation_bytes
    middle = math.sqrt(least * most)
    return Prediction(middle, least, most, "B", Basis.ROOFLINE, rows)
