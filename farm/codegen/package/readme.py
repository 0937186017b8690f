"""The texts of a package that people and ``make`` read."""

from __future__ import annotations

from collections.abc import Sequence

from farm.codegen.build.compilers import Compiler, CompilerKind, Target
from farm.codegen.build.toolchain import runtime_sources
from farm.codegen.emit import parameter_names
from farm.codegen.package.manifest import Manifest, Port
from farm.text import printable
from farm.units import format_bytes

_HEXAGON_LINK = "-nostdlib -static -s -Wl,--build-id=none"
_ALONE = """
# Its memcpy shall not be compiled to a call of memcpy.
runtime/memory_hexagon.o: CFLAGS += -ffreestanding -fno-builtin
"""
_ZIG = """\
ZIG := $(or $(shell command -v zig),$(shell python3 -c 'import ziglang' 2>/dev/null && \
\techo python3 -m ziglang))
"""
_KIND = """\
# What $(CC) is: compilers spell some flags differently.
ifneq (,$(filter zig ziglang %/zig,$(CC)))
KIND := zig
else ifneq (,$(findstring clang,$(shell $(CC) --version)))
KIND := clang
else
KIND := gcc
endif
"""
_BYTES = """\
`model.h` has scales and zero points as macros: `{prefix}_..._SCALE`, `{prefix}_..._ZERO_POINT`.
Real numbers become bytes by rounding to the nearest one, halves to the even one, and saturating.
Arrays of bytes begin at a multiple of four, as arrays of floats do.

"""
_KINDS = (CompilerKind.GCC, CompilerKind.CLANG, CompilerKind.ZIG)


def makefile(manifest: Manifest) -> str:
    """Builds the library, and tests it with the vectors.

    For the host any C11 compiler does, and ``cc`` is the default, whichever one built the library
    that is in the package: the results are the same bits. The Hexagon needs Zig's.
    """
    hexagon = manifest.target.is_hexagon
    flags = f"CFLAGS = {' '.join(manifest.flags)}" if hexagon else _host_flags(manifest.target)
    zig = "$(or $(ZIG),$(error No zig was found: pip install ziglang, or say where: make ZIG=...))"
    sources = runtime_sources(manifest.target)
    runtime = " ".join(f"runtime/{name.removesuffix('.c')}.o" for name in sources)
    includes = "-I. -Iruntime" + (" -Iruntime/freestanding" if hexagon else "")
    return f"""# The library in this folder was built for {manifest.target} by {manifest.compiler}.
# Compilers may differ, results may not: flags that contract or reorder floats are forbidden.
{_ZIG if hexagon else ""}CC = {f"{zig} cc" if hexagon else "cc"}
AR = {f"{zig} ar" if hexagon else "ar"}
{"" if hexagon else _KIND}{flags}
LDFLAGS = {_HEXAGON_LINK if hexagon else ""}
EMULATOR = {"qemu-hexagon" if hexagon else ""}
KERNELS := $(wildcard kernels/*.h)

libmodel.a: model.o weights.o
\trm -f $@
\t$(AR) rcsD $@ $^

%.o: %.c model.h weights.h $(KERNELS)
\t$(CC) $(CFLAGS) {includes} -c $< -o $@

# Replays the test vectors: the answers must be the same bytes.
test: model.elf
\t$(EMULATOR) ./model.elf < test_vectors/requests.bin | cmp - test_vectors/replies.bin
\t@echo "{manifest.vectors} test vectors agree"

model.elf: {runtime} model.o weights.o
\t$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@
{_ALONE if hexagon else ""}
clean:
\trm -f *.o runtime/*.o model.elf libmodel.a

.PHONY: test clean
"""


def _host_flags(target: Target) -> str:
    """CFLAGS for every kind of compiler: those that all have, and what others call otherwise."""
    flags = {kind: _flags(kind, target) for kind in _KINDS}
    common = [flag for flag in flags[_KINDS[0]] if all(flag in each for each in flags.values())]
    lines = [
        f"FLAGS_{kind} = {' '.join(flag for flag in each if flag not in common)}"
        for kind, each in flags.items()
    ]
    return "\n".join([*lines, f"CFLAGS = {' '.join(common)} $(FLAGS_$(KIND))"])


