"""Runs the kernels of single steps on any target, and compares them with their references.

Many cases go into one program, because compilers take longer than kernels, and the programs for
several targets are compiled at the same time. All tensors of all
cases lie in one image of memory with fences between them, so that a kernel that writes a byte
outside its outputs and its scratch memory is found out.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np

from farm.codegen.build.compilers import Compiler, Target, find_emulator, host_targets
from farm.codegen.emit import GUARD_BYTES, runner_header
from farm.codegen.ops.literal import initializer_lines
from farm.codegen.program import Array, Element, Layout, Quantization, Step, Tensor
from tests.farm.codegen.kept_programs import runner_of
from workers.engines.runner import Counters, RunnerProcess

FENCE = GUARD_BYTES  # before and behind every tensor; kernels may read there
POISON = 0xA5
ALL = -1

HOST_TARGETS = host_targets()

_CTYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t"}
_CTYPES |= {"uint32": "uint32_t", "float32": "float", "int64": "int64_t", "bool": "uint8_t"}
_HEADER = """\
#ifndef MODEL_H
#define MODEL_H
#define MODEL_MEMORY_BYTES {bytes}u
#define MODEL_INPUTS 2
#define MODEL_OUTPUTS 1
#define MODEL_INPUT_BYTES {{ 4u, {bytes}u }}
#define MODEL_OUTPUT_BYTES {{ {bytes}u }}
void model_call(void *memory, const void *const *inputs, void *const *outputs);
#endif
"""
_CALL = """
void model_call(void *memory, const void *const *inputs, void *const *outputs) {{
    int32_t selected = *(const int32_t *)inputs[0];
    if (selected < 0) {{
        memcpy(memory, inputs[1], {bytes});
    }}
    switch (selected) {{
    default:
{all}
        break;
{each}
    }}
    if (selected < 0) {{
        memcpy(outputs[0], memory, {bytes});
    }}
}}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A step with arrays for its inputs, as ``Program.run`` would give them to the reference.

    shared: whether outputs get the places of inputs as the step's ``in_place`` allows.
    """

    step: Step
    inputs: Sequence[Array]
    shared: bool = False


def tensor(
    name: str,
    shape: Sequence[int],
    layout: Layout = Layout.PLAIN,
    element: Element = Element.U8,
    zero_point: int = 0,
    scale: float = 1.0,
) -> Tensor:
    """A tensor, quantised if it is U8."""
    quantization = Quantization(scale, zero_point) if element is Element.U8 else None
    return Tensor(name, tuple(shape), element, layout, quantization)


class Programs:
    """Programs of the same cases, compiled side by side for all targets that run here.

    pool: what compiles them. cases: given a target, because not all need be on every target.
    compilers: others than the default one, for the host's best target.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        cases: Callable[[Target], Sequence[Case]],
        targets: Sequence[Target],
        folder: Path,
        compilers: Sequence[Compiler] = (),
    ) -> None:
        can_emulate = find_emulator() is not None
        wanted: list[tuple[Target, Compiler | None]] = [
            (target, None) for target in targets if can_emulate or not target.is_hexagon
        ]
        wanted += [(HOST_TARGETS[0], compiler) for compiler in compilers]
        self._programs: dict[tuple[Target, Compiler | None], Future[KernelProgram]] = {
            (target, compiler): pool.submit(
                KernelProgram, cases(target), target, folder / str(index), compiler
            )
            for index, (target, compiler) in enumerate(wanted)
        }

    def on(self, target: Target, compiler: Compiler | None = None) -> KernelProgram:
        """The program for a target, as soon as it is built. Raises CompileError if it was not."""
        return self._programs[target, compiler].result()

    def close(self) -> None:
        """End the processes; what is not yet built never is."""
        for each in self._programs.values():
            if not each.cancel() and each.exception() is None:
                each.result().close()


def divided(cases: Sequence[Case], target: Target) -> Sequence[Case]:
    """All cases for the host's best target and the vector extension, half of them for others.

    Together the others have all: the Hexagon's half is not the host's.
    """
    if target in {HOST_TARGETS[0], Target.HEXAGON_HVX}:
        return cases
    return cases[target.is_hexagon :: 2]


class KernelProgram:
    """A built and started program of cases."""

    def __init__(
        self,
        cases: Sequence[Case],
        target: Target,
        folder: Path,
        compiler: Compiler | None = None,
    ) -> None:
        self._cases = cases
        self._places = _Places(cases)
        program = _build(cases, self._places, target, folder, compiler)
        self._process = RunnerProcess(program, target, deadline=300.0)
        self._image = self._places.image()

    def check(self) -> None:
        """Every output of every case must be its reference's."""
        for index, (case, results) in enumerate(zip(self._cases, self.outputs(), strict=True)):
            expected = case.step.reference(case.inputs)
            for got, want in zip(results, expected, strict=True):
                np.testing.assert_array_equal(got, want, f"case {index}: {case.step}", strict=True)

    def outputs(self) -> list[list[Array]]:
        """Run all cases: outputs by case; every other byte must be unharmed."""
        (image,) = self._process.run([np.int32([ALL]), self._image])
        self._check_fences(image)
        return [
            [self._read(image, index, each) for each in case.step.outputs]
            for index, case in enumerate(self._cases)
        ]

    def count(self, case: int, loops: int = 1) -> Counters:
        """What calls of one case's kernel take, with the inputs that are in memory."""
        self._process.run([np.int32([case]), self._image])
        return self._process.count(loops)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _read(self, image: Array, case: int, each: Tensor) -> Array:
        """A tensor of a case, as it is in memory."""
        place = self._places.places[case][each.name]
        return _from_memory(each, image[place : place + each.bytes])

    def _check_fences(self, image: Array) -> None:
        """Every byte that no case may write is what it was."""
        same = image == self._image
        for start, size in self._places.written:
            same[start : start + size] = True
        assert same.all(), f"written outside of the outputs: bytes {np.flatnonzero(~same)[:8]}"


