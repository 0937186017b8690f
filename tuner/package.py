"""``farm package``: a model as a compiled package for one device, without a search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farm.accuracy.evaluate import accuracy
from farm.accuracy.metric import (
    AccuracyMetric,
    choose_metric,
    default_limit,
    load_metric,
    metric_source,
    own_accuracy,
)
from farm.accuracy.outputs import Output, Reference, stacked
from farm.artifact.compiler import Compiler
from farm.artifact.engines import package_engines
from farm.candidate import (
    CalibrationMethod,
    Candidate,
    CPackage,
    PackageEngine,
    Precision,
    StaticInt8,
)
from farm.codegen.build.compilers import CompilerKind, find_emulator
from farm.codegen.emit import check_name
from farm.codegen.front.source import INPUT_TYPES, refused_input
from farm.codegen.package.manifest import Manifest, PackageAccuracy
from farm.codegen.package.record import (
    EMULATED_FILE,
    RUNNER_FILE,
    CompiledPackage,
    excess,
    manifest_of,
    precision_of,
    read_compiled,
)
from farm.codegen.package.write import FEWEST_VECTORS, package_folder
from farm.codegen.program import DEFAULT_NAME, PortType
from farm.compile.passes import cpu_session, reported_as
from farm.dataset import Array, Dataset, Feed, Part, Splits, load_dataset, split, synthetic_dataset
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError, DeviceError, OptionError
from farm.host.temporary import temporary_folder
from farm.model.formats import given_format, has_qdq
from farm.model.graph import TensorKind, build_graph
from farm.model.model import Model, OutputSpec, TensorSpec, load_model
from farm.model.shapes import fixed_sentence
from farm.units import Bytes, format_bytes
from tuner.runs.subject import SYNTHETIC_SAMPLES
from workers.child.packages import check_float, complete, running, vector_samples
from workers.engines.cpackage import CPackageSession
from workers.engines.session import EngineError

_SURE = 4  # times a limit that an expectation has to exceed: float32 takes four bytes, int8 one


class PackagePrecision(StrEnum):
    """Number formats of a package."""

    INT8 = "int8"
    FLOAT32 = "float32"


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """One invocation of ``farm package``.

    data: None for made-up inputs. metric: ``module:function``, "" for one that suits the model.
    precision: None for int8, or what a QDQ model came with. calibration: None for min-max.
    calibration, keep_float: for int8 that the farm chooses only. compiler: None for the default
    one. name: what all names in the package's C begin with. ports: what quantised inputs and
    outputs are for the package's caller. force: replaces an earlier package.
    """

    model: Path
    output: Path
    data: Path | None = None
    metric: str = ""
    shapes: Mapping[str, int] = field(default_factory=dict)
    precision: PackagePrecision | None = None
    calibration: CalibrationMethod | None = None
    keep_float: tuple[str, ...] = ()
    compiler: CompilerKind | None = None
    name: str = DEFAULT_NAME
    ports: PortType = PortType.FLOAT32
    force: bool = False
    seed: int = 0


def make_package(request: PackageRequest, profile: DeviceProfile) -> Manifest:
    """Calibrate, generate, compile, check and write the package of a model; its manifest.

    Raises InputError: the model, the data, the device or the options, or a limit of the device
    that the package breaks. Raises CompileError: the model cannot be made into a package.
    Raises GeneratorFault: the package does not compute what it should.
    """
    check_name(request.name)
    engine = _engine(profile, request.compiler)
    metric = _metric(request)
    with package_folder(request.output, replace=request.force) as folder:
        model = load_model(request.model, request.shapes)
        _refuse_constant_outputs(model)
        _refuse_other_types(model)
        candidate = Candidate(engine, _precision(request, model, engine))
        _refuse_far_excess(model, candidate, profile)
        packaging = _Packaging(model, _dataset(request, model), request, candidate, metric)
        return packaging.write(folder, profile)


class _Packaging:
    """One model on its way into a package."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        request: PackageRequest,
        candidate: Candidate,
        metric: AccuracyMetric | None,
    ) -> None:
        self._model = model
        self._candidate = candidate
        self._metric = metric
        self._real = not dataset.synthetic
        self._splits: Splits = split(dataset, request.seed)
        feeds = list(self._splits.calibration.samples())
        self._compiler = Compiler(model.proto, feeds, request.name, request.ports)

    def write(self, folder: Path, profile: DeviceProfile) -> Manifest:
        """Write the package into an existing, empty folder."""
        with temporary_folder("package") as place:
            self._compiler.compile(self._candidate, place)
            generation = self._compiler.generation(self._candidate)
            check_float(self._model.proto, generation.program, place, self._samples())
            compiled = read_compiled(place)
            if profile.package and (broken := excess(profile.package, compiled)):
                raise OptionError(f"The package does not fit device {profile.name}. {broken}")
            manifest = self._manifest(compiled, place, profile)
            samples = vector_samples(self._samples(), manifest.vectors)
            complete(folder, place, generation, manifest, samples)
        return manifest

    def _manifest(
        self, compiled: CompiledPackage, place: Path, profile: DeviceProfile
    ) -> Manifest:
        found = self._accuracy(place) if self._real else None
        notes = (*compiled.notes, *self._notes(compiled), *_warning(found))
        return manifest_of(
            replace(compiled, notes=notes),
            model_sha256=self._model.sha256,
            profile=profile.name,
            precision=precision_of(self._model.proto, self._candidate.precision.label()),
            packets=self._packets(compiled, place),
            accuracy=found,
            vectors=FEWEST_VECTORS,
        )

    def _notes(self, compiled: CompiledPackage) -> Iterator[str]:
        if fixed := fixed_sentence(self._model.shapes):
            yield fixed
        calibrated = isinstance(self._candidate.precision.quantization, StaticInt8)
        if calibrated and not self._real:
            yield "Calibrated on made-up inputs, so that its accuracy is unknown; give --data."
        if compiled.target.is_hexagon and not find_emulator():
            yield (
                f"Not counted, because qemu-hexagon is not installed: about "
                f"{compiled.modelled.all:,} packets (modelled)."
            )

    def _packets(self, compiled: CompiledPackage, place: Path) -> int | None:
        """Packets of one run on the first sample, counted; None where nothing counts them."""
        if not compiled.target.is_hexagon or not find_emulator():
            return None
        sample = next(self._samples())
        inputs = [port.elements(sample[port.name]) for port in compiled.inputs]
        with running(place / EMULATED_FILE, compiled.target) as runner:
            runner.run(inputs)
            return runner.count(1).packets

    def _accuracy(self, place: Path) -> PackageAccuracy:
        """Of the package and of the model itself, on all samples but those of the calibration."""
        parts = (self._splits.search, self._splits.confirmation)
        samples = [sample for part in parts for sample in part.samples()]
        labels = _labels(parts)
        names = tuple(output.name for output in self._model.proto.graph.output)
        reference = Reference(_model_outputs(self._model, samples), names)
        outputs = _package_outputs(place / RUNNER_FILE, samples)
        metric = self._metric or choose_metric(reference, labels)
        ours = accuracy(metric, outputs, reference, labels)
        theirs = accuracy(metric, reference.outputs, reference, labels)
        return PackageAccuracy(
            ours.metric, ours.value, theirs.value, len(samples), ours.worst, ours.notes
        )

    def _samples(self) -> Iterator[Feed]:
        """What test vectors are made of: data that nothing was calibrated on goes first."""
        parts = (self._splits.confirmation, self._splits.search, self._splits.calibration)
        return chain.from_iterable(part.samples() for part in parts)


