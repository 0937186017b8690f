"""The candidate space of one device and one model: which choices exist at all.

A space is a plain value. It lists choices, it does not rank them: that is the proposer's work.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from farm.candidate import (
    BlockSize,
    CalibrationMethod,
    Candidate,
    DynamicInt8,
    Engine,
    Fake,
    FloatType,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVino,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
)

# Graph transformers of ONNX Runtime that change which kernels run, and are not always a gain.
OPTIONAL_OPTIMIZERS = ("NchwcTransformer", "ConvAddActivationFusion", "TransposeOptimizer")
_INT4_BLOCKS: tuple[BlockSize, ...] = (32, 128)


@dataclass(frozen=True, slots=True)
class Space:
    """The choices for one device.

    engines: usable kinds, the baseline's first. cores: of the machine.
    openvino_float_types: arithmetic that OpenVINO is good at here.
    quantizable: names of operators by kind of quantisation, in graph order; empty where a kind
    applies to none.
    rewritable: whether the graph has slow patterns that can be rewritten.
    """

    engines: tuple[str, ...]
    cores: int
    openvino_float_types: tuple[FloatType, ...] = (FloatType.FLOAT32,)
    quantizable: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rewritable: bool = False

    def baseline(self) -> Candidate:
        """The model as the user gave it, on the default engine with default options."""
        return Candidate(engine=_DEFAULTS[self.engines[0]])

    def threads(self) -> tuple[int, ...]:
        """Thread counts worth trying: 1, the powers of two below the cores, all cores."""
        powers = {1 << i for i in range(self.cores.bit_length())}
        return tuple(sorted({t for t in powers if t < self.cores} | {1, self.cores}))

    def float_engines(self) -> tuple[Engine, ...]:
        """Engines with their main options, for the float model."""
        return tuple(e for kind in self.engines for e in _ENGINE_LISTS[kind](self))

    def float_types(self, engine: Engine) -> tuple[FloatType, ...]:
        """Arithmetic that an engine offers, float32 first."""
        if isinstance(engine, OpenVino):
            return self.openvino_float_types
        return (FloatType.FLOAT32,)

    def precisions(self, engine: Engine) -> tuple[Precision, ...]:
        """Precisions for an engine other than plain float32, the most promising first."""
        if isinstance(engine, Fake):
            return ()
        floats = [Precision(t) for t in self.float_types(engine) if t is not FloatType.FLOAT32]
        choices: list[Precision] = []
        if self.quantizable.get("static-int8"):
            choices += [Precision(quantization=q) for q in _static_choices()]
        if self.quantizable.get("dynamic-int8"):
            choices += [Precision(quantization=DynamicInt8(per_channel=p)) for p in (False, True)]
        if self.quantizable.get("weight-only-int4") and isinstance(engine, OnnxRuntimeCpu):
            choices += [
                Precision(quantization=WeightOnlyInt4(block_size=block, accuracy_level=level))
                for level in (4, 0)
                for block in _INT4_BLOCKS
            ]
        if self.quantizable.get("static-int8"):
            choices.append(Precision(quantization=DynamicInt8(convolutions=True)))
        return (*floats, *choices)

    def neighbours(self, candidate: Candidate) -> tuple[Candidate, ...]:
        """Candidates that differ from this one in one choice."""
        engines = (replace(candidate, engine=e) for e in self._engine_neighbours(candidate.engine))
        floats = (candidate.with_float(t) for t in self.float_types(candidate.engine))
        quantised = (
            replace(candidate, precision=replace(candidate.precision, quantization=q))
            for q in _quantization_neighbours(candidate.precision)
        )
        graphs = [replace(candidate, rewritten=not candidate.rewritten)] if self.rewritable else []
        near = dict.fromkeys((*graphs, *engines, *floats, *quantised))
        near.pop(candidate, None)
        return tuple(near)

    def offers(self, candidate: Candidate) -> bool:
        """Whether the engine offers the precision at all, whatever its options."""
        engine, precision = candidate.engine, candidate.precision
        if isinstance(precision.quantization, WeightOnlyInt4):
            return isinstance(engine, OnnxRuntimeCpu)
        return precision.float_type in self.float_types(engine)

    def _engine_neighbours(self, engine: Engine) -> list[Engine]:
        match engine:
            case Fake():
                return []
            case OpenVino():
                threads: list[Engine] = [replace(engine, threads=t) for t in (0, *self.threads())]
                return [*threads, replace(engine, pinning=not engine.pinning)]
            case OnnxRuntimeCpu():
                return [
                    *(replace(engine, threads=t) for t in (0, *self.threads())),
                    replace(engine, spinning=not engine.spinning),
                    replace(engine, memory_pattern=not engine.memory_pattern),
                    replace(engine, saved_graph=not engine.saved_graph),
                    *(replace(engine, graph_level=level) for level in GraphLevel),
                    replace(engine, disabled_optimizers=()),
                    *(
                        replace(engine, disabled_optimizers=(name,))
                        for name in OPTIONAL_OPTIMIZERS
                    ),
                ]


def with_keep_float(candidate: Candidate, names: tuple[str, ...]) -> Candidate:
    """The same quantised candidate with these operators kept in float."""
    quantization = candidate.precision.quantization
    assert quantization is not None
    kept = replace(quantization, keep_float=tuple(sorted(names)))
    return replace(candidate, precision=replace(candidate.precision, quantization=kept))


def _static_choices() -> list[StaticInt8]:
    return [
        StaticInt8(per_channel=True, calibration=CalibrationMethod.MIN_MAX),
        StaticInt8(per_channel=False, calibration=CalibrationMethod.MIN_MAX),
        StaticInt8(per_channel=True, calibration=CalibrationMethod.PERCENTILE),
        StaticInt8(per_channel=True, calibration=CalibrationMethod.ENTROPY),
    ]


def _quantization_neighbours(
    precision: Precision,
) -> list[StaticInt8 | DynamicInt8 | WeightOnlyInt4 | None]:
    match precision.quantization:
        case StaticInt8() as q:
            methods = [replace(q, calibration=m) for m in CalibrationMethod]
            return [*methods, replace(q, per_channel=not q.per_channel)]
        case DynamicInt8() as q:
            return [replace(q, per_channel=not q.per_channel)]
        case WeightOnlyInt4() as q:
            return [
                *(replace(q, block_size=b) for b in (16, 32, 64, 128)),
                replace(q, accuracy_level=0 if q.accuracy_level else 4),
            ]
        case None:
            return []


def _onnxruntime_engines(space: Space) -> list[Engine]:
    counts = space.threads()
    return [
        *(OnnxRuntimeCpu(threads=t) for t in counts),
        OnnxRuntimeCpu(threads=counts[-1], spinning=False),
        OnnxRuntimeCpu(threads=counts[0], graph_level=GraphLevel.EXTENDED),
    ]


def _openvino_engines(space: Space) -> list[Engine]:
    return [OpenVino(threads=t) for t in space.threads()]


def _fake_engines(space: Space) -> list[Engine]:
    """Invented latencies around 1 ms, one of them the best, and two that fail."""
    del space
    return [
        *(Fake(seconds=1e-3 * (0.5 + 0.1 * i), serial=i) for i in range(6)),
        Fake(fault="crash"),
        Fake(fault="wrong-engine"),
    ]


_DEFAULTS: dict[str, Engine] = {
    "onnxruntime-cpu": OnnxRuntimeCpu(),
    "openvino": OpenVino(),
    "fake": Fake(),
}
_ENGINE_LISTS = {
    "onnxruntime-cpu": _onnxruntime_engines,
    "openvino": _openvino_engines,
    "fake": _fake_engines,
}
