"""The candidate space of one device and one model: which choices exist at all.

A space is a plain value. It lists choices, it does not rank them: that is the proposer's work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from onnx import ModelProto

from farm.candidate import (
    BlockSize,
    Candidate,
    CPackage,
    DynamicInt8,
    Engine,
    Fake,
    FloatType,
    GivenFormat,
    GpuEngine,
    GraphLevel,
    NvidiaEngine,
    OnnxRuntimeCpu,
    OnnxRuntimeGpu,
    OnnxRuntimeWebGpu,
    OpenVino,
    OpenVinoEngine,
    OpenVinoGpu,
    OpenVinoRuntime,
    PackageEngine,
    Precision,
    Quantization,
    StaticInt8,
    ThreadedEngine,
    WeightOnlyInt4,
    processor_threads,
    whole_engines,
)
from farm.model.formats import float_bytes
from farm.units import Bytes, format_bytes
from tuner.goals import Objective
from tuner.search.options import default, main_engines, near_engines
from tuner.search.options.family import Width
from tuner.search.quantizations import is_packable, quantization_neighbours, static_choices
from workers.jobs import DeviceFacts

# Multiply-accumulates of one run, below which engines spend much of their time on themselves.
SMALL_MACS = 50_000_000
MOST_WEIGHTS = Bytes(8 << 20)
"""Of a package that is worth its compiling in a search on the host, in int8."""
_INT4_BLOCKS: tuple[BlockSize, ...] = (32, 128)


@dataclass(frozen=True, slots=True)
class Space:
    """The choices for one device.

    engines: usable kinds, the baseline's first. cores: of the machine.
    openvino_float_types: arithmetic that OpenVINO is good at here.
    webgpu_float16: whether ONNX Runtime's WebGPU provider computes in float16 here.
    quantizable: names of operators by kind of quantisation, in graph order; empty where a kind
    applies to none.
    rewritable: whether the graph has slow patterns that can be rewritten.
    products: whether much of the work is matrix products, which OpenVINO has int8 kernels for.
    packages: engines that run compiled packages, the most promising first.
    small: whether the model is one for which packages often win, see ``SMALL_MACS``.
    quantised: whether the model came quantised, so that packages have no choice of precision.
    given: what the model computes in as it was given.
    most_threads: of every candidate, at most ``cores``; 0 for no limit.
    many: what counts are the results of many callers, and their number is a choice, too.
    loads: what counts is how soon an engine is there.
    max_batch: samples that one run may take.
    splits: of the model over places, worth a trial. only_splits: the device runs nothing else, so
    that its baseline runs elsewhere.
    """

    engines: tuple[str, ...]
    cores: int
    openvino_float_types: tuple[FloatType, ...] = (FloatType.FLOAT32,)
    quantizable: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rewritable: bool = False
    products: bool = False
    packages: tuple[PackageEngine, ...] = ()
    small: bool = True
    quantised: bool = False
    given: GivenFormat = GivenFormat.FLOAT32
    most_threads: int = 0
    many: bool = False
    loads: bool = False
    max_batch: int = 1
    splits: tuple[Candidate, ...] = ()
    only_splits: bool = False
    webgpu_float16: bool = False

    def baseline(self) -> Candidate:
        """The model as the user gave it, on the default engine with default options.

        Where threads are limited, it has as many as may be instead of the engine's own choice.
        """
        kind = self.engines[0]
        engine = self.packages[0] if kind in _PACKAGE_KINDS else default(kind)
        engine = _with_threads(engine, self.most_threads)
        return Candidate(engine, self.kept_precisions(engine)[-1])

    def baselines(self) -> tuple[Candidate, ...]:
        """The baseline, and what may take its place, in order; see ``tuner.search.baseline``.

        Smaller packages, as they are quantised; lower graph levels; a mix with the CPU provider.
        """
        first = self.baseline()
        engine = first.engine
        others: Iterable[Candidate] = ()
        if isinstance(engine, PackageEngine):
            others = (Candidate(engine, p) for p in self.package_precisions())
        elif isinstance(engine, OnnxRuntimeCpu):
            levels = (GraphLevel.BASIC, GraphLevel.NONE)
            others = (replace(first, engine=replace(engine, graph_level=g)) for g in levels)
        elif isinstance(engine, OnnxRuntimeGpu):  # some operators have no kernels there
            others = (replace(first, engine=replace(engine, cpu_operators=True)),)
        return (first, *(c for c in others if c != first))

    def kept_precisions(self, engine: Engine) -> tuple[Precision, ...]:
        """Precisions in which an engine computes no less than the model, its own last.

        In 16-bit floats most processors are slower than in float32, so that both are worth trying.
        """
        widened = Precision(given=self.given)
        if isinstance(engine, OnnxRuntimeCpu | NvidiaEngine | Fake):
            own = Precision.own(self.given)
            return (widened, own) if self.given.is_half else (own,)
        if isinstance(engine, OnnxRuntimeWebGpu) and self._is_given_in_float16():
            return (widened, Precision.own(self.given))
        return (widened,)

    def package_precisions(self) -> tuple[Precision, ...]:
        """Precisions of packages, the most promising first, float32 last."""
        free = self.quantizable.get("static-int8") and not self.quantised
        float_ = Precision(given=self.given)
        choices = static_choices() if free else []
        quantised = (replace(float_, quantization=choice) for choice in choices)
        return (*quantised, float_)

    def threads(self) -> tuple[int, ...]:
        """Thread counts worth trying: 1, the powers of two below the cores, all cores.

        Where threads are limited, the limit takes the place of the cores.
        """
        most = self.most_threads or self.cores
        powers = {1 << i for i in range(most.bit_length())}
        return tuple(sorted({t for t in powers if t < most} | {1, most}))

    def thread_options(self) -> tuple[int, ...]:
        """All that an engine's option may be, 0 included: the engine's own choice, if free."""
        return self.threads() if self.most_threads else (0, *self.threads())

    def width(self) -> Width:
        """Its thread counts, as the options of engines know them."""
        return Width(self.threads(), self.thread_options(), self.many, self.loads)

    def callers(self) -> tuple[int, ...]:
        """Numbers of callers worth trying: as those of threads, where that is a choice."""
        return self.threads() if self.many else (1,)

    def batches(self) -> tuple[int, ...]:
        """Numbers of samples of one run worth trying: 1, the powers of two, and the most."""
        powers = {1 << i for i in range(self.max_batch.bit_length())}
        return tuple(sorted({b for b in powers if b <= self.max_batch} | {self.max_batch}))

    def first_batches(self, engine: Engine) -> tuple[int, ...]:
        """Batches for an engine's first trials with one caller: on all threads, but for packages.

        The most, and a fourth of it.
        """
        most = self.threads()[-1]
        if isinstance(engine, PackageEngine) or self.max_batch == 1:
            return ()
        if isinstance(engine, ThreadedEngine) and engine.threads != most:
            return ()
        return tuple(b for b in self.batches()[::-2][:2] if b > 1)

    def first_callers(self, engine: Engine) -> tuple[int, ...]:
        """Numbers of callers for an engine's first trials: so many that they have processors."""
        most = self.callers()[-1]
        match engine:
            case (
                OpenVinoRuntime(hint="throughput", streams=streams)
                | OpenVinoGpu(hint="throughput", streams=streams)
            ):
                return (max(1, min(streams or most, most)),)
            case OnnxRuntimeCpu() | OpenVino() | OpenVinoRuntime():
                return tuple(c for c in self.callers() if c == 1 or c * engine.threads <= most)
            case _:
                return self.callers()

    def float_engines(self) -> tuple[Engine, ...]:
        """Engines with their main options, for the float model."""
        kinds = (kind for kind in self.engines if kind not in _PACKAGE_KINDS)
        engines = (e for kind in kinds for e in main_engines(kind, self.width()))
        return tuple(_limited(engine, self.most_threads) for engine in engines)

    def recommended(self) -> tuple[Candidate, ...]:
        """Engines as their makers recommend them: all threads, each of the processor's floats.

        For one caller. ONNX Runtime's is the baseline.
        """
        kinds = () if self.many else [k for k in self.engines if k.startswith("openvino")]
        engines = [_with_threads(default(kind), self.threads()[-1]) for kind in kinds]
        return tuple(
            Candidate(engine, Precision(float_type, given=self.given))
            for engine in engines
            for float_type in self.float_types(engine)
        )

    def float_types(self, engine: Engine) -> tuple[FloatType, ...]:
        """Arithmetic that an engine offers, the most precise first."""
        if isinstance(engine, OpenVinoEngine):
            return self.openvino_float_types
        if isinstance(engine, OnnxRuntimeWebGpu) and self.webgpu_float16:
            return (FloatType.FLOAT32, FloatType.FLOAT16)
        own = tuple(precision.float_type for precision in self.kept_precisions(engine))
        widest = self.given in (GivenFormat.FLOAT32, GivenFormat.BFLOAT16)
        is_halved = isinstance(engine, NvidiaEngine) and widest
        return (*own, FloatType.FLOAT16) if is_halved else own

    def precisions(self, engine: Engine) -> tuple[Precision, ...]:
        """Precisions for an engine beside the model's own, the most promising first."""
        if isinstance(engine, Fake):
            return ()
        if isinstance(engine, PackageEngine):
            return self.package_precisions()
        own = self.kept_precisions(engine)[-1]
        floats = [Precision(t, given=self.given) for t in self.float_types(engine)]
        if isinstance(engine, GpuEngine):
            return tuple(p for p in floats if p != own)
        choices: list[Quantization] = []
        if self._has_int8_products(engine):
            choices.append(StaticInt8(products=True, bias_correction=True))
        if self.quantizable.get("static-int8"):
            choices += static_choices()
        if self.quantizable.get("dynamic-int8"):
            choices += [DynamicInt8(per_channel=p) for p in (False, True)]
        if self.quantizable.get("weight-only-int4") and isinstance(engine, OnnxRuntimeCpu):
            choices += [
                WeightOnlyInt4(block_size=block, accuracy_level=level)
                for level in (4, 0)
                for block in _INT4_BLOCKS
            ]
        if self.quantizable.get("static-int8"):
            choices.append(DynamicInt8(convolutions=True))
        quantised = (Precision(quantization=q, given=self.given) for q in choices)
        return (*(p for p in floats if p != own), *quantised)

    def neighbours(self, candidate: Candidate) -> tuple[Candidate, ...]:
        """Candidates that differ from this one in one choice."""
        engines = (
            replace(candidate, engine=e)
            for e in near_engines(candidate.engine, self.width(), self.packages)
        )
        floats = (candidate.with_float(t) for t in self.float_types(candidate.engine))
        quantised = (
            replace(candidate, precision=replace(candidate.precision, quantization=q))
            for q in quantization_neighbours(candidate.precision)
        )
        graphs = [replace(candidate, rewritten=not candidate.rewritten)] if self.rewritable else []
        callers = (replace(candidate, callers=count) for count in self.callers())
        batches = (replace(candidate, batch=size) for size in self.batches())
        near = dict.fromkeys((*graphs, *engines, *floats, *quantised, *callers, *batches))
        near.pop(candidate, None)
        return tuple(c for c in near if self.offers(c))

    def offers(self, candidate: Candidate) -> bool:
        """Whether the engine offers the precision at all, whatever its options."""
        engine, precision = candidate.engine, candidate.precision
        if not self._has_room(candidate):
            return False
        if isinstance(engine, PackageEngine):
            return is_packable(precision) and not candidate.rewritten and candidate.batch == 1
        if isinstance(engine, GpuEngine) and precision.quantization is not None:
            return False
        if isinstance(precision.quantization, WeightOnlyInt4):
            return isinstance(engine, OnnxRuntimeCpu)
        if precision.has_products and not self._has_int8_products(engine):
            return False
        if precision.quantization is not None and isinstance(engine, OnnxRuntimeCpu):
            return precision.float_type is FloatType.FLOAT32
        return precision.float_type in self.float_types(engine)

    def _is_given_in_float16(self) -> bool:
        """Whether the WebGPU provider computes as the model does, in 16-bit floats."""
        return self.webgpu_float16 and self.given is GivenFormat.FLOAT16

    def _has_int8_products(self, engine: Engine) -> bool:
        """Whether int8 of operands alone may be worth it: ONNX Runtime is slower with that."""
        return self.products and isinstance(engine, OpenVino | OpenVinoRuntime)

    def _has_room(self, candidate: Candidate) -> bool:
        """Whether a limit of threads holds, and a device that counts has its one caller."""
        if candidate.callers == 1:
            return True
        threads = max(map(processor_threads, whole_engines(candidate.engine)))
        within = not self.most_threads or candidate.callers * threads <= self.most_threads
        return within and not candidate.is_modelled


