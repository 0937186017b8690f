"""Compiles a candidate into an artifact: a folder with ``model.onnx`` and its record.

Without quantisation, float conversion or a saved graph the artifact is the user's model; only
its shapes were fixed beforehand, and its IR version is lowered where no engine would read it.
A model of 16-bit floats is such a conversion's source, too: see ``Precision.is_widened``.
A candidate for a package engine becomes generated C and programs, see
``farm.codegen.package.compiled``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import onnx

from farm.artifact.engines import c_compiler
from farm.artifact.folder import ArtifactManifest, write_model, write_record
from farm.artifact.parts import compile_parts, needs_preparation
from farm.artifact.precision import graph_precision
from farm.candidate import (
    CalibrationMethod,
    Candidate,
    CPackage,
    CPackageEmulated,
    DynamicInt8,
    FloatType,
    OnnxRuntimeCpu,
    PackageEngine,
    Pipeline,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
)
from farm.codegen import generate
from farm.codegen.build.compilers import Target
from farm.codegen.emit import DEFAULT_NAME
from farm.codegen.front.annotate import has_qdq
from farm.codegen.package.compiled import compile_package
from farm.codegen.program import PortType
from farm.compile.batch import Batched
from farm.compile.formats.convert_float import ConvertToFloat16
from farm.compile.formats.float32_inside import Float32Inside
from farm.compile.operators import Operator, Quantization, quantizable
from farm.compile.optimize import SaveOptimised
from farm.compile.passes import Compiled, reported_as
from farm.compile.prepare import FreezeWeights, SupportedIr, prepare
from farm.compile.quantization.calibrate import Calibration, Feeds, Range, calibrate
from farm.compile.quantization.correct_biases import CorrectBiases
from farm.compile.quantization.quantize import (
    GemmToMatMul,
    QuantizeDynamic,
    QuantizeStatic,
    QuantizeWeightsInt4,
    tensors_to_calibrate,
)
from farm.compile.rewrite import rewrite
from farm.errors import CompileError
from farm.model.ends import check_valid
from farm.units import Bytes


class Compiler:
    """Compiles many candidates of one model; what they have in common is done once.

    model: the user's graph with fixed shapes and a name for every operator.
    calibration: samples for static int8, one inference each.
    package_name: of packages; see ``farm.codegen.emit``. ports: what quantised inputs and outputs
    of packages are for their callers.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        calibration: Sequence[Feeds],
        package_name: str = DEFAULT_NAME,
        ports: PortType = PortType.FLOAT32,
    ) -> None:
        self._model = model
        self._feeds = calibration
        self._package_name = package_name
        self._ports = ports
        self._prepared: Compiled | None = None
        self._ranges: dict[tuple[CalibrationMethod, bool], Calibration] = {}
        self._package_ranges: dict[CalibrationMethod, Calibration] = {}
        self._biased: dict[StaticInt8, Compiled] = {}  # the last one
        self._generated: tuple[Precision, generate.Generation] | None = None

    @property
    def model(self) -> onnx.ModelProto:
        """The user's graph."""
        return self._model

    def compile(self, candidate: Candidate, folder: Path) -> ArtifactManifest:
        """Write the artifact of a candidate into an existing, empty folder.

        Raises CompileError: the candidate does not fit the model.
        """
        if isinstance(candidate.engine, PackageEngine):
            return self._compile_package(candidate, candidate.engine, folder)
        if isinstance(candidate.engine, Pipeline):
            whole, title = self.graph(candidate), _title(self._model, candidate)
            prepared = () if self._prepared is None else (self._prepared.model,)
            earlier = (self._model, *prepared)
            return compile_parts(whole, earlier, candidate.engine, title, folder)
        return write_model(self.graph(candidate), folder)

    def graph(self, candidate: Candidate) -> Compiled:
        """The graph of a candidate, checked. Raises CompileError."""
        precision = graph_precision(candidate)
        done = self._with_precision(precision, prepared=_is_prepared(candidate))
        if candidate.rewritten:
            done = rewrite(done)
        if candidate.batch > 1:
            done = done.then(Batched(candidate.batch))
        match candidate.engine:
            case OnnxRuntimeCpu(saved_graph=True) as engine:
                done = done.then(SaveOptimised(engine.graph_level, engine.disabled_optimizers))
        if done.passes:
            with reported_as("check"):
                check_valid(done.model)
        return done

    def generation(self, candidate: Candidate) -> generate.Generation:
        """The generated code of a candidate for a package engine; the last one is remembered.

        Raises CompileError.
        """
        if self._generated is None or self._generated[0] != candidate.precision:
            self._generated = candidate.precision, self._generate(candidate)
        return self._generated[1]

    def _generate(self, candidate: Candidate) -> generate.Generation:
        generate.check_inputs(self._model)
        prepared = self.prepared().model
        title, name, ports = _title(prepared, candidate), self._package_name, self._ports
        match candidate.precision:
            case Precision(quantization=None, float_type=FloatType.FLOAT32):
                return generate.generate(prepared, title, name=name, ports=ports)
            case Precision(quantization=StaticInt8(per_channel=True, products=False) as choice):
                if has_qdq(prepared):
                    generate.placed(prepared)  # what cannot be packaged at all is told as that
                    raise CompileError(
                        "The model came quantised, and a package keeps the integers that it came "
                        "with: ask for no other precision."
                    )
                _check_names(prepared, choice.keep_float)
                ranges = self._calibrated_package(choice.calibration)
                kept, model = choice.keep_float, self._corrected(choice).model
                return generate.generate(model, title, ranges.ranges, kept, name, ports)
            case precision:
                raise CompileError(
                    "A package computes in float32 or in static int8 per channel, and not in "
                    f"{precision.label()}."
                )

    def expected_bytes(self, candidate: Candidate) -> Bytes:
        """About what a package's arena and scratch memory need, without calibration data.

        A tensor takes one byte or four per value, and with ranges that are not known yet some
        take the other one: what is needed in the end is a quarter of it or more.

        Raises CompileError.
        """
        generate.check_inputs(self._model)
        prepared, choice = self.prepared().model, candidate.precision.quantization
        if isinstance(choice, StaticInt8):
            tensors = generate.tensors_to_calibrate(prepared)
            ranges = dict.fromkeys(tensors, Range(-1.0, 1.0))
            _, storage = generate.placed(prepared, ranges, choice.keep_float, self._ports)
        else:
            _, storage = generate.placed(prepared, ports=self._ports)
        return Bytes(storage.arena_bytes + storage.scratch_bytes)

    def prepared(self) -> Compiled:
        """The float graph that quantisation starts from. Raises CompileError."""
        if self._prepared is None:
            self._prepared = prepare(self._model)
        return self._prepared

    def quantizable(self, kind: Quantization) -> tuple[Operator, ...]:
        """The operators a kind of quantisation applies to. Raises CompileError."""
        return quantizable(self.prepared().model, kind)

    def _compile_package(
        self, candidate: Candidate, engine: CPackage | CPackageEmulated, folder: Path
    ) -> ArtifactManifest:
        generation = self.generation(candidate)
        target = Target(engine.target)
        compiled = compile_package(folder, generation, target, c_compiler(engine))
        notes = (*self.prepared().notes, *compiled.notes)
        passes = (*self.prepared().passes, "generate")
        manifest = ArtifactManifest(compiled.sha256, compiled.flash_bytes, passes, notes)
        write_record(manifest, folder)
        return manifest

    def _with_precision(self, precision: Precision, *, prepared: bool) -> Compiled:
        """The model in this precision. prepared: even where that needs no preparation."""
        match precision.quantization:
            case None if precision.float_type is precision.given.float_type:
                as_given = Compiled(self._model).then(SupportedIr())
                return prepare(self._model, widened=False) if prepared else as_given
            case None if precision.float_type is FloatType.FLOAT16:
                return self.prepared().then(ConvertToFloat16())
            case None if prepared:
                return self.prepared()
            case None:
                return Compiled(self._model).then(SupportedIr(), FreezeWeights(), Float32Inside())
            case StaticInt8() as choice:
                ranges = self._calibrated(choice)
                return self._corrected(choice).then(QuantizeStatic(choice, ranges))
            case DynamicInt8() as choice:
                return self.prepared().then(GemmToMatMul(), QuantizeDynamic(choice))
            case WeightOnlyInt4() as choice:
                return self.prepared().then(GemmToMatMul(), QuantizeWeightsInt4(choice))

    def _corrected(self, choice: StaticInt8) -> Compiled:
        """The float graph that this is made from, with other biases where it asks for them."""
        if not choice.bias_correction:
            return self.prepared()
        if choice not in self._biased:
            ranges = self._calibrated(choice)
            self._biased = {
                choice: self.prepared().then(CorrectBiases(choice, ranges, self._feeds))
            }
        return self._biased[choice]

    def _calibrated(self, choice: StaticInt8) -> Calibration:
        key = choice.calibration, choice.products
        if key not in self._ranges:
            model = self.prepared().model
            tensors = tensors_to_calibrate(model, products=choice.products)
            self._ranges[key] = calibrate(model, tensors, self._feeds, choice.calibration)
        return self._ranges[key]

    def _calibrated_package(self, method: CalibrationMethod) -> Calibration:
        if method not in self._package_ranges:
            model = self.prepared().model
            tensors = generate.tensors_to_calibrate(model)
            self._package_ranges[method] = calibrate(model, tensors, self._feeds, method)
        return self._package_ranges[method]


