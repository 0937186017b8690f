"""ONNX's own backend tests of single operators, as programs of the code generator.

Operators take parameters such as axes, pads or scales as inputs; generated code wants them
constant, so they become constants with the values of the test's own data.

ONNX Runtime passes all but two of them: it divides by a whole number of outputs where ONNX's
reference divides by a fraction. Generated code does as the engine it is compared with, so that
these two expect ONNX Runtime's answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from farm.codegen.build.compilers import Target
from farm.codegen.build.toolchain import build_runner
from farm.codegen.emit import emit
from farm.codegen.front.annotate import Annotated
from farm.codegen.front.source import INPUT_TYPES, read_source
from farm.codegen.generate import Generation
from farm.codegen.lower.floats.operators import FLOAT_OPERATORS
from farm.codegen.lower.graph import lower
from farm.codegen.lower.movement import MOVEMENT_OPERATORS
from farm.codegen.lower.typed import TYPED_OPERATORS
from farm.codegen.package.write import write_sources
from farm.codegen.program import Program, Step, Tensor
from farm.codegen.storage import store
from farm.compile.passes import cpu_session
from farm.errors import CompileError
from workers.engines.runner import RunnerProcess

Array = NDArray[Any]

SUPPORTED = FLOAT_OPERATORS | MOVEMENT_OPERATORS | TYPED_OPERATORS

NODE = "node"
STORED = ("pytorch-converted", "pytorch-operator", "simple")
"""Kinds of tests beside the node tests; their models and data are files of the package onnx."""

# First input that is a parameter rather than data.
_PARAMETERS: Mapping[str, int] = {
    "BatchNormalization": 1,
    "Clip": 1,
    "Conv": 1,
    "ConvTranspose": 1,
    "Dropout": 1,
    "Expand": 1,
    "GRU": 1,
    "LSTM": 1,
    "LayerNormalization": 1,
    "Pad": 1,
    "ReduceMean": 1,
    "ReduceSum": 1,
    "Reshape": 1,
    "Resize": 1,
    "Slice": 1,
    "Split": 1,
    "Squeeze": 1,
    "Tile": 1,
    "Unsqueeze": 1,
    "Upsample": 1,
}


BY_RUNTIME = frozenset(
    {
        "test_resize_downsample_scales_cubic_align_corners",
        "test_resize_downsample_scales_linear_align_corners",
    }
)
"""Names of tests whose expected outputs are ONNX Runtime's, which are not ONNX's own."""


@dataclass(frozen=True, slots=True)
class Case:
    """A node test whose graph was lowered. operators: of its nodes.

    inputs, expected: in the program's order. rtol, atol: ONNX's own tolerances.
    """

    name: str
    operators: tuple[str, ...]
    program: Program
    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]
    rtol: float
    atol: float

    def failure(self, outputs: Sequence[Array]) -> str:
        """How the outputs differ from those expected; "" where they do not."""
        for want, got in zip(self.expected, outputs, strict=True):
            try:
                np.testing.assert_allclose(got, want, rtol=self.rtol, atol=self.atol)
            except AssertionError as error:
                return " ".join(str(error).split())[:200]
        return ""


@dataclass(frozen=True, slots=True)
class Excluded:
    """A node test of supported operators that generated code cannot run, and why."""

    name: str
    operators: tuple[str, ...]
    reason: str


def load_cases(kind: str = NODE) -> Iterator[Case | Excluded]:
    """Every test of a kind that consists of supported operators alone."""
    for test in _tests(kind):
        nodes = test.model.graph.node
        operators = tuple(node.op_type for node in nodes if node.op_type != "Constant")
        if operators and SUPPORTED.issuperset(operators):
            yield _case(test, operators)


def join(cases: Sequence[Case]) -> Program:
    """One program that runs the programs of all cases one after the other."""
    programs = [_renamed(case.program, f"{case.name}/") for case in cases]
    return Program(
        tuple(tensor for program in programs for tensor in program.inputs),
        tuple(tensor for program in programs for tensor in program.outputs),
        tuple(step for program in programs for step in program.steps),
        tuple(name for program in programs for name in program.operators),
        macs=sum(program.macs for program in programs),
    )


def run_cases(cases: Sequence[Case], target: Target, folder: Path) -> list[tuple[Array, ...]]:
    """Generate one package for all cases, build it in a folder, run it: outputs by case."""
    program = join(cases)
    storage = store(program)
    generated = emit(program, storage, "Node tests")
    folder.mkdir(parents=True)
    write_sources(folder, Generation(program, storage, generated))
    built = build_runner(folder, target, folder / "runner")
    process = RunnerProcess(built.path, target)
    try:
        raw = process.run([array for case in cases for array in case.inputs])
    finally:
        process.close()
    shaped = [
        np.frombuffer(bytes(each), np.float32).reshape(tensor.shape)
        for each, tensor in zip(raw, program.outputs, strict=True)
    ]
    following = iter(shaped)
    return [tuple(next(following) for _ in case.expected) for case in cases]


@dataclass(frozen=True, slots=True)
class _Test:
    name: str
    model: onnx.ModelProto
    inputs: Sequence[Array]
    expected: Sequence[Array]
    rtol: float
    atol: float


def _tests(kind: str) -> Iterator[_Test]:
    with warnings.catch_warnings():  # ONNX computes some of its tests with a division by 0
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests  # noqa: PLC0415 (seconds)

        tests: list[Any] = load_model_tests(kind=kind)
    for test in tests:
        if kind == NODE:
            model, (inputs, expected) = test.model, test.data_sets[0]
            if test.name in BY_RUNTIME:
                expected = _by_runtime(model, inputs)
        else:
            folder = Path(test.model_dir)
            model = onnx.load(folder / "model.onnx")
            inputs, expected = _stored(folder, "input"), _stored(folder, "output")
        yield _Test(test.name, model, inputs, expected, test.rtol, test.atol)


def _by_runtime(model: onnx.ModelProto, inputs: Sequence[Array]) -> list[Array]:
    names = [value.name for value in _inputs(model)]
    found: list[Array] = cpu_session(model).run(None, dict(zip(names, inputs, strict=True)))
    return found


def _stored(folder: Path, what: str) -> list[Array]:
    """Arrays of a test that ONNX keeps in files."""
    paths = list((folder / "test_data_set_0").glob(f"{what}_*.pb"))
    paths.sort(key=lambda path: int(path.stem.split("_")[-1]))
    return [numpy_helper.to_array(onnx.load_tensor(path)) for path in paths]


def _case(test: _Test, operators: tuple[str, ...]) -> Case | Excluded:
    reason = _unsuitable(test.model)
    if not reason:
        fixed, data = _with_constants(test.model, test.inputs)
        try:
            program = lower(Annotated(read_source(fixed)))
            return Case(
                test.name,
                operators,
                program,
                tuple(data),
                tuple(test.expected),
                test.rtol,
                test.atol,
            )
        except CompileError as error:
            reason = str(error)
    return Excluded(test.name, operators, reason)


def _unsuitable(model: onnx.ModelProto) -> str:
    """Why generated code, which gives float32 tensors, cannot run a graph."""
    inputs = _data_inputs(model)
    for value in (*model.graph.output, *inputs):
        if not value.type.HasField("tensor_type"):
            return f"{value.name} is no tensor"
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
        if dtype not in (INPUT_TYPES if value in inputs else ("float32",)):
            return f"{value.name} is {dtype}"
        if any(size.dim_value == 0 for size in value.type.tensor_type.shape.dim):
            return f"{value.name} has no elements"
    return "" if _data_inputs(model) else "it has no inputs"


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs that have no value yet: old models name their weights among the inputs, too."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in stored]


def _data_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs that are no parameters."""
    parameters = {
        name
        for node in model.graph.node
        for name in node.input[_PARAMETERS.get(node.op_type, len(node.input)) :]
    }
    return [value for value in _inputs(model) if value.name not in parameters]


def _with_constants(
    model: onnx.ModelProto, inputs: Sequence[Array]
) -> tuple[onnx.ModelProto, list[Array]]:
    """The model with its parameters as initialisers, and the inputs that are left."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    data = _data_inputs(model)
    kept = {value.name for value in data}
    named = dict(zip((value.name for value in _inputs(model)), inputs, strict=True))
    del fixed.graph.input[:]
    fixed.graph.input.extend(data)
    for name, array in named.items():
        if name not in kept:
            fixed.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return fixed, [np.asarray(named[value.name]) for value in data]


def _renamed(program: Program, prefix: str) -> Program:
    def tensors(given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(replace(tensor, name=prefix + tensor.name) for tensor in given)

    def step(given: Step) -> Step:
        changed: Any = given  # every step is a dataclass, which its protocol cannot say
        renamed: Step = replace(
            changed, inputs=tensors(given.inputs), outputs=tensors(given.outputs)
        )
        return renamed

    return replace(
        program,
        inputs=tensors(program.inputs),
        outputs=tensors(program.outputs),
        steps=tuple(step(each) for each in program.steps),
        operators=tuple(prefix + name for name in program.operators),
    )
