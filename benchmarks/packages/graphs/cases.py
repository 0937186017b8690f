"""Models taken through the code generator in every way, and checks of what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from benchmarks.packages.graphs.agreement import (
    FLOAT_TOLERANCE,
    float_error,
    hidden_loss,
    noise,
    stacked,
)
from benchmarks.packages.graphs.maker import float_session
from benchmarks.packages.graphs.operators.proposal import Array
from benchmarks.packages.graphs.subjects import Feeds, Kind, Subject
from benchmarks.packages.graphs.twists.quantized import (
    observed_ranges,
    quantized_by_runtime,
    rounded_to_8_bits,
)
from farm.artifact.compiler import Compiler
from farm.candidate import CalibrationMethod, Candidate, CPackage, Precision, StaticInt8
from farm.codegen.front.annotate import annotate_ranges
from farm.codegen.front.source import read_source
from farm.codegen.generate import Generation, generate, tensors_to_calibrate
from farm.codegen.program import Element, Program, Tensor, View
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import calibrate
from farm.compile.quantization.quantize import QuantizeStatic
from farm.compile.quantization.quantize import tensors_to_calibrate as tensors_of_static_int8
from farm.model.formats import has_qdq
from farm.model.walk import all_nodes, all_tensors
from farm.plan.memory.arena import violations

Outputs = Sequence[Sequence[Array]]
"""By sample, then by output."""

_KEPT = 0.3  # share of operators that MIXED keeps in float
_UNPREPARED = 0.3  # share of float models that are lowered as they are
_FIRST_UNPREPARED = 13  # operator set; what is older is always raised first
_HALF_TOLERANCE = 0.05  # of floats, of which the model rounds some to 16 bits
_GIVEN_NOISE = 0.1  # the same where ONNX Runtime rounds as often, now and then the other way
_NOISE = 0.05  # beside how much a channel varies; of results that rounding has moved
_MOVED = 0.01  # of inputs, to see what rounding does
_MORE_NOISE = 2.5  # than that of the same model with every tensor rounded to 8 bits


@dataclass(frozen=True, slots=True)
class Case:
    """A package that was generated.

    feeds: inputs. expected: for each of them the outputs of the float model, or of the model with
    its pairs of QuantizeLinear and DequantizeLinear if it came with them. rounded: what says how
    much noise is to be expected: outputs of the float model with every tensor rounded to 8 bits,
    or of the one with pairs when its inputs change a little. is_float: whether it was to be float.
    came_quantized: its scales were the model's, and no choice of the farm's.
    tolerance: of floats.
    """

    name: str
    generation: Generation
    feeds: Sequence[Feeds]
    expected: Outputs
    rounded: Outputs | None = None
    is_float: bool = False
    came_quantized: bool = False
    tolerance: float = FLOAT_TOLERANCE

    @property
    def is_exact(self) -> bool:
        """Whether the reference has the very bits of the C: it does without float operators."""
        steps = self.generation.program.steps
        return not any(".floats." in type(step).__module__ for step in steps)

    def references(self) -> list[list[Array]]:
        """What the steps compute in numpy, for each of the feeds."""
        program = self.generation.program
        results = [program.run(feed) for feed in self.feeds]
        return [[result[tensor.name] for tensor in program.outputs] for result in results]


def make_case(subject: Subject, model: onnx.ModelProto, feeds: Sequence[Feeds]) -> Case:
    """Generate the package of a subject. model: as the farm loads it.

    Raises FarmError: something is not supported.
    """
    random = np.random.default_rng(subject.seed)
    if has_qdq(model):
        return _came_quantized(subject, model, feeds, random)
    match subject.kind:
        case Kind.FLOAT:
            return _in_float(subject, model, feeds, random)
        case Kind.INT8 | Kind.MIXED:
            return _calibrated(subject, model, feeds, random)
        case Kind.QDQ:
            ready = prepare(model).model
            names = tensors_of_static_int8(ready)
            ranges = calibrate(ready, names, feeds, CalibrationMethod.MIN_MAX)
            choice = StaticInt8(per_channel=bool(random.random() < 0.7))
            quantized = QuantizeStatic(choice, ranges)(ready).model
        case Kind.RUNTIME_QDQ:
            quantized = quantized_by_runtime(prepare(model).model, feeds, random)
    return _came_quantized(subject, quantized, feeds, random)


def expected_outputs(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> list[list[Array]]:
    """What ONNX Runtime gives, its optimisations off."""
    session = float_session(model)
    return [session.run(None, dict(feed)) for feed in feeds]


def has_halves(model: onnx.ModelProto) -> bool:
    """Whether anything is rounded to 16 bits, which float32 inside of a model does not."""
    casts = {a.i for node in all_nodes(model) for a in node.attribute if a.name == "to"}
    types = {tensor.data_type for tensor in all_tensors(model)} | casts
    types |= {value.type.tensor_type.elem_type for value in model.graph.input}
    return bool(types & {TensorProto.FLOAT16, TensorProto.BFLOAT16})


def unlike_prepared(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> str:
    """How the graph that passes start from differs from the model; "" where it does not.

    Raises CompileError: a pass cannot be applied.
    """
    ready = prepare(model).model
    wanted, found = expected_outputs(model, feeds), expected_outputs(ready, feeds)
    for index, value in enumerate(model.graph.output):
        error = float_error(stacked(wanted, index), stacked(found, index))
        if not error <= FLOAT_TOLERANCE:
            return f"output {value.name!r} of the prepared model is off by {error:.2g}"
    return ""


def unlike_model(case: Case, references: Outputs) -> str:
    """How the reference differs from the model more than it may; "" where it does not."""
    for index, tensor in enumerate(case.generation.program.outputs):
        wanted, found = stacked(case.expected, index), stacked(references, index)
        if wanted.shape != found.shape:
            return f"output {tensor.name} has shape {found.shape[1:]}, not {wanted.shape[1:]}"
        if case.is_float:
            error = float_error(wanted, found)
            if not error <= case.tolerance:
                return f"output {tensor.name} is off by {error:.2g}"
            continue
        allowed = _GIVEN_NOISE if case.came_quantized else _NOISE
        if case.rounded is not None:
            allowed += _MORE_NOISE * noise(wanted, stacked(case.rounded, index))
        step = _step_of(case.generation.program, tensor) if case.came_quantized else 0.0
        error = noise(wanted, found, step)
        if not error <= allowed:
            return f"output {tensor.name} has noise {error:.3f}, above {allowed:.3f}"
    return ""


def _step_of(program: Program, tensor: Tensor) -> float:
    """The largest scale of the integers that an output is made of; 0 where there are none."""
    if tensor.quantization is not None:
        return tensor.quantization.scale
    makers = [step for step in program.steps if tensor in step.outputs]
    return max((_step_of(program, each) for step in makers for each in step.inputs), default=0.0)


def hides_loss(case: Case, references: Outputs) -> str:
    """How accuracy is good although outputs are not; "" where it is not."""
    count = len(case.generation.program.outputs)
    wanted = [stacked(case.expected, index) for index in range(count)]
    return hidden_loss(wanted, [stacked(references, index) for index in range(count)])


def unlike_reference(case: Case, references: Outputs, outputs: Outputs) -> str:
    """How the outputs of C differ from the reference; "" where they do not."""
    for index, tensor in enumerate(case.generation.program.outputs):
        wanted, found = stacked(references, index), stacked(outputs, index)
        if case.is_exact:
            count = int((wanted.view(np.uint32) != found.view(np.uint32)).sum())
            if count:
                return f"{count} of {found.size} elements of {tensor.name} are not the reference's"
        elif case.is_float:
            error = float_error(wanted, found)
            if not error <= FLOAT_TOLERANCE:
                return f"{tensor.name} is off the reference by {error:.2g}"
        elif not (error := noise(wanted, found)) <= _NOISE:
            return f"{tensor.name} has noise {error:.3f} against the reference"
    return ""


def invalid_plan(case: Case) -> str:
    """What is wrong with the places of the tensors; "" where nothing is."""
    storage = case.generation.storage
    return "; ".join(violations(storage.problem, storage.plan))


def loosely_checked(case: Case) -> str:
    """Whether a package of integers would not be checked bit for bit; "" where it would."""
    program = case.generation.program
    integers = all(
        isinstance(step, View)
        or any(tensor.element is Element.U8 for tensor in (*step.inputs, *step.outputs))
        for step in program.steps
    )
    kinds = ", ".join(dict.fromkeys(type(step).__name__ for step in program.steps))
    return f"steps: {kinds}" if integers and not program.is_integer else ""


def _in_float(
    subject: Subject, model: onnx.ModelProto, feeds: Sequence[Feeds], random: np.random.Generator
) -> Case:
    opset = max((each.version for each in model.opset_import if not each.domain), default=0)
    # Operators of float models may be of any operator set; other passes want to prepare.
    if opset >= _FIRST_UNPREPARED and random.random() < _UNPREPARED:
        generation = generate(model, subject.name)
    else:
        generation = Compiler(model, feeds).generation(_PLAIN)
    beyond = subject.feeds_beyond()
    given = [*feeds, *beyond]
    expected = expected_outputs(model, given)
    tolerance = _HALF_TOLERANCE if has_halves(model) else FLOAT_TOLERANCE
    return Case(subject.name, generation, given, expected, is_float=True, tolerance=tolerance)


def _calibrated(
    subject: Subject, model: onnx.ModelProto, feeds: Sequence[Feeds], random: np.random.Generator
) -> Case:
    compiler = Compiler(model, feeds)
    ready = compiler.prepared().model
    names = [node.name for node in ready.graph.node]
    is_mixed = subject.kind is Kind.MIXED
    kept = tuple(sorted({each for each in names if is_mixed and random.random() < _KEPT}))
    candidate = Candidate(CPackage(), Precision(quantization=StaticInt8(keep_float=kept)))
    generation = compiler.generation(candidate)
    expected = expected_outputs(model, feeds)
    ranges = observed_ranges(ready, tensors_to_calibrate(ready), feeds)
    twin = rounded_to_8_bits(ready, annotate_ranges(read_source(ready), ranges).quantizations)
    rounded = expected_outputs(twin, feeds)
    if not is_mixed and (beyond := subject.feeds_beyond()):
        feeds = [*feeds, *beyond]
        answers = expected_outputs(model, beyond)
        in_integers = Case(subject.name, generation, [], []).is_exact  # floats saturate nowhere
        expected += _saturated(answers, expected) if in_integers else answers
        rounded += expected_outputs(twin, beyond)
    return Case(subject.name, generation, feeds, expected, rounded)


def _saturated(outputs: Outputs, seen: Outputs) -> list[list[Array]]:
    """Outputs within the range that a calibration has seen."""
    ranges = [
        (min(0, np.min(column)), max(0, np.max(column))) for column in zip(*seen, strict=True)
    ]
    return [
        [np.clip(array, *limits) for array, limits in zip(each, ranges, strict=True)]
        for each in outputs
    ]


def _came_quantized(
    subject: Subject, model: onnx.ModelProto, feeds: Sequence[Feeds], random: np.random.Generator
) -> Case:
    given = [*feeds, *subject.feeds_beyond()]
    moved = [{name: _moved(array, random) for name, array in feed.items()} for feed in given]
    expected, rounded = expected_outputs(model, given), expected_outputs(model, moved)
    if random.random() < 0.5:
        generation = Compiler(model, feeds).generation(_PLAIN)
    else:
        generation = generate(model, subject.name)
    return Case(subject.name, generation, given, expected, rounded, came_quantized=True)


def _moved(array: Array, random: np.random.Generator) -> Array:
    factors = 1 + _MOVED * random.standard_normal(array.shape)
    return np.asarray(array * factors).astype(array.dtype)


_PLAIN = Candidate(CPackage())