def _title(model: onnx.ModelProto, candidate: Candidate) -> str:
    """What generated code is, for its first line."""
    graph = re.sub(r"[^\w. -]+", "_", model.graph.name)[:40] or "unnamed"
    return f"Model {graph}, {candidate.precision.label()}"


def _is_prepared(candidate: Candidate) -> bool:
    """Whether what its engine loads, or is cut from, needs a graph that was prepared."""
    match candidate.engine:
        case OnnxRuntimeCpu(saved_graph=saved):
            return saved or candidate.rewritten
        case Pipeline() as engine:
            return needs_preparation(engine) or candidate.rewritten
        case _:
            return candidate.rewritten


def _check_names(model: onnx.ModelProto, keep_float: Sequence[str]) -> None:
    """Raise CompileError for operators that are to stay in float and do not exist."""
    names = [node.name for node in model.graph.node]
    if unknown := sorted(set(keep_float) - set(names)):
        raise CompileError(
            f"Cannot keep {', '.join(map(repr, unknown))} in float: there is no operator of that "
            f"name. There are: {', '.join(names)}."
        )


def compile_candidate(
    model: onnx.ModelProto, candidate: Candidate, calibration: Sequence[Feeds], folder: Path
) -> ArtifactManifest:
    """Compile one candidate; see ``Compiler``. Raises CompileError."""
    return Compiler(model, calibration).compile(candidate, folder)


def quantizable_operators(model: onnx.ModelProto, kind: Quantization) -> tuple[Operator, ...]:
    """The operators of the user's graph that a kind of quantisation applies to, in graph order.

    Their names are what ``keep_float`` takes. Raises CompileError.
    """
    return quantizable(prepare(model).model, kind)
