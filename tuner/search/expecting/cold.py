"""What is expected where nothing was measured yet: rules of thumb, each a factor of the latency.

They say roughly, with a wide spread, what makers of engines recommend and what the models of
``benchmarks/inputs/corpus.py`` showed: compiled packages in int8 are for small models, a second
thread is for large ones, integers are faster and less accurate, options that are off seldom help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farm.candidate import (
    CalibrationMethod,
    Candidate,
    CPackage,
    CPackageEmulated,
    DynamicInt8,
    Engine,
    FloatType,
    GraphLevel,
    OnnxRuntimeCpu,
    OnnxRuntimeTensorRt,
    OpenVino,
    OpenVinoRuntime,
    PackageEngine,
    Precision,
    StaticInt8,
    ThreadedEngine,
    WeightOnlyInt4,
)
from tuner.search.options import default
from tuner.search.prior import Expected
from tuner.search.regression.flat import flat
from tuner.search.space import Space

SPREAD = 0.7
"""Of the logarithm: half of the candidates are within 1.6 times of their rule of thumb."""
_OPTION = 1.03  # an option that differs from its default
_NEXT_COMPILER, _NEXT_TARGET = 1.1, 2.5  # of packages the most promising come first
_RANKED = frozenset({"engine.threads", "engine.graph_level"})
_LEVELS = {
    GraphLevel.NONE: 1.6,
    GraphLevel.BASIC: 1.3,
    GraphLevel.EXTENDED: 1.1,
    GraphLevel.ALL: 1.0,
}
_FLOATS = {
    FloatType.FLOAT32: 1.0,
    FloatType.BFLOAT16: 0.8,
    FloatType.FLOAT16: 0.9,
    FloatType.FLOAT64: 2.0,
}


@dataclass(frozen=True, slots=True)
class ColdPrior:
    """By rules of thumb for one space. It rests on no rows."""

    space: Space

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        """See ``Prior``."""
        reference = self._seconds(self.space.baseline())
        return tuple(
            Expected(self._seconds(each) / reference, SPREAD, 0, _failure(each))
            for each in candidates
        )

    def _seconds(self, candidate: Candidate) -> float:
        """In units of a float model on one thread of ONNX Runtime, per sample."""
        engine, precision = candidate.engine, candidate.precision
        seconds = self._engine(engine) * _precision(engine, precision)
        seconds *= self._threads(engine) * 0.95**candidate.rewritten
        together = candidate.callers * candidate.batch
        return float(seconds / together**0.5)

    def _engine(self, engine: Engine) -> float:
        match engine:
            case OnnxRuntimeCpu(graph_level=level):
                factor = _LEVELS[level]
            case OpenVino() | OpenVinoRuntime():
                factor = 1.1 if self.space.small else 0.75
            case OnnxRuntimeTensorRt():
                factor = 0.8
            case CPackage() | CPackageEmulated():
                factor = 1.3 if self.space.small else 4.0
                return factor * self._later(engine)
            case _:
                return 1.0
        return factor * _OPTION ** _unusual(engine)

    def _later(self, engine: PackageEngine) -> float:
        """How much slower a package is than the most promising one of its precision."""
        targets = list(dict.fromkeys(each.target for each in self.space.packages))
        alike = [each for each in self.space.packages if each.target == engine.target]
        if engine not in alike:
            return _NEXT_TARGET
        return _NEXT_TARGET ** targets.index(engine.target) * _NEXT_COMPILER ** alike.index(engine)

    def _threads(self, engine: Engine) -> float:
        """Of a small model a second thread gains nothing."""
        if not isinstance(engine, ThreadedEngine):
            return 1.0
        threads = engine.threads or self.space.threads()[-1]
        return float(threads ** (0.1 if self.space.small else -0.6))


def _unusual(engine: Engine) -> int:
    """How many options differ from those of the engine's default, the ranked ones left out."""
    own, usual = flat(Candidate(engine)).items(), flat(Candidate(default(engine.kind))).items()
    return len({name for name, _ in own ^ usual} - _RANKED)


def _precision(engine: Engine, precision: Precision) -> float:
    factor = _FLOATS[precision.float_type]
    match precision.quantization:
        case StaticInt8() if isinstance(engine, PackageEngine):
            return factor * 0.2
        case StaticInt8():
            return factor * (0.85 if isinstance(engine, OnnxRuntimeCpu) else 0.7)
        case DynamicInt8(convolutions=True):
            return factor * 3.0
        case DynamicInt8() | WeightOnlyInt4():
            return factor * 0.95
        case _:
            return factor


def _failure(candidate: Candidate) -> float:
    """How likely it fails or is too inaccurate."""
    precision = candidate.precision
    match precision.quantization:
        case StaticInt8(per_channel=per_channel, calibration=method):
            risk = 0.2 if per_channel else 0.4
            return risk + (0.05 if method is CalibrationMethod.MIN_MAX else 0.0)
        case DynamicInt8() | WeightOnlyInt4():
            return 0.15
        case None if not precision.keeps_precision:
            return 0.1
        case _:
            return 0.03