@dataclass(slots=True)
class _Places:
    """Where all tensors of all cases are in memory."""

    cases: Sequence[Case]
    places: list[dict[str, int]] = field(default_factory=list)
    scratch: list[int] = field(default_factory=list)
    written: list[tuple[int, int]] = field(default_factory=list)
    size: int = FENCE

    def __post_init__(self) -> None:
        for case in self.cases:
            step = case.step
            named = {each.name: self._take(each.bytes) for each in step.inputs}
            together = dict(step.in_place) if case.shared else {}
            for index, each in enumerate(step.outputs):
                shares = together.get(index)
                place = self._take(each.bytes) if shares is None else None
                named[each.name] = named[step.inputs[shares].name] if place is None else place
                self.written.append((named[each.name], each.bytes))
            self.size = -(-self.size // 128) * 128
            self.scratch.append(self._take(step.scratch_bytes))
            self.written.append((self.scratch[-1], step.scratch_bytes))
            self.places.append(named)

    def image(self) -> Array:
        """Memory before all cases."""
        image = np.full(self.size, POISON, np.uint8)
        for case, places in zip(self.cases, self.places, strict=True):
            for each, array in zip(case.step.inputs, case.inputs, strict=True):
                content = _to_memory(each, array)
                image[places[each.name] : places[each.name] + len(content)] = content
        return image

    def _take(self, size: int) -> int:
        place = self.size
        self.size += -(-size // 4) * 4 + FENCE + 4  # not always the same place in a vector
        return place


class _Bind:
    """Expressions for one case; constants are shared by all cases."""

    def __init__(self, places: dict[str, int], scratch: int, constants: dict[str, str]) -> None:
        self._places, self._scratch, self._constants = places, scratch, constants

    def tensor(self, each: Tensor) -> str:
        return f"(void *)(memory + {self._places[each.name]})"

    def constant(self, array: Array, hint: str) -> str:
        head = f"const {_CTYPES[array.dtype.name]} %s[] __attribute__((aligned(128)))"
        text = f"static {head} = {{{' '.join(initializer_lines(array))}}};\n"
        return self._constants.setdefault(text, f"{hint}_{len(self._constants)}")

    def scratch(self) -> str:
        return f"(memory + {self._scratch})"


def _build(
    cases: Sequence[Case],
    places: _Places,
    target: Target,
    folder: Path,
    compiler: Compiler | None,
) -> Path:
    constants: dict[str, str] = {}
    functions, headers = [], set()
    for index, case in enumerate(cases):
        bind = _Bind(places.places[index], places.scratch[index], constants)
        call = case.step.call(bind)
        headers.add(f'#include "kernels/{call.header}"\n')
        arguments = [f"({pointer.ctype}){pointer.value}" for pointer in call.pointers]
        arguments += [call.shape] if call.shape else []
        functions.append(
            f"static __attribute__((noinline)) void case_{index}(uint8_t *memory) {{\n"
            f"    {call.function}({', '.join(arguments)});\n}}\n"
        )
    calls = [f"        case_{index}(memory);" for index in range(len(cases))]
    single = [f"    case {index}:\n{call}\n        break;" for index, call in enumerate(calls)]
    source = ["#include <string.h>\n", *sorted(headers), '#include "model.h"\n']
    source += [text % name for text, name in constants.items()]
    every, each = "\n".join(calls), "\n".join(single)
    source += [*functions, _CALL.format(bytes=places.size, all=every, each=each)]
    with resources.as_file(resources.files("farm.codegen") / "kernels") as kernels:
        shutil.copytree(kernels, folder / "kernels", dirs_exist_ok=True)
    (folder / "model.c").write_text("".join(source))
    (folder / "model.h").write_text(_HEADER.format(bytes=places.size))
    (folder / "runtime").mkdir(exist_ok=True)
    (folder / "runtime" / "package.h").write_text(runner_header("model"))
    return runner_of(folder, target, folder.parent / f"{folder.name}-runner", compiler)


def _to_memory(each: Tensor, array: Array) -> Array:
    """An array's bytes in its tensor's layout; channels beyond the last one are poison."""
    array = np.ascontiguousarray(array.reshape(each.shape))
    if each.layout is Layout.BLOCKED:
        batch, channels, *positions = each.shape
        missing = -channels % 4
        filler = np.full((batch, missing, *positions), POISON, array.dtype)
        padded = np.concatenate([array, filler], 1)
        blocks = padded.reshape(batch, (channels + missing) // 4, 4, -1)
        array = np.ascontiguousarray(blocks.swapaxes(2, 3))
    return array.view(np.uint8).ravel()


def _from_memory(each: Tensor, content: Array) -> Array:
    array = content.view(each.element.value)
    if each.layout is Layout.PLAIN:
        return array.reshape(each.shape)
    batch, channels, *positions = each.shape
    blocks = array.reshape(batch, -(-channels // 4), -1, 4).swapaxes(2, 3)
    return blocks.reshape(batch, -1, *positions)[:, :channels]
