"""The texts of a package that people and ``make`` read."""

from __future__ import annotations

from farm.codegen.compilers import Compiler, CompilerKind, Target
from farm.codegen.manifest import Manifest, Port
from farm.codegen.toolchain import runtime_sources
from farm.units import format_bytes

_HEXAGON_LINK = "-nostdlib -static"
_ZIG = """\
ZIG := $(or $(shell command -v zig),$(shell python3 -c 'import ziglang' 2>/dev/null && \
\techo python3 -m ziglang))
"""


def makefile(manifest: Manifest) -> str:
    """Builds the library, and tests it with the vectors.

    For the host any C11 compiler does, and ``cc`` is the default, whichever one built the library
    that is in the package: the results are the same bits. The Hexagon needs Zig's.
    """
    hexagon = manifest.target.is_hexagon
    system = Compiler(CompilerKind.GCC, ("cc",), ("ar",), "")
    flags = manifest.flags if hexagon else system.flags(manifest.target)
    zig = "$(or $(ZIG),$(error No zig was found: pip install ziglang, or say where: make ZIG=...))"
    runtime = " ".join(f"runtime/{name}" for name in runtime_sources(manifest.target))
    includes = "-I. -Iruntime" + (" -Iruntime/freestanding" if hexagon else "")
    return f"""# The library in this folder was built for {manifest.target} by {manifest.compiler}.
# Compilers may differ, results may not: flags that contract or reorder floats are forbidden.
{_ZIG if hexagon else ""}CC = {f"{zig} cc" if hexagon else "cc"}
AR = {f"{zig} ar" if hexagon else "ar"}
CFLAGS = {" ".join(flags)}
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

model.elf: model.o weights.o {runtime}
\t$(CC) $(CFLAGS) $(LDFLAGS) {includes} model.o weights.o {runtime} -o $@

clean:
\trm -f *.o model.elf libmodel.a

.PHONY: test clean
"""


def readme(manifest: Manifest) -> str:
    """What the package is and how to call it."""
    inputs = "\n".join(_described(port) for port in manifest.inputs)
    outputs = "\n".join(_described(port) for port in manifest.outputs)
    speed = "" if manifest.packets is None else f"| packets of one run | {manifest.packets:,} |\n"
    return f"""# A compiled model

C code of the model with SHA-256 `{manifest.model_sha256}`, {manifest.precision}, for
`{manifest.target}`. It needs no library but `memcpy` and `memset`, allocates nothing, and keeps
all its state in one block of memory that its caller provides.

```c
#include "model.h"

static uint8_t memory[MODEL_MEMORY_BYTES] __attribute__((aligned(128)));

model_run(memory, inputs..., outputs...);   /* see model.h */
```

Several models in one program: compile each with its own `-DMODEL_PREFIX=name_`, which goes before
all its global names.

Inputs:

{inputs}

Outputs:

{outputs}

| | |
|---|---|
| tensors in the arena | {format_bytes(manifest.arena_bytes)} |
| scratch memory of kernels | {format_bytes(manifest.scratch_bytes)} |
| memory to provide, with free bytes at both ends | {format_bytes(manifest.memory_bytes)} |
| weights | {format_bytes(manifest.weight_bytes)} |
| code | {format_bytes(manifest.code_bytes)} |
| multiply-accumulates of one run | {manifest.macs:,} |
{speed}
`make` builds `libmodel.a`. `make test` builds the runner and replays the {manifest.vectors} test
vectors, whose answers must be the same bytes{_emulated(manifest.target)}. `manifest.json` has all
figures. `farm package verify DIR` does both.
"""


def _described(port: Port) -> str:
    shape = ", ".join(map(str, port.shape))
    return f"- `{port.name}`: {port.dtype} [{shape}], row-major"


def _emulated(target: Target) -> str:
    if not target.is_hexagon:
        return ""
    return (
        "; it needs `qemu-hexagon`, and Zig's compiler\n(`zig`, or `pip install ziglang`), which "
        "knows the Hexagon"
    )