def space_of(
    facts: DeviceFacts,
    given: GivenFormat,
    threads: int = 0,
    objective: Objective = Objective.LATENCY,
) -> Space:
    """The space of a device whose worker gave these facts, for a model that computes in this.

    threads: at most so many for every candidate, 0 for no limit.
    objective: what is wanted of its candidates.
    """
    return Space(
        facts.engines,
        facts.cores,
        facts.openvino_float_types,
        packages=facts.packages,
        given=given,
        most_threads=min(threads, facts.cores),
        many=objective is Objective.THROUGHPUT,
        loads=objective is Objective.LOAD,
        webgpu_float16=facts.webgpu_float16,
    )


def threads_sentence(space: Space) -> Iterator[str]:
    """What a limit of threads means on a device, where an engine there has threads at all."""
    if space.most_threads and not _THREADED_KINDS.isdisjoint(space.engines):
        threads = f"{space.most_threads} thread{'s' if space.most_threads > 1 else ''}"
        yield f"Every candidate has at most {threads}, the baseline has {threads}."


def fitted(
    space: Space, macs: int, weight_bytes: Bytes, *, quantised: bool = False
) -> tuple[Space, tuple[str, ...]]:
    """A space for a model of this size, and sentences about what is left out of it.

    weight_bytes: in the model's own floats.
    quantised: whether the model came with QuantizeLinear operators.
    """
    space = replace(space, small=macs <= SMALL_MACS, quantised=quantised)
    notes: list[str] = []
    int8_bytes = weight_bytes // float_bytes(space.given.float_type)
    if int8_bytes > MOST_WEIGHTS and any(isinstance(e, CPackage) for e in space.packages):
        notes.append(
            f"Compiled packages were not tried: the model has {format_bytes(int8_bytes)} of "
            f"weights in int8, and C with more than {format_bytes(MOST_WEIGHTS)} takes minutes to "
            "compile."
        )
        kept = tuple(e for e in space.packages if not isinstance(e, CPackage))
        space = replace(space, packages=kept)
    return space, tuple(notes)


