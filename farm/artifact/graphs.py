"""The graphs of a model: as it is given, prepared, and in the precisions of its candidates.

Without quantisation, float conversion or a saved graph it is the user's model; only its shapes
were fixed beforehand, and its IR version is lowered where no engine would read it. A model of
16-bit floats is such a conversion's source, too: see ``Precision.is_widened``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import onnx

from farm.artifact.precision import graph_precision
from farm.candidate import (
    CalibrationMethod,
    Candidate,
    DynamicInt8,
    FloatType,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    PackageEngine,
    Pipeline,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
)
from farm.compile.batch import Batched
from farm.compile.divide import DividedInSession
from farm.compile.formats.convert_float import ConvertToFloat16
from farm.compile.formats.float32_inside import Float32Inside
from farm.compile.operators import Operator, Quantization, quantizable
from farm.compile.optimize import SaveOptimised
from farm.compile.passes import Compiled, reported_as
from farm.compile.prepare import FreezeWeights, SupportedIr, prepare
from farm.compile.quantization.calibrate import Calibration, Feeds, calibrate
from farm.compile.quantization.correct_biases import CorrectBiases
from farm.compile.quantization.quantize import (
    GemmToMatMul,
    QuantizeDynamic,
    QuantizeStatic,
    QuantizeWeightsInt4,
    tensors_to_calibrate,
)
from farm.compile.rewrite import rewrite
from farm.model.ends import check_valid


class Graphs:
    """What candidates of one model are compiled from; what they have in common is made once.

    model: the user's graph with fixed shapes and a name for every operator.
    calibration: samples for static int8, one inference each.
    """

    def __init__(self, model: onnx.ModelProto, calibration: Sequence[Feeds]) -> None:
        self._model = model
        self._feeds = calibration
        self._prepared: Compiled | None = None
        self._ranges: dict[tuple[CalibrationMethod, bool], Calibration] = {}
        self._biased: dict[StaticInt8, Compiled] = {}  # the last one

    @property
    def model(self) -> onnx.ModelProto:
        """The user's graph."""
        return self._model

    @property
    def sources(self) -> tuple[onnx.ModelProto, ...]:
        """What graphs were made from: the user's graph first, then the prepared one if any was."""
        return (self._model,) if self._prepared is None else (self._model, self._prepared.model)

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
            case OnnxRuntimeWebGpu(on_cpu=names) if names:
                done = done.then(DividedInSession(names))
        if done.passes:
            with reported_as("check"):
                check_valid(done.model)
        return done

    def prepared(self) -> Compiled:
        """The float graph that quantisation starts from. Raises CompileError."""
        if self._prepared is None:
            self._prepared = prepare(self._model)
        return self._prepared

    def quantizable(self, kind: Quantization) -> tuple[Operator, ...]:
        """The operators a kind of quantisation applies to. Raises CompileError."""
        return quantizable(self.prepared().model, kind)

    def corrected(self, choice: StaticInt8) -> Compiled:
        """The float graph that this is made from, with other biases where it asks for them.

        Raises CompileError.
        """
        if not choice.bias_correction:
            return self.prepared()
        if choice not in self._biased:
            ranges = self._calibrated(choice)
            self._biased = {
                choice: self.prepared().then(CorrectBiases(choice, ranges, self._feeds))
            }
        return self._biased[choice]

    def ranges(self, tensors: Sequence[str], method: CalibrationMethod) -> Calibration:
        """What these tensors of the prepared graph hold on the samples. Raises CompileError."""
        return calibrate(self.prepared().model, tensors, self._feeds, method)

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
                return self.corrected(choice).then(QuantizeStatic(choice, ranges))
            case DynamicInt8() as choice:
                return self.prepared().then(GemmToMatMul(), QuantizeDynamic(choice))
            case WeightOnlyInt4() as choice:
                return self.prepared().then(GemmToMatMul(), QuantizeWeightsInt4(choice))

    def _calibrated(self, choice: StaticInt8) -> Calibration:
        key = choice.calibration, choice.products
        if key not in self._ranges:
            model = self.prepared().model
            tensors = tensors_to_calibrate(model, products=choice.products)
            self._ranges[key] = calibrate(model, tensors, self._feeds, choice.calibration)
        return self._ranges[key]


def graph_title(model: onnx.ModelProto, candidate: Candidate) -> str:
    """What generated code is made from, for its first line."""
    graph = re.sub(r"[^\w. -]+", "_", model.graph.name)[:40] or "unnamed"
    return f"Model {graph}, {candidate.precision.label()}"


def needs_preparation(engine: Pipeline) -> bool:
    """Whether the whole graph is to be prepared before it is cut, as for an engine of a part."""
    return any(
        isinstance(part.engine, PackageEngine)
        or (isinstance(part.engine, OnnxRuntimeCpu) and part.engine.saved_graph)
        for part in engine.parts
    )


def _is_prepared(candidate: Candidate) -> bool:
    """Whether what its engine loads, or is cut from, needs a graph that was prepared."""
    match candidate.engine:
        case OnnxRuntimeCpu(saved_graph=saved):
            return saved or candidate.rewritten
        case Pipeline() as engine:
            return needs_preparation(engine) or candidate.rewritten
        case _:
            return candidate.rewritten
