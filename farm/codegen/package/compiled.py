"""A package as the farm keeps it: sources, programs that run them, and a record of their needs.

The folder of a compiled package has the generated sources with their kernels, ``libmodel.a``, the
library that will be shipped, ``runner``, which executes the package on this machine,
``package.json``, the record, and for a part of a pipeline ``model.so``, the library as a process
loads it; for a Hexagon ``model.elf``, which the emulator executes; its
``runner`` is the same code compiled for the host, which gives the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx
from pydantic import ConfigDict, TypeAdapter

import farm
from farm.codegen.build.compilers import Compiler, Target, default_compiler
from farm.codegen.build.toolchain import build_both, build_runner
from farm.codegen.front.annotate import has_qdq
from farm.codegen.generate import Generation
from farm.codegen.package.manifest import Manifest, PackageAccuracy, Port
from farm.codegen.package.packets import Packets, modelled_packets
from farm.codegen.package.write import LIBRARY_FILE, write_sources
from farm.codegen.program import Array, Tensor
from farm.devices.profile import PackageFigures
from farm.errors import CompileError
from farm.plan.memory.problem import merge
from farm.units import Bytes, format_bytes

PACKAGE_FILE = "package.json"
RUNNER_FILE = "runner"
EMULATED_FILE = "model.elf"
SHARED_FILE = "model.so"
PROGRAMS = frozenset({RUNNER_FILE, EMULATED_FILE})

# Of all constants: C compilers need minutes and gigabytes for more.
MOST_WEIGHTS = Bytes(32 << 20)


_ROUNDED = (
    "Test vectors are what the compiled code answers; the reference agrees within rounding, "
    "because not all is computed in integers."
)


@dataclass(frozen=True, slots=True)
class CompiledPackage:
    """What is known of a package before it runs.

    name: what all its names in C begin with.
    compiler: kind and version. flags: that the code was compiled with.
    macs: multiply-accumulates of one run. operators: kernel calls.
    arena_bytes: of tensors, planned. arena_lower_bound: no placement is lower. scratch_bytes: of
    kernels. memory_bytes: what the caller provides, both and guards. weight_bytes: constants.
    code_bytes: instructions and tables of the model's own code.
    binding_operator: where most memory is in use at once. heaviest_operator: with most weights.
    modelled: packets of one run on a Hexagon, for machines without the emulator; 0 on the host.
    sha256: of the generated sources.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    name: str
    target: Target
    compiler: str
    flags: tuple[str, ...]
    macs: int
    operators: int
    arena_bytes: Bytes
    arena_lower_bound: Bytes
    scratch_bytes: Bytes
    memory_bytes: Bytes
    weight_bytes: Bytes
    code_bytes: Bytes
    binding_operator: str
    heaviest_operator: str
    modelled: Packets
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    notes: tuple[str, ...]
    sha256: str

    @property
    def working_bytes(self) -> Bytes:
        """Memory for tensors and the scratch of kernels."""
        return Bytes(self.arena_bytes + self.scratch_bytes)

    @property
    def flash_bytes(self) -> Bytes:
        """What does not change: weights and code."""
        return Bytes(self.weight_bytes + self.code_bytes)


_ADAPTER: TypeAdapter[CompiledPackage] = TypeAdapter(CompiledPackage)


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


def write_compiled(compiled: CompiledPackage, folder: Path) -> None:
    """Write the record of a compiled package."""
    text = json.dumps(asdict(compiled), indent=2, sort_keys=True) + "\n"
    (folder / PACKAGE_FILE).write_text(text, encoding="utf-8")


def read_compiled(folder: Path) -> CompiledPackage:
    """Read the record of a compiled package. Raises OSError, pydantic.ValidationError."""
    return parse_compiled((folder / PACKAGE_FILE).read_bytes())


def parse_compiled(text: bytes) -> CompiledPackage:
    """The record of a compiled package from its text. Raises pydantic.ValidationError."""
    return _ADAPTER.validate_json(text)


def sources_sha256(folder: Path) -> str:
    """A digest of all C in a folder and the folders in it, names included."""
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.c"), *folder.rglob("*.h")]):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def manifest_of(
    compiled: CompiledPackage,
    *,
    model_sha256: str,
    profile: str,
    precision: str,
    packets: int | None,
    accuracy: PackageAccuracy | None,
    vectors: int,
) -> Manifest:
    """What a package says about itself when it leaves the farm.

    packets: counted by the emulator. vectors: number of test vectors.
    """
    return Manifest(
        name=compiled.name,
        model_sha256=model_sha256,
        profile=profile,
        target=compiled.target,
        precision=precision,
        packets=packets,
        macs=compiled.macs,
        operators=compiled.operators,
        arena_bytes=compiled.arena_bytes,
        arena_lower_bound=compiled.arena_lower_bound,
        scratch_bytes=compiled.scratch_bytes,
        memory_bytes=compiled.memory_bytes,
        weight_bytes=compiled.weight_bytes,
        code_bytes=compiled.code_bytes,
        accuracy=accuracy,
        compiler=compiled.compiler,
        flags=compiled.flags,
        inputs=compiled.inputs,
        outputs=compiled.outputs,
        vectors=vectors,
        notes=compiled.notes,
        farm=farm.__version__,
    )


def precision_of(model: onnx.ModelProto, label: str) -> str:
    """A package's precision in words. model: as the user gave it. label: the candidate's."""
    return "the quantisation that the model came with" if has_qdq(model) else label


def excess(figures: PackageFigures, compiled: CompiledPackage) -> str:
    """Which limit of a device a package breaks, by how many bytes, and where; "" if none."""
    needed = compiled.working_bytes
    if figures.arena_bytes and needed > figures.arena_bytes:
        return (
            f"Its arena and scratch memory need {format_bytes(needed)}, "
            f"{needed - figures.arena_bytes} bytes more than the device's "
            f"{format_bytes(figures.arena_bytes)}; most is needed at operator "
            f"{compiled.binding_operator!r}."
        )
    weights = compiled.weight_bytes
    if figures.weight_bytes and weights > figures.weight_bytes:
        return (
            f"Its weights need {format_bytes(weights)}, {weights - figures.weight_bytes} bytes "
            f"more than the device's {format_bytes(figures.weight_bytes)}; most belong to "
            f"operator {compiled.heaviest_operator!r}."
        )
    code = compiled.code_bytes
    if figures.code_bytes and code > figures.code_bytes:
        return (
            f"Its code needs {format_bytes(code)}, {code - figures.code_bytes} bytes more than "
            f"the device's {format_bytes(figures.code_bytes)}."
        )
    return ""


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