def _flags(kind: CompilerKind, target: Target) -> Sequence[str]:
    """Portable code is for every architecture, so that none is named; Zig must be told that."""
    flags = Compiler(kind, ("cc",), ("ar",), "").flags(target)
    if target is not Target.PORTABLE:
        return flags
    any_machine = ("-mcpu=baseline",) if kind is CompilerKind.ZIG else ()
    return *(flag for flag in flags if not flag.startswith(("-march=", "-mcpu="))), *any_machine


def readme(manifest: Manifest) -> str:
    """What the package is and how to call it."""
    name, prefix = manifest.name, manifest.name.upper()
    parameters = [
        parameter_names(kind, [port.name for port in ports])
        for kind, ports in (("input", manifest.inputs), ("output", manifest.outputs))
    ]
    inputs, outputs = (
        "\n".join(map(_described, names, ports))
        for names, ports in zip(parameters, (manifest.inputs, manifest.outputs), strict=True)
    )
    quantized = any(port.scale is not None for port in (*manifest.inputs, *manifest.outputs))
    bytes_ = _BYTES.format(prefix=prefix) if quantized else ""
    listed = "".join(f"- {printable(note)}\n" for note in manifest.notes)
    notes = f"Notes:\n\n{listed}\n" if listed else ""
    speed = "" if manifest.packets is None else f"| packets of one run | {manifest.packets:,} |\n"
    return f"""# A compiled model

C code of the model with SHA-256 `{manifest.model_sha256}`, {manifest.precision}, for
`{manifest.target}`. It needs no library but `memcpy` and `memset`, allocates nothing, and keeps
all its state in one block of memory that its caller provides.

```c
#include "model.h"

static uint8_t memory[{prefix}_MEMORY_BYTES] __attribute__((aligned(128)));

{name}_run(memory, {", ".join((*parameters[0], *parameters[1]))});
```

`{name}_call` does the same with arrays of pointers. Packages of several names, which
`farm package --name NAME` gives them, can be called from one program; it includes each header from
its own folder.

Inputs:

{inputs}

Outputs:

{outputs}

{bytes_}{notes}| | |
|---|---|
| tensors in the arena | {format_bytes(manifest.arena_bytes)} |
| scratch memory of kernels | {format_bytes(manifest.scratch_bytes)} |
| memory to provide, with free bytes at both ends | {format_bytes(manifest.memory_bytes)} |
| weights | {format_bytes(manifest.weight_bytes)} |
| code | {format_bytes(manifest.code_bytes)} |
| multiply-accumulates of one run | {manifest.macs:,} |
{speed}
`libmodel.a` was built by {manifest.compiler}; `manifest.json` has its flags and all figures.

- `make` builds it anew, by {_compilers(manifest.target)}.
- `make test` replays the {manifest.vectors} test vectors: the answers must be the same bytes.
- `farm package verify DIR` does both, and compares what is shipped with what comes out.

What is in `kernels` and `runtime` is copied from the farm, which is under the Apache License,
version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""


def _described(parameter: str, port: Port) -> str:
    shape = ", ".join(map(str, port.shape))
    name = printable(" ".join(port.name.split())).replace("`", "'")
    dtype = "bool (bytes of 0 or 1)" if port.dtype == "bool" else port.dtype
    text = f"- `{parameter}`: {dtype} [{shape}], row-major; the model's `{name}`"
    if port.scale is not None:
        text += f" is (byte - {port.zero_point}) * {port.scale:.9g}"
    return text.replace("- -", "+ ")


def _compilers(target: Target) -> str:
    """Which of them ``make`` takes, and what else it needs."""
    if target.is_hexagon:
        return (
            "Zig's compiler, which knows the Hexagon (`zig`, or `pip install ziglang`);\n"
            "  its programs run in `qemu-hexagon`"
        )
    return "`cc` or another GCC, clang or Zig: `make CC=clang`, `make CC='zig cc'`"
