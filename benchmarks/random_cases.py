"""Models taken through the code generator in every way, and checks of what comes out.

Several packages are compiled into one program. Each has names of its own, and all run in the same
memory, one after the other; before each run that memory is full of rubbish.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
from onnxruntime.quantization.quantize import quantize_static

from farm.candidate import CalibrationMethod, StaticInt8
from farm.codegen.build.compilers import Target
from farm.codegen.build.toolchain import build_runner
from farm.codegen.emit import GUARD_BYTES, emit, runner_header
from farm.codegen.front.annotate import annotate_ranges
from farm.codegen.front.fuse import PRODUCTS
from farm.codegen.front.source import read_source
from farm.codegen.generate import Generation, generate, tensors_to_calibrate
from farm.codegen.package.write import write_sources
from farm.codegen.program import Quantization
from farm.compile.calibrate import calibrate
from farm.compile.passes import quiet, reported_as
from farm.compile.prepare import prepare
from farm.compile.quantize import QuantizeStatic
from farm.compile.quantize import tensors_to_calibrate as tensors_of_static_int8
from farm.plan.memory.arena import violations
from workers.engines.runner import RunnerProcess

Array = NDArray[Any]
Feeds = Mapping[str, Array]


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
    expected = [session(model).run(None, dict(feed)) for feed in feeds]
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
            twin = session(_rounded(ready, quantizations))
            rounded = [twin.run(None, dict(feed)) for feed in feeds]
            return Case(name, kind, generate(ready, name, ranges, kept), feeds, expected, rounded)
        case Kind.QDQ:
            ready = prepare(model).model
            names = tensors_of_static_int8(ready)
            ranges_found = calibrate(ready, names, feeds, CalibrationMethod.MIN_MAX)
            choice = StaticInt8(per_channel=bool(random.random() < 0.7))
            quantised = QuantizeStatic(choice, ranges_found)(ready).model
        case Kind.RUNTIME_QDQ:
            quantised = _by_runtime(prepare(model).model, feeds, random)
    twin = session(quantised)
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


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    """ONNX Runtime's session for a model as it is written, on one core."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    content = model.SerializeToString()
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


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


def _rounded(model: onnx.ModelProto, quantizations: Mapping[str, Quantization]) -> onnx.ModelProto:
    """The model with every tensor, and the weights of products, rounded to 8 bits."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    del graph.value_info[:]
    nodes = list(graph.node)
    weights = {node.input[1] for node in nodes if node.op_type in PRODUCTS}
    for tensor in graph.initializer:
        if tensor.name in weights:
            array = numpy_helper.to_array(tensor)
            step = np.float32(max(float(abs(array).max()), 1e-9) / 127)
            tensor.CopyFrom(numpy_helper.from_array(np.rint(array / step) * step, tensor.name))
    del graph.node[:]
    inputs = [value.name for value in graph.input]
    for name in inputs:
        if name in quantizations:
            graph.node.extend(_pair(graph, name, f"{name}/rounded", quantizations[name]))
    for node in nodes:
        for index, name in enumerate(node.input):
            if name in inputs and name in quantizations:
                node.input[index] = f"{name}/rounded"
        made = list(node.output)
        for index, name in enumerate(made):
            if name in quantizations:
                node.output[index] = f"{name}/exact"
        graph.node.append(node)
        for name in made:
            if name in quantizations:
                graph.node.extend(_pair(graph, f"{name}/exact", name, quantizations[name]))
    return changed


def _pair(
    graph: onnx.GraphProto, given: str, result: str, found: Quantization
) -> Sequence[onnx.NodeProto]:
    scale, zero = f"{result}/scale", f"{result}/zero"
    graph.initializer.append(numpy_helper.from_array(np.array(found.scale, np.float32), scale))
    graph.initializer.append(numpy_helper.from_array(np.array(found.zero_point, np.uint8), zero))
    return (
        helper.make_node("QuantizeLinear", [given, scale, zero], [f"{result}/integers"]),
        helper.make_node("DequantizeLinear", [f"{result}/integers", scale, zero], [result]),
    )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands the feeds to ONNX Runtime's quantiser."""

    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self._left = [dict(feed) for feed in feeds]

    def get_next(self) -> dict[str, Array] | None:
        return self._left.pop(0) if self._left else None


def _by_runtime(
    model: onnx.ModelProto, feeds: Sequence[Feeds], random: np.random.Generator
) -> onnx.ModelProto:
    """A model quantised by ONNX Runtime, with random options."""
    with (
        tempfile.TemporaryDirectory() as folder,
        quiet(),
        reported_as("ONNX Runtime's quantiser"),
    ):
        path = Path(folder) / "quantised.onnx"
        quantize_static(
            model,
            path,
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=bool(random.random() < 0.5),
            activation_type=QuantType.QUInt8 if random.random() < 0.6 else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": bool(random.random() < 0.2),
                "ForceQuantizeNoInputCheck": bool(random.random() < 0.5),
            },
        )
        return onnx.load(path)


# Many packages in one program

