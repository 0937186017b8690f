"""The places of a device: each engine that runs there, in each precision that it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from farm.candidate import (
    Candidate,
    Engine,
    Fake,
    GpuEngine,
    OnnxRuntimeCpu,
    OnnxRuntimeTensorRt,
    OpenVino,
    OpenVinoRuntime,
    PackageEngine,
    Precision,
    StaticInt8,
    engine_label,
)
from farm.costs.calibration import CostPlace
from farm.errors import DeviceError
from tuner.search.options import default
from workers.jobs import DeviceFacts

_FLOAT32, _INT8 = Precision(), Precision(quantization=StaticInt8())
_UNTOLD = frozenset({OpenVino().kind, OnnxRuntimeTensorRt().kind})  # one kernel is all


@dataclass(frozen=True, slots=True)
class MeasuredPlace:
    """A place with the candidate that stands for it."""

    place: CostPlace
    candidate: Candidate

    @property
    def options(self) -> str:
        """Of its engine, as tables show them."""
        return engine_label(self.candidate.engine)


def places_of(device: str, facts: DeviceFacts, threads: int = 0) -> tuple[MeasuredPlace, ...]:
    """The places of a device, float32 of every engine first.

    threads: of every engine that may have several; 0 leaves that to it.

    Raises DeviceError: there are none, because no engine tells what its kernels take.
    """
    engines = tuple(with_threads(engine, threads) for engine in _engines(facts))
    if not engines:
        known = ", ".join(facts.engines) or "none"
        raise DeviceError(
            f"Device {device} cannot be calibrated: none of its engines tells what its kernels "
            f"take (engines that run here: {known})."
        )
    return tuple(
        MeasuredPlace(CostPlace(device, engine.kind, name), Candidate(engine, precision))
        for name, precision in (("float32", _FLOAT32), ("int8", _INT8))
        for engine in engines
        if precision is _FLOAT32 or not isinstance(engine, GpuEngine)  # they quantise nothing
    )


def with_threads(engine: Engine, threads: int) -> Engine:
    """An engine with so many threads, if it may have several; 0 leaves that to it."""
    if isinstance(engine, OnnxRuntimeCpu | OpenVinoRuntime):
        return replace(engine, threads=threads)
    return engine


def _engines(facts: DeviceFacts) -> Iterator[Engine]:
    """One engine of each kind, as it is where nobody chose otherwise."""
    packages: dict[str, PackageEngine] = {}
    for engine in facts.packages:
        packages.setdefault(engine.kind, engine)
    for kind in facts.engines:
        if kind in packages:
            yield packages[kind]
        elif kind not in (*_UNTOLD, Fake().kind, "cpackage", "cpackage-emulated"):
            yield default(kind)
