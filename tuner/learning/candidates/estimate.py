"""What a candidate's kernels and its calls take together, before whole models say more.

An engine that was not calibrated is taken to be like its nearest one that was, and a precision
without constants like float32: how far they are apart is for whole models to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from farm.candidate import (
    Candidate,
    DynamicInt8,
    Fake,
    Pipeline,
    Quantization,
    StaticInt8,
    WholeEngine,
)
from farm.costs.calibration import Calibration, CostPlace, Ends
from farm.costs.families import Family
from farm.costs.fused import Members, Wiring, kernels_of
from farm.costs.model import CostModel, not_calibrated
from farm.costs.work import kernel_work
from farm.errors import DeviceError
from farm.prediction import Basis
from farm.units import Seconds
from tuner.learning.values import Subject

_NEAR: Mapping[str, tuple[str, ...]] = {
    "openvino": ("openvino-runtime", "onnxruntime-cpu"),
    "openvino-runtime": ("onnxruntime-cpu",),
    "onnxruntime-cpu": ("openvino-runtime",),
}
"""Engines whose kernels are like another's, the nearest first."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The sum of a candidate's kernels, as they run one after another at its place.

    families: seconds of kernels by their family. calls: seconds of calls, and of tensors that
    cross borders. kernels: how many there are. basis: the worst that a kernel rests on.
    """

    families: Mapping[Family, Seconds]
    calls: Seconds
    kernels: int
    basis: Basis

    @property
    def seconds(self) -> Seconds:
        """Of all together."""
        return Seconds(sum(self.families.values()) + self.calls)


@dataclass(slots=True)
class Estimator:
    """Estimates candidates of one device; each model is cut into kernels once for each place.

    calibrations: by device, of this one and of others that pipelines use.
    """

    device: str
    costs: CostModel
    calibrations: Mapping[str, Calibration]
    _wiring: dict[str, Wiring] = field(default_factory=dict)
    _found: dict[tuple[str, CostPlace, Quantization | None], Estimate] = field(
        default_factory=dict
    )

    def estimate(self, subject: Subject, candidate: Candidate) -> Estimate:
        """Raises DeviceError: nothing is known of an engine of the candidate."""
        engine, quantization = candidate.engine, candidate.precision.quantization
        if isinstance(engine, Pipeline):
            return self._pipeline(subject, engine, quantization)
        place = self._place(self.device, engine, quantization)
        key = subject.sha256, place, quantization
        if key not in self._found:
            wiring = self._wiring.setdefault(subject.sha256, Wiring(subject.operators, ()))
            self._found[key] = self._whole(wiring, place, quantization)
        return self._found[key]

    def _pipeline(
        self, subject: Subject, engine: Pipeline, quantization: Quantization | None
    ) -> Estimate:
        """The parts one after another, with a border before each but the first."""
        found = []
        for part in engine.parts:
            names = frozenset(part.operators)
            wiring = Wiring([op for op in subject.operators if op.name in names], ())
            place = self._place(part.device, part.engine, quantization)
            found.append((place, self._whole(wiring, place, quantization)))
        families: dict[Family, Seconds] = {}
        for _, each in found:
            for family, seconds in each.families.items():
                families[family] = Seconds(families.get(family, 0.0) + seconds)
        crossings = 0.0
        for (first, _), (second, _) in pairwise(found):
            known = self.calibrations[second.device].crossings_by_name()
            crossing = known.get((first.name, second.name))
            crossings += crossing.seconds if crossing else 0.0
        return Estimate(
            families,
            Seconds(sum(each.calls for _, each in found) + crossings),
            sum(each.kernels for _, each in found),
            _worst([each.basis for _, each in found]),
        )

    def _place(
        self, device: str, engine: WholeEngine, quantization: Quantization | None
    ) -> CostPlace:
        """The nearest place that was calibrated."""
        calibration = self.calibrations.get(device)
        if calibration is None or isinstance(engine, Fake):
            raise not_calibrated(device)
        precisions = ("int8", "float32") if isinstance(quantization, StaticInt8) else ("float32",)
        for kind in (engine.kind, *_NEAR.get(engine.kind, ())):
            for precision in precisions:
                place = CostPlace(device, kind, precision)
                if calibration.constants(place) is not None:
                    return place
        raise DeviceError(
            f"The calibration of device {device} knows nothing of {engine.kind}. "
            f"Make a new one: farm devices calibrate {device}"
        )

    def _whole(
        self, wiring: Wiring, place: CostPlace, quantization: Quantization | None
    ) -> Estimate:
        calibration = self.calibrations[place.device]
        constants = calibration.constants(place)
        assert constants is not None, "the place was chosen because it has constants"
        families: dict[Family, Seconds] = {}
        bases = []
        kernels = kernels_of(wiring, self.costs.groups_at(place), constants.patterns)
        for members in kernels:
            cost = self.costs.cost(members, self._own(place, members, quantization))
            family = kernel_work(members, place.precision).family
            families[family] = Seconds(families.get(family, 0.0) + cost.value)
            bases.append(cost.basis)
        ends = calibration.ends_of(place) or calibration.ends_of(
            CostPlace(place.device, place.engine)
        )
        return Estimate(families, _calls(wiring, ends), len(kernels), _worst(bases))

    def _own(
        self, place: CostPlace, members: Members, quantization: Quantization | None
    ) -> CostPlace:
        """The place of one kernel, whose operators may be of another precision than the rest."""
        match quantization:
            case StaticInt8(keep_float=kept) if any(op.name in kept for op in members):
                precision = "float32"
            case DynamicInt8(keep_float=kept) if any(
                op.family is Family.PRODUCT and op.name not in kept for op in members
            ):
                precision = "int8"
            case _:
                return place
        own = CostPlace(place.device, place.engine, precision)
        return own if self.calibrations[place.device].constants(own) else place


def _calls(wiring: Wiring, ends: Ends | None) -> Seconds:
    """One call, with the tensors that go in and out; nothing where that was not measured."""
    if ends is None:
        return Seconds(0.0)
    written = {t.name: t for op in wiring.operators for t in op.writes}
    read = {t.name: t for op in wiring.operators for t in op.reads if not t.stored}
    taken = [t.size for name, t in read.items() if name not in written]
    given = [t.size for name, t in written.items() if name not in read]
    moved = ends.take_per_byte * sum(taken) + ends.give_per_byte * sum(given)
    return Seconds(ends.launch + ends.per_tensor * (len(taken) + len(given)) + moved)


def _worst(bases: Sequence[Basis]) -> Basis:
    return max(bases, key=list(Basis).index, default=Basis.MEASURED)