_DISPATCHER = """\
#include <stdint.h>
#include <string.h>

#include "model.h"

{includes}
/* Whether nothing but the rubbish is in bytes that no kernel may write. */
static int is_untouched(const uint8_t *bytes, uint8_t rubbish) {{
    for (int i = 0; i < {guard}; i++) {{
        if (bytes[i] != rubbish) {{
            return 0;
        }}
    }}
    return 1;
}}

/* Runs one model in memory full of rubbish, which ends with its block; whether its guards hold. */
static int run(void (*call)(void *, const void *const *, void *const *), void *memory,
               uint32_t bytes, float rubbish, const void *const *inputs, void *const *outputs) {{
    uint8_t *block = (uint8_t *)memory + (MODEL_MEMORY_BYTES - bytes);
    uint8_t byte = (uint8_t)rubbish;
    memset(memory, byte, MODEL_MEMORY_BYTES);
    call(block, inputs, outputs);
    return is_untouched(block, byte) && is_untouched(block + bytes - {guard}, byte);
}}

void model_call(void *memory, const void *const *inputs, void *const *outputs) {{
    float rubbish = *(const float *)inputs[0];
    float *whole = outputs[0];
{calls}}}
"""
_HEADER = """\
#ifndef MODEL_H
#define MODEL_H
#define MODEL_MEMORY_BYTES {memory}u
#define MODEL_INPUTS {inputs}
#define MODEL_OUTPUTS {outputs}
#define MODEL_INPUT_BYTES {{ {input_bytes} }}
#define MODEL_OUTPUT_BYTES {{ {output_bytes} }}
void model_call(void *memory, const void *const *inputs, void *const *outputs);
#endif
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one program gave: outputs by case and feed. faults: what was wrong, by case."""

    outputs: Sequence[Sequence[Sequence[Array]]]
    faults: Mapping[str, str]


def run_cases(cases: Sequence[Case], target: Target, folder: Path) -> Run:
    """Compile the packages of several cases as one program, in an empty folder, and run it.

    All cases have equally many feeds; the first one is repeated at the end, in other rubbish.

    Raises CompileError, EngineError.
    """
    _write(cases, folder)
    built = build_runner(folder, target, folder / "runner")
    process = RunnerProcess(built.path, target)
    faults: dict[str, str] = {}
    runs: list[list[list[Array]]] = []
    try:
        for number in (*range(len(cases[0].feeds)), 0):
            # Bytes of rubbish are no numbers as floats, in the repeated run large ones.
            rubbish = 0x5A if len(runs) == len(cases[0].feeds) else 0xFF
            outputs, whole = _run(cases, process, number, rubbish)
            runs.append(outputs)
            broken = (case.name for case, good in zip(cases, whole, strict=True) if not good)
            faults |= dict.fromkeys(broken, "it writes around its memory")
    finally:
        process.close()
    repeated = runs.pop()
    for case, first, again in zip(cases, runs[0], repeated, strict=True):
        if [array.tobytes() for array in first] != [array.tobytes() for array in again]:
            faults[case.name] = "the second run gives other outputs"
    return Run([[run[i] for run in runs] for i in range(len(cases))], faults)


def _run(
    cases: Sequence[Case], process: RunnerProcess, number: int, rubbish: int
) -> tuple[list[list[Array]], list[bool]]:
    """Outputs of every case for its feed of this number, and whether its guards hold."""
    inputs = [np.array([rubbish], np.float32)]
    for case in cases:
        inputs += [case.feeds[number][t.name] for t in case.generation.program.inputs]
    whole, *raw = (each.view(np.float32) for each in process.run(inputs))
    following = iter(raw)
    outputs = [
        [next(following).reshape(t.shape) for t in case.generation.program.outputs]
        for case in cases
    ]
    return outputs, [bool(each) for each in whole]


def _write(cases: Sequence[Case], folder: Path) -> None:
    """Sources of all cases, and a package that calls all of them."""
    programs = [case.generation.program for case in cases]
    memory = [case.generation.generated.memory_bytes for case in cases]
    includes, calls, inputs, outputs = "", "", 1, 1
    for number, (case, program) in enumerate(zip(cases, programs, strict=True)):
        name = f"part{number}"
        storage = case.generation.storage
        named = Generation(program, storage, emit(program, storage, case.name, name))
        place = folder / name
        place.mkdir(parents=True)
        write_sources(place, named)
        sources = f'#include "{name}/model.c"\n#include "{name}/weights.c"\n'
        (folder / f"{name}.c").write_text(sources)
        includes += f'#include "{name}/model.h"\n'
        calls += (
            f"    whole[{number}] = (float)run({name}_call, memory, {memory[number]}u, rubbish,\n"
        )
        calls += f"                          inputs + {inputs}, outputs + {outputs});\n"
        inputs += len(program.inputs)
        outputs += len(program.outputs)
    given = [4, *(tensor.bytes for program in programs for tensor in program.inputs)]
    made = [4 * len(cases), *(t.bytes for program in programs for t in program.outputs)]
    header = _HEADER.format(
        memory=max(memory),
        inputs=inputs,
        outputs=outputs,
        input_bytes=", ".join(f"{size}u" for size in given),
        output_bytes=", ".join(f"{size}u" for size in made),
    )
    (folder / "model.h").write_text(header)
    source = _DISPATCHER.format(includes=includes, calls=calls, guard=GUARD_BYTES)
    (folder / "model.c").write_text(source)
    (folder / "runtime").mkdir()
    (folder / "runtime" / "package.h").write_text(runner_header("model"))
