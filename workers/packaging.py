"""Completes a compiled package to the folder that leaves the farm.

Its test vectors are computed by the program's numpy reference, and what was compiled must agree
bit for bit: on this machine's processor, and under the emulator where it is installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from farm.codegen.compiled import EMULATED_FILE, RUNNER_FILE
from farm.codegen.compiled import PACKAGE_FILE as COMPILED_FILE
from farm.codegen.compilers import Compiler, Target, find_compilers, find_emulator
from farm.codegen.generate import Generation
from farm.codegen.manifest import Manifest
from farm.codegen.package import Vector, finish_package
from farm.codegen.program import Array, Element, Program
from farm.codegen.toolchain import build_library
from farm.compile.artifact import RECORD_FILE
from farm.errors import CompileError
from workers.engines.runner import RunnerProcess
from workers.engines.session import EngineError, Feeds

LIBRARY_FILE = "libmodel.a"
_NOT_SHIPPED = (RECORD_FILE, COMPILED_FILE, RUNNER_FILE)


def complete(
    folder: Path,
    compiled: Path,
    generation: Generation,
    manifest: Manifest,
    samples: Sequence[Feeds],
) -> None:
    """Write a package into an existing, empty folder.

    compiled: folder that ``compile_package`` wrote. generation: what it was compiled from.
    samples: inputs of the test vectors, as many as the manifest says.

    Raises CompileError: the sources are of another generation, the compiler is not there any
    more, or what was compiled gives other bits than the reference.
    """
    shutil.copytree(
        compiled, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_NOT_SHIPPED)
    )
    vectors = make_vectors(generation.program, compiled, manifest.target, samples)
    build_library(folder, manifest.target, folder / LIBRARY_FILE, _compiler_of(manifest))
    finish_package(folder, manifest, vectors)


def make_vectors(
    program: Program, compiled: Path, target: Target, samples: Sequence[Feeds]
) -> list[Vector]:
    """One test vector per sample, on which reference and programs agree.

    compiled: folder with the programs. Of a program with float steps the compiled code decides:
    only where it computes on integers does the reference promise its very bits.

    Raises CompileError where bits differ that must not.
    """
    names = [tensor.name for tensor in program.inputs]
    inputs = [tuple(np.ascontiguousarray(sample[name]) for name in names) for sample in samples]
    answers = _answers(compiled / RUNNER_FILE, Target.PORTABLE, program, inputs)
    if is_integer(program):
        references = [_reference(program, sample) for sample in samples]
        _require_equal(answers, references, "The compiled code and the numpy reference")
    if target.is_hexagon and find_emulator():
        emulated = _answers(compiled / EMULATED_FILE, target, program, inputs)
        _require_equal(answers, emulated, f"The code compiled for the host and for {target}")
    return [Vector(given, told) for given, told in zip(inputs, answers, strict=True)]


def vector_samples(samples: Iterable[Feeds], count: int) -> list[Feeds]:
    """Inputs for so many test vectors: of the samples, then made up where those do not suffice."""
    found = list(islice(samples, count))
    random = np.random.default_rng(0)
    shapes = {name: np.shape(array) for name, array in found[0].items()}
    while len(found) < count:
        found.append({n: random.standard_normal(s, dtype=np.float32) for n, s in shapes.items()})
    return found


def is_integer(program: Program) -> bool:
    """Whether every step reads or writes integers, so that the reference promises every bit."""
    return all(
        any(tensor.element is Element.U8 for tensor in (*step.inputs, *step.outputs))
        for step in program.steps
    )


_Arrays = tuple[Array, ...]


def _answers(
    path: Path, target: Target, program: Program, inputs: Sequence[_Arrays]
) -> list[_Arrays]:
    """What a program answers to each input. Raises CompileError when it fails."""
    try:
        runner = RunnerProcess(path, target)
        try:
            found = [runner.run(arrays) for arrays in inputs]
        finally:
            runner.close()
    except EngineError as error:
        raise CompileError(f"The compiled package cannot be run: {error}") from None
    return [
        tuple(
            content.view(np.dtype(str(tensor.element))).reshape(tensor.shape)
            for content, tensor in zip(contents, program.outputs, strict=True)
        )
        for contents in found
    ]


def _reference(program: Program, sample: Feeds) -> _Arrays:
    found = program.run(sample)
    return tuple(np.ascontiguousarray(found[tensor.name]) for tensor in program.outputs)


def _require_equal(ours: Sequence[_Arrays], theirs: Sequence[_Arrays], what: str) -> None:
    for number, (one, two) in enumerate(zip(ours, theirs, strict=True)):
        for output, (left, right) in enumerate(zip(one, two, strict=True)):
            if left.tobytes() != right.tobytes():
                raise CompileError(
                    f"{what} differ in output {output} of test vector {number}; this is a fault "
                    "of the code generator or of the compiler."
                )


def _compiler_of(manifest: Manifest) -> Compiler:
    for compiler in find_compilers(manifest.target):
        if compiler.label == manifest.compiler:
            return compiler
    raise CompileError(f"The compiler {manifest.compiler} is not there any more.")