def _warning(found: PackageAccuracy | None) -> Iterator[str]:
    """A package that is made without a search has no limit to hold; people have to be told."""
    own = own_accuracy(found.metric, found.float_value) if found else None
    if found is None or found.value is None or own is None:
        return
    drop = own - found.value
    if drop > default_limit(found.metric):
        yield (
            f"Its accuracy is {drop:.4f} below the model's own: keep operators in float with "
            "--keep-float, try another --calibration, or --precision float32."
        )


def _engine(profile: DeviceProfile, compiler: CompilerKind | None) -> PackageEngine:
    """The device's engine for packages. Raises DeviceError, OptionError."""
    engines = package_engines(profile)
    if not engines:
        raise DeviceError(
            f"Device {profile.name} runs no compiled packages here: its engines are "
            f"{', '.join(profile.engines)}. `farm devices` shows what each device lacks."
        )
    for engine in engines:
        if compiler is None or _compiler_kind(engine) is compiler:
            return engine
    known = dict.fromkeys(str(_compiler_kind(engine)) for engine in engines)
    raise OptionError(
        f"Packages for {profile.name} cannot be compiled by {compiler} here, only by "
        f"{' or '.join(known)}."
    )


def _compiler_kind(engine: PackageEngine) -> CompilerKind:
    return CompilerKind(engine.compiler) if isinstance(engine, CPackage) else CompilerKind.ZIG


def _metric(request: PackageRequest) -> AccuracyMetric | None:
    """The user's own metric, None for one that suits the model. Raises OptionError."""
    if not request.metric:
        return None
    if request.data is None:
        raise OptionError("--metric compares outputs on real data; give --data as well.")
    return load_metric(request.metric, metric_source(request.metric))


