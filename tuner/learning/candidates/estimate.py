"""What a candidate's kernels and its calls take together, before whole models say more.

Each kernel takes what was learnt of others like it, or else what the roofline says. An engine that
was not calibrated is taken to be like its nearest one that was, a precision without constants like
float32, and so many threads like the nearest number that was calibrated: how far they are apart is
for whole models to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from farm.candidate import (
    Candidate,
    DynamicInt8,
    Fake,
    GpuEngine,
    Pipeline,
    Precision,
    StaticInt8,
    ThreadedEngine,
    WholeEngine,
)
from farm.costs.calibration import Calibration, CostPlace, Ends, Pattern, PlaceConstants
from farm.costs.families import Family
from farm.costs.fused import Members, Wiring, kernels_of
from farm.costs.model import not_calibrated
from farm.costs.work import kernel_work
from farm.errors import DeviceError
from farm.prediction import Basis, Prediction
from farm.units import Seconds
from tuner.learning.kernels.costs import LearnedKernels
from tuner.learning.kernels.rows import Setting
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
    cross borders. launch: of these, without tensors. kernels: how many there are. basis: the worst
    that a kernel rests on.
    """

    families: Mapping[Family, Seconds]
    calls: Seconds
    launch: Seconds
    kernels: int
    basis: Basis

    @property
    def seconds(self) -> Seconds:
        """Of all together."""
        return Seconds(sum(self.families.values()) + self.calls)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where kernels are priced. threads: that the calibration is for; 0 for all there are."""

    place: CostPlace
    threads: int
    calibration: Calibration
    constants: PlaceConstants


@dataclass(slots=True)
class Estimator:
    """Estimates candidates of one device; each model is cut into kernels once for each place.

    calibrations: by device, of this one and of others that pipelines use. by_threads: further
    ones of this device, whose engines had so many threads. kernels: what was learnt of them, of
    this device. cores: of the device; 0 where that is not known.
    """

    device: str
    calibrations: Mapping[str, Calibration]
    by_threads: Mapping[int, Calibration] = field(default_factory=dict)
    kernels: LearnedKernels | None = None
    cores: int = 0
    _wiring: dict[str, Wiring] = field(default_factory=dict)
    _found: dict[tuple[object, ...], Estimate] = field(default_factory=dict)

    def estimate(
        self, subject: Subject, candidate: Candidate, *, unseen: bool = False
    ) -> Estimate:
        """unseen: as if no kernel of the model had ever been profiled.

        Raises DeviceError: nothing is known of an engine of the candidate.
        """
        engine, precision = candidate.engine, candidate.precision
        if isinstance(engine, Pipeline):
            return self._pipeline(subject, engine, precision, unseen=unseen)
        at = self._place(self.device, engine, precision)
        # What neither the roofline nor what was learnt tells apart is estimated once.
        numbers, kept = _numbers((), precision), getattr(precision.quantization, "keep_float", ())
        setting = self._setting(at, engine, numbers)
        key = subject.sha256, at.place, setting, numbers, kept, unseen
        if key not in self._found:
            wiring = self._wiring.setdefault(subject.sha256, Wiring(subject.operators, ()))
            found = self._whole(subject, wiring, at, engine, precision, unseen=unseen)
            if isinstance(engine, GpuEngine):  # timed with its data there
                found = replace(found, calls=found.launch)
            self._found[key] = found
        return self._found[key]

    def _pipeline(
        self, subject: Subject, engine: Pipeline, precision: Precision, *, unseen: bool
    ) -> Estimate:
        """The parts one after another, with a border before each but the first."""
        found = []
        for part in engine.parts:
            names = frozenset(part.operators)
            wiring = Wiring([op for op in subject.operators if op.name in names], ())
            own = self._place(part.device, part.engine, precision)
            whole = self._whole(subject, wiring, own, part.engine, precision, unseen=unseen)
            found.append((own.place, whole))
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
            Seconds(sum(each.launch for _, each in found)),
            sum(each.kernels for _, each in found),
            _worst([each.basis for _, each in found]),
        )

    def _place(self, device: str, engine: WholeEngine, precision: Precision) -> _Place:
        """The nearest place that was calibrated."""
        whole = self.calibrations.get(device)
        if whole is None or isinstance(engine, Fake):
            raise not_calibrated(device)
        threads = self._threads(engine) if device == self.device else 0
        calibration = self.by_threads.get(threads, whole)
        is_int8 = isinstance(precision.quantization, StaticInt8)
        for kind in (engine.kind, *_NEAR.get(engine.kind, ())):
            for name in ("int8", "float32") if is_int8 else ("float32",):
                place = CostPlace(device, kind, name)
                constants = calibration.constants(place)
                if constants is not None:
                    return _Place(place, threads, calibration, constants)
        raise DeviceError(
            f"The calibration of device {device} knows nothing of {engine.kind}. "
            f"Make a new one: farm devices calibrate {device}"
        )

    def _threads(self, engine: WholeEngine) -> int:
        """The number that was calibrated and is nearest to an engine's; 0 for all there are."""
        asked = engine.threads if isinstance(engine, ThreadedEngine) else 0
        if not asked or asked in self.by_threads or asked >= self.cores:
            return asked if asked in self.by_threads else 0
        known = {n: n for n in self.by_threads} | {0: self.cores}
        return min(known, key=lambda n: abs(math.log(known[n] / asked)))

    def _whole(
        self,
        subject: Subject,
        wiring: Wiring,
        at: _Place,
        engine: WholeEngine,
        precision: Precision,
        *,
        unseen: bool,
    ) -> Estimate:
        families: dict[Family, Seconds] = {}
        bases = []
        kernels = kernels_of(wiring, (), self._patterns(at, engine, precision))
        numbers = [_numbers(members, precision) for members in kernels]
        learned = self._learned(subject, kernels, numbers, at, engine, unseen=unseen)
        for at_kernel, (members, of) in enumerate(zip(kernels, numbers, strict=True)):
            cost = learned.get(at_kernel) or _by_roofline(members, of, at)
            family = kernel_work(members, at.place.precision).family
            families[family] = Seconds(families.get(family, 0.0) + cost.value)
            bases.append(cost.basis)
        ends = at.calibration.ends_of(at.place) or at.calibration.ends_of(
            CostPlace(at.place.device, at.place.engine)
        )
        launch = ends.launch if ends else Seconds(0.0)
        return Estimate(families, _calls(wiring, ends), launch, len(kernels), _worst(bases))

    def _patterns(
        self, at: _Place, engine: WholeEngine, precision: Precision
    ) -> tuple[Pattern, ...]:
        """Types of operators that run as one kernel, by other models or the calibration."""
        if self.kernels is not None and at.place.device == self.device:
            setting = self._setting(at, engine, _numbers((), precision))
            if (learned := self.kernels.patterns(setting)) is not None:
                return learned
        return at.constants.patterns

    def _learned(
        self,
        subject: Subject,
        kernels: Sequence[Members],
        numbers: Sequence[str],
        at: _Place,
        engine: WholeEngine,
        *,
        unseen: bool,
    ) -> dict[int, Prediction]:
        """What was learnt of kernels, by their number; some have none."""
        if self.kernels is None or at.place.device != self.device:
            return {}
        own = self.kernels.of_model(subject.operators)
        found: dict[int, Prediction] = {}
        for precision in dict.fromkeys(numbers):
            of = [n for n, each in enumerate(numbers) if each == precision]
            setting = self._setting(at, engine, precision)
            told = own.of_kernels(
                [kernels[n] for n in of], setting, subject.sha256 if unseen else ""
            )
            found |= {n: each for n, each in zip(of, told, strict=True) if each is not None}
        return found

    def _setting(self, at: _Place, engine: WholeEngine, numbers: str) -> Setting:
        """What kernels of an engine are asked for by, with options that something is known of."""
        setting = Setting.of_engine(self.device, engine, numbers)
        setting = replace(setting, threads=at.threads)
        if engine.kind != at.place.engine:
            setting = replace(setting, engine=at.place.engine, options=at.place.engine)
        return self.kernels.nearest(setting) if self.kernels else setting


def _numbers(members: Members, precision: Precision) -> str:
    """In what a kernel computes, as settings call it: its operators may differ from the rest."""
    match precision.quantization:
        case StaticInt8(keep_float=kept):
            return "float32" if any(op.name in kept for op in members) else "int8"
        case DynamicInt8():
            return "dynamic-int8"
        case None:
            return str(precision.float_type)
        case _:
            return "float32"


def _by_roofline(members: Members, numbers: str, at: _Place) -> Prediction:
    """The kernel at its place, or in the precision of the place that is nearest to its own."""
    is_product = any(op.family is Family.PRODUCT for op in members)
    is_int8 = numbers == "int8" or (numbers == "dynamic-int8" and is_product)
    own = replace(at.place, precision="int8" if is_int8 else "float32")
    constants = at.calibration.constants(own) or at.constants
    return constants.roofline.predict(kernel_work(members, constants.precision))


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
