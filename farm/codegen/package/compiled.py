"""A package as the farm keeps it: sources, programs that run them, and a record of their needs.

The folder of a compiled package has the generated sources with their kernels, ``libmodel.a``, the
library that will be shipped, ``runner``, which executes the package on this machine,
``package.json``, the record, and for a part of a pipeline ``model.so``, the library as a process
loads it; for a Hexagon ``model.elf``, which the emulator executes; its
``runner`` is the same code compiled for the host, which gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from farm.codegen.build.compilers import Compiler, Target, default_compiler
from farm.codegen.build.toolchain import build_both, build_runner
from farm.codegen.generate import Generation
from farm.codegen.package.manifest import Port
from farm.codegen.package.packets import modelled_packets
from farm.codegen.package.record import (
    EMULATED_FILE,
    RUNNER_FILE,
    CompiledPackage,
    sources_sha256,
    write_compiled,
)
from farm.codegen.package.write import LIBRARY_FILE, write_sources
from farm.codegen.program import Array, Tensor
from farm.errors import CompileError
from farm.plan.memory.problem import merge
from farm.units import Bytes, format_bytes

# Of all constants: C compilers need minutes and gigabytes for more.
MOST_WEIGHTS = Bytes(32 << 20)

_ROUNDED = (
    "Test vectors are what the compiled code answers; the reference agrees within rounding, "
    "because not all is computed in integers."
)


def compile_package(
    folder: Path, generation: Generation, target: Target, compiler: Compiler
) -> CompiledPackage:
    """Write a package's sources into an existing, empty folder, compile its library and programs.

    Raises CompileError: a compiler fails, or the weights are more than it can take.
    """
    weights = generation.generated.weight_bytes
    if weights > MOST_WEIGHTS:
        raise CompileError(
            f"Its weights need {format_bytes(weights)}; packages are made of models with at most "
            f"{format_bytes(MOST_WEIGHTS)}."
        )
    write_sources(folder, generation)
    digest = sources_sha256(folder)
    executable = folder / (EMULATED_FILE if target.is_hexagon else RUNNER_FILE)
    library = build_both(folder, target, folder / LIBRARY_FILE, executable, compiler)
    if target.is_hexagon:
        host = default_compiler(Target.PORTABLE)
        build_runner(folder, Target.PORTABLE, folder / RUNNER_FILE, host)
    program, storage = generation.program, generation.storage
    compiled = CompiledPackage(
        name=generation.generated.name,
        target=target,
        compiler=compiler.label,
        flags=compiler.flags(target),
        macs=program.macs,
        operators=len(storage.steps),
        arena_bytes=storage.arena_bytes,
        arena_lower_bound=storage.plan.lower_bound,
        scratch_bytes=storage.scratch_bytes,
        memory_bytes=generation.generated.memory_bytes,
        weight_bytes=weights,
        code_bytes=library.code_bytes,
        binding_operator=_binding_operator(generation),
        heaviest_operator=_heaviest_operator(generation),
        modelled=modelled_packets(generation, target),
        inputs=_ports(program.inputs),
        outputs=_ports(program.outputs),
        notes=program.notes if program.is_integer else (*program.notes, _ROUNDED),
        sha256=digest,
    )
    write_compiled(compiled, folder)
    return compiled


def port_of(tensor: Tensor) -> Port:
    """An input or output of a program as a manifest describes it."""
    found = tensor.quantization
    port = Port(tensor.label, str(tensor.element), tensor.shape)
    return replace(port, scale=found.scale, zero_point=found.zero_point) if found else port


def _ports(tensors: Sequence[Tensor]) -> tuple[Port, ...]:
    return tuple(map(port_of, tensors))


def _binding_operator(generation: Generation) -> str:
    """The operator in whose step most bytes are alive, its own scratch memory included."""
    storage = generation.storage
    live = [int(step.scratch_bytes) for step, _ in storage.steps]
    for block in merge(storage.problem):  # tensors that share their bytes count once
        for step in range(block.start, block.end):
            live[step] += block.size
    worst = max(range(len(live)), key=live.__getitem__, default=None)
    return "" if worst is None else storage.steps[worst][1]


def _heaviest_operator(generation: Generation) -> str:
    """The operator with most constants."""
    counter = _Constants()
    sizes = []
    for step, operator in generation.storage.steps:
        counter.bytes = 0
        step.call(counter)
        sizes.append((counter.bytes, operator))
    return max(sizes, default=(0, ""))[1]


class _Constants:
    """A binding that only counts constants."""

    bytes = 0

    def tensor(self, tensor: object) -> str:  # noqa: ARG002
        return "0"

    def constant(self, array: Array, hint: str) -> str:  # noqa: ARG002
        self.bytes += array.nbytes
        return "0"

    def scratch(self) -> str:
        return "0"
