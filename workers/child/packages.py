"""Completes a compiled package to the folder that leaves the farm.

Its test vectors are what the compiled code answers. The program's numpy reference must agree: bit
for bit where all is computed in integers, otherwise within what rounding explains. On the host
and under the emulator, where it is installed, the bits must be the same in any case. Code in
float32 alone must also compute what the model itself does, as ONNX Runtime runs it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import onnx

from farm.artifact.folder import HASHES_FILE, RECORD_FILE
from farm.codegen.arithmetic import dequantize
from farm.codegen.build.compilers import Target, find_emulator
from farm.codegen.generate import Generation
from farm.codegen.package.compiled import port_of
from farm.codegen.package.manifest import Manifest
from farm.codegen.package.record import EMULATED_FILE, RUNNER_FILE
from farm.codegen.package.record import PACKAGE_FILE as COMPILED_FILE
from farm.codegen.package.write import Vector, finish_package
from farm.codegen.program import Array, Program
from farm.errors import CompileError
from workers.child.agreement import (
    MOST_COMPARED,
    Arrays,
    require_equal,
    require_faithful,
    require_near,
)
from workers.engines.runner import RunnerProcess
from workers.engines.session import EngineError, Feeds

_NOT_SHIPPED = (RECORD_FILE, COMPILED_FILE, RUNNER_FILE, HASHES_FILE)


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

    Raises CompileError: the sources are of another generation. Raises GeneratorFault: what was
    compiled does not agree with the reference.
    """
    _require_same_sources(compiled, generation)
    shutil.copytree(
        compiled, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_NOT_SHIPPED)
    )
    vectors = make_vectors(generation.program, compiled, manifest.target, samples)
    finish_package(folder, manifest, vectors)


def make_vectors(
    program: Program, compiled: Path, target: Target, samples: Sequence[Feeds]
) -> list[Vector]:
    """One test vector per sample, on which reference and programs agree.

    compiled: folder with the programs.

    Raises GeneratorFault where they do not agree.
    """
    inputs = _inputs(program, samples)
    answers = _answers(compiled / RUNNER_FILE, Target.PORTABLE, program, inputs)
    references = [_reference(program, arrays) for arrays in inputs]
    between = "The compiled code and the numpy reference"
    if program.is_integer:
        require_equal(answers, references, between)
    else:
        require_near(_real(program, answers), _real(program, references), between)
    if target.is_hexagon and find_emulator():
        emulated = _answers(compiled / EMULATED_FILE, target, program, inputs)
        require_equal(answers, emulated, f"The code compiled for the host and for {target}")
    return [Vector(given, told) for given, told in zip(inputs, answers, strict=True)]


def check_float(
    model: onnx.ModelProto, program: Program, compiled: Path, samples: Iterable[Feeds]
) -> None:
    """Compare a package that computes in float32 alone with its model; other ones are not.

    model: as the user gave it. compiled: folder with the programs. samples: the first ones are
    compared. Raises GeneratorFault: see ``require_faithful``. Raises CompileError.
    """
    if not program.is_float:
        return
    compared = list(islice(samples, MOST_COMPARED))
    inputs = _inputs(program, compared)
    answers = _answers(compiled / RUNNER_FILE, Target.PORTABLE, program, inputs)
    require_faithful(model, program.outputs, compared, answers)


def vector_samples(samples: Iterable[Feeds], count: int) -> list[Feeds]:
    """Inputs for so many test vectors: of the samples, then made up where those do not suffice."""
    found = list(islice(samples, count))
    random = np.random.default_rng(0)
    given = len(found)
    while len(found) < count:
        found.append({name: _made_up(name, found[:given], random) for name in found[0]})
    return found


def _made_up(name: str, samples: Sequence[Feeds], random: np.random.Generator) -> Array:
    """An input that is made up: normal numbers, or integers and truth values of the samples."""
    array = np.asarray(samples[0][name])
    if array.dtype == np.float32:
        return random.standard_normal(array.shape, dtype=np.float32)
    known = np.concatenate([np.asarray(sample[name]).ravel() for sample in samples])
    return random.choice(known, array.shape) if known.size else array


@contextmanager
def running(path: Path, target: Target) -> Iterator[RunnerProcess]:
    """A package's program, running. Raises CompileError when it does not start, or fails."""
    try:
        with RunnerProcess(path, target) as runner:
            yield runner
    except EngineError as error:
        raise CompileError(f"The compiled package cannot be run: {error}") from None


def _answers(
    path: Path, target: Target, program: Program, inputs: Sequence[Arrays]
) -> list[Arrays]:
    """What a program answers to each input. Raises CompileError when it fails."""
    with running(path, target) as runner:
        found = [runner.run(arrays) for arrays in inputs]
    return [
        tuple(
            content.view(np.dtype(str(tensor.element))).reshape(tensor.shape)
            for content, tensor in zip(contents, program.outputs, strict=True)
        )
        for contents in found
    ]


def _inputs(program: Program, samples: Sequence[Feeds]) -> list[Arrays]:
    """Samples of the model in the program's order and types."""
    ports = [port_of(tensor) for tensor in program.inputs]
    return [
        tuple(np.ascontiguousarray(port.elements(sample[port.name])) for port in ports)
        for sample in samples
    ]


def _reference(program: Program, inputs: Arrays) -> Arrays:
    names = [tensor.label for tensor in program.inputs]
    found = program.run(dict(zip(names, inputs, strict=True)))
    return tuple(np.ascontiguousarray(found[tensor.name]) for tensor in program.outputs)


def _real(program: Program, rows: Sequence[Arrays]) -> list[Arrays]:
    """Outputs as the real numbers that they stand for."""
    found = [tensor.quantization for tensor in program.outputs]
    return [
        tuple(a if q is None else dequantize(a, q) for a, q in zip(row, found, strict=True))
        for row in rows
    ]


def _require_same_sources(compiled: Path, generation: Generation) -> None:
    """Raise CompileError when other sources were compiled than are generated now."""
    for name, text in generation.generated.files.items():
        if (compiled / name).read_text(encoding="utf-8") != text:
            raise CompileError(
                f"{name} was generated otherwise than the compiled package's; this is a fault of "
                "the code generator, which must always give the same code."
            )