def _refuse_constant_outputs(model: Model) -> None:
    """Raise CompileError for outputs that are the same for all inputs."""
    graph = build_graph(model)
    for name in graph.outputs:
        if graph.tensors[name].kind is TensorKind.WEIGHT:
            raise CompileError(
                f"Output '{name}' of model {model.path} does not depend on the inputs, and a "
                "package has no constant outputs; take it out of the model."
            )


def _refuse_other_types(model: Model) -> None:
    """Raise CompileError for inputs and outputs that no package has, before any work."""
    for given in model.inputs:
        if given.dtype.name not in INPUT_TYPES:
            raise CompileError(refused_input(given.name, given.dtype.name, _remedy(given)))
    for told in model.outputs:
        # Which operator makes an output of integers is known further on, and says more.
        if told.dtype.kind == "f" and told.dtype != np.float32:
            raise CompileError(
                f"The code generator gives float32 outputs, and {told.name!r} is "
                f"{told.dtype}{_remedy(told)}."
            )


def _remedy(spec: TensorSpec | OutputSpec) -> str:
    """What to do about another type; integers have a meaning that a package cannot keep."""
    if spec.dtype.kind in "biu":
        return ""
    inside = " (float16 inside of it is fine)" if spec.dtype.itemsize < 4 else ""
    return f": export the model with float32 inputs and outputs{inside}"


def _refuse_far_excess(model: Model, candidate: Candidate, profile: DeviceProfile) -> None:
    """Raise OptionError for a package that cannot fit, before any data is read or made up."""
    limit = profile.package.arena_bytes if profile.package else 0
    largest = max((op.activation_bytes for op in build_graph(model).operators), default=0)
    if not limit or largest <= _SURE * limit:
        return
    needed = Compiler(model.proto, []).expected_bytes(candidate)
    if needed > _SURE * limit:
        raise OptionError(
            f"The package does not fit device {profile.name}. Its arena and scratch memory need "
            f"about {format_bytes(needed)}, and the device has {format_bytes(Bytes(limit))}; give "
            "--shape smaller sizes or use a smaller model."
        )


def _precision(request: PackageRequest, model: Model, engine: PackageEngine) -> Precision:
    """What is asked for.

    Raises OptionError where options do not go with the model's precision. Raises CompileError
    where they would not and the model cannot be made into a package either.
    """
    given = {
        "--precision": request.precision is not None,
        "--calibration": request.calibration is not None,
        "--keep-float": bool(request.keep_float),
    }
    own = Precision(given=given_format(model.proto))
    if has_qdq(model.proto):
        if any(given.values()):  # what cannot be packaged at all is told as that
            Compiler(model.proto, []).expected_bytes(Candidate(engine, own))
        _refuse(given, f"{request.model} came quantised, and a package keeps these integers")
        return own
    if request.precision is PackagePrecision.FLOAT32:
        given |= {"--precision": False, "--io": request.ports is not PortType.FLOAT32}
        _refuse(given, "With --precision float32 nothing is quantised")
        return own
    method = request.calibration or CalibrationMethod.MIN_MAX
    kept = tuple(sorted(request.keep_float))
    return replace(own, quantization=StaticInt8(calibration=method, keep_float=kept))


def _refuse(given: Mapping[str, bool], why: str) -> None:
    """Raise OptionError for options that would change nothing."""
    if names := [name for name, is_given in given.items() if is_given]:
        raise OptionError(f"{why}; leave out {' and '.join(names)}.")


def _dataset(request: PackageRequest, model: Model) -> Dataset:
    if request.data is not None:
        return load_dataset(request.data, model)
    return synthetic_dataset(model, SYNTHETIC_SAMPLES, request.seed)


def _labels(parts: Sequence[Part]) -> NDArray[np.int64] | None:
    """Labels of all parts, in their order."""
    found = [labels for part in parts if (labels := part.labels) is not None]
    return np.concatenate(found) if found else None


def _model_outputs(model: Model, samples: Sequence[Feed]) -> list[Output]:
    with reported_as("run the model"):
        session = cpu_session(model.proto)
        rows = [session.run(None, dict(sample)) for sample in samples]
    return _stacked(rows)


def _package_outputs(program: Path, samples: Sequence[Feed]) -> list[Output]:
    try:
        session = CPackageSession(program)
        try:
            return _stacked([session.run(sample) for sample in samples])
        finally:
            session.close()
    except EngineError as error:
        raise CompileError(f"The compiled package cannot be run: {error}") from None


def _stacked(rows: Sequence[Sequence[Array]]) -> list[Output]:
    """Outputs, each [samples, ...], from the outputs of every sample."""
    return [stacked(column) for column in zip(*rows, strict=True)]