def batched(space: Space, model: ModelProto, most: int) -> tuple[Space, tuple[str, ...]]:
    """A space with batches of up to so many samples; a sentence where the model allows none."""
    if most == 1:
        return space, ()
    from farm.compile.batch import batch_obstacle  # noqa: PLC0415  (loads ONNX Runtime)

    if obstacle := batch_obstacle(model):
        return space, (f"Batches were not tried: {obstacle[0].lower()}{obstacle[1:]}.",)
    return replace(space, max_batch=most), ()


def with_keep_float(candidate: Candidate, names: tuple[str, ...]) -> Candidate:
    """The same quantised candidate with these operators kept in float."""
    quantization = candidate.precision.quantization
    assert quantization is not None
    kept = replace(quantization, keep_float=tuple(sorted(names)))
    return replace(candidate, precision=replace(candidate.precision, quantization=kept))


def _with_threads(engine: Engine, threads: int) -> Engine:
    limited = _limited(engine, threads)
    return replace(limited, threads=threads) if isinstance(limited, ThreadedEngine) else limited


def _limited(engine: Engine, threads: int) -> Engine:
    """Of a GPU: with so many threads of the processor beside it."""
    return replace(engine, cpu_threads=threads) if isinstance(engine, OnnxRuntimeGpu) else engine


_PACKAGE_KINDS = frozenset({"cpackage", "cpackage-emulated"})
_THREADED_KINDS = frozenset({"onnxruntime-cpu", "openvino", "openvino-runtime"})
