"""Models taken through the code generator in every way, and checks of what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import onnx

from farm.candidate import CalibrationMethod, StaticInt8
from farm.codegen.front.annotate import annotate_ranges
from farm.codegen.front.source import read_source
from farm.codegen.generate import Generation, generate, tensors_to_calibrate
from farm.compile.calibrate import calibrate
from farm.compile.prepare import prepare
from farm.compile.quantize import QuantizeStatic
from farm.compile.quantize import tensors_to_calibrate as tensors_of_static_int8
from farm.plan.memory.arena import violations

from .maker import Array, float_session
from .quantized import Feeds, quantized_by_runtime, rounded_to_8_bits


class Kind(StrEnum):
    """How a float model becomes a package.

    MIXED: static int8, with some operators kept in float. QDQ: quantised by the farm's own pass
    first, RUNTIME_QDQ: by ONNX Runtime's quantiser.
    """

    FLOAT = "float"
    INT8 = "int8"
    MIXED = "mixed"
    QDQ = "qdq"
    RUNTIME_QDQ = "runtime-qdq"


_KEPT = 0.3  # share of operators that MIXED keeps in float
_FLOAT_TOLERANCE = 1e-4  # of the largest output; sums in another order
_NOISE = 0.05  # beside the output's spread; of results that rounding has moved
_MOVED = 0.01  # of inputs, to see what rounding does
_MORE_NOISE = 2.5  # than that of the same model with every tensor rounded to 8 bits


@dataclass(frozen=True, slots=True)
class Case:
    """A package that was generated.

    feeds: inputs. expected: for each of them the outputs of the float model, or of the model with
    its pairs of QuantizeLinear and DequantizeLinear if it came with them. rounded: what says how
    much noise is to be expected: outputs of the float model with every tensor rounded to 8 bits,
    or of the one with pairs when its inputs change a little.
    """

    name: str
    kind: Kind
    generation: Generation
    feeds: Sequence[Feeds]
    expected: Sequence[Sequence[Array]]
    rounded: Sequence[Sequence[Array]] | None = None

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


def make_case(name: str, model: onnx.ModelProto, kind: Kind, feeds: Sequence[Feeds]) -> Case:
    """Generate a package of a float model. Raises FarmError: something is not supported."""
    random = np.random.default_rng(len(model.SerializeToString()))
    expected = [float_session(model).run(None, dict(feed)) for feed in feeds]
    # Operators of float models may be of any operator set; the farm's passes want to prepare.
    ready = model if random.random() < 0.3 else prepare(model).model
    match kind:
        case Kind.FLOAT:
            return Case(name, kind, generate(ready, name), feeds, expected)
        case Kind.INT8 | Kind.MIXED:
            names = tensors_to_calibrate(ready)
            ranges = calibrate(ready, names, feeds, CalibrationMethod.MIN_MAX).ranges
            operators = [node.name for node in ready.graph.node]
            kept = [each for each in operators if kind is Kind.MIXED and random.random() < _KEPT]
            quantizations = annotate_ranges(read_source(ready), ranges).quantizations
            twin = float_session(rounded_to_8_bits(ready, quantizations))
            rounded = [twin.run(None, dict(feed)) for feed in feeds]
            return Case(name, kind, generate(ready, name, ranges, kept), feeds, expected, rounded)
        case Kind.QDQ:
            ready = prepare(model).model
            names = tensors_of_static_int8(ready)
            ranges_found = calibrate(ready, names, feeds, CalibrationMethod.MIN_MAX)
            choice = StaticInt8(per_channel=bool(random.random() < 0.7))
            quantised = QuantizeStatic(choice, ranges_found)(ready).model
        case Kind.RUNTIME_QDQ:
            quantised = quantized_by_runtime(prepare(model).model, feeds, random)
    twin = float_session(quantised)
    expected = [twin.run(None, dict(feed)) for feed in feeds]
    moved = [
        {
            n: a * (1 + _MOVED * random.standard_normal(a.shape).astype(np.float32))
            for n, a in f.items()
        }
        for f in feeds
    ]
    rounded = [twin.run(None, feed) for feed in moved]
    if random.random() < 0.5:
        quantised = prepare(quantised).model
    return Case(name, kind, generate(quantised, name), feeds, expected, rounded)


def unlike_model(case: Case, references: Sequence[Sequence[Array]]) -> str:
    """How the reference differs from the model more than it may; "" where it does not."""
    for index, tensor in enumerate(case.generation.program.outputs):
        wanted = np.stack([outputs[index] for outputs in case.expected])
        found = np.stack([outputs[index] for outputs in references])
        if wanted.shape != found.shape:
            return f"output {tensor.name} has shape {found.shape[1:]}, not {wanted.shape[1:]}"
        if case.kind is Kind.FLOAT:
            error = float(abs(wanted - found).max() / max(1.0, float(abs(wanted).max())))
            if not error <= _FLOAT_TOLERANCE:
                return f"output {tensor.name} is off by {error:.2g}"
            continue
        allowed = _NOISE
        if case.rounded is not None:
            rounded = np.stack([outputs[index] for outputs in case.rounded])
            allowed += _MORE_NOISE * noise(wanted, rounded)
        error = noise(wanted, found)
        if not error <= allowed:
            return f"output {tensor.name} has noise {error:.3f}, above {allowed:.3f}"
    return ""


def unlike_reference(
    case: Case, references: Sequence[Sequence[Array]], outputs: Sequence[Sequence[Array]]
) -> str:
    """How the outputs of C differ from the reference; "" where they do not."""
    for index, tensor in enumerate(case.generation.program.outputs):
        wanted = np.stack([each[index] for each in references])
        found = np.stack([each[index] for each in outputs])
        if case.is_exact:
            count = int((wanted.view(np.uint32) != found.view(np.uint32)).sum())
            if count:
                return f"{count} of {found.size} elements of {tensor.name} are not the reference's"
        elif case.kind is Kind.FLOAT:
            error = float(abs(wanted - found).max() / max(1.0, float(abs(wanted).max())))
            if not error <= _FLOAT_TOLERANCE:
                return f"{tensor.name} is off the reference by {error:.2g}"
        elif not (error := noise(wanted, found)) <= _NOISE:
            return f"{tensor.name} has noise {error:.3f} against the reference"
    return ""


def noise(wanted: Array, found: Array) -> float:
    """Root mean square of the difference over that of the output, or over a tenth of its peak."""
    difference = float(np.sqrt(((wanted - found) ** 2).mean()))
    size = max(float(np.sqrt((wanted**2).mean())), float(abs(wanted).max()) / 10, 1e-6)
    return difference / size


def invalid_plan(case: Case) -> str:
    """What is wrong with the places of the tensors; "" where nothing is."""
    storage = case.generation.storage
    return "; ".join(violations(storage.problem, storage.plan))
