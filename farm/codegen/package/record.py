"""The record of a package as the farm keeps it: what is known of it before it runs.

It is read wherever packages are run, compared and delivered, none of which needs the generator.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from onnx import ModelProto
from pydantic import ConfigDict, TypeAdapter

import farm
from farm.codegen.build.compilers import Target
from farm.codegen.package.manifest import Manifest, PackageAccuracy, Port
from farm.devices.profile import PackageFigures
from farm.model.formats import has_qdq
from farm.units import Bytes, format_bytes

PACKAGE_FILE = "package.json"
RUNNER_FILE = "runner"
EMULATED_FILE = "model.elf"
SHARED_FILE = "model.so"
PROGRAMS = frozenset({RUNNER_FILE, EMULATED_FILE})


@dataclass(frozen=True, slots=True)
class Packets:
    """What one run executes. all: packets. vector: instructions on vectors."""

    all: int = 0
    vector: int = 0


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


def precision_of(model: ModelProto, label: str) -> str:
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
