"""Writes a program as C: ``model.h``, ``model.c``, ``weights.h`` and ``weights.c``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from farm.codegen.program import Array, Call, Program, Step, Tensor
from farm.codegen.storage import Area, Storage
from farm.units import Bytes

GUARD_BYTES = 256
"""Before and after the arena and scratch: vector kernels read, but never write, that far."""

_ALIGNMENT = 128  # of constants and of the memory block: one HVX vector
_CTYPES = {
    np.dtype(np.int8): "int8_t",
    np.dtype(np.uint8): "uint8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.int32): "int32_t",
    np.dtype(np.uint32): "uint32_t",
    np.dtype(np.float32): "float",
}
_KEYWORDS = frozenset(
    ["auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
     "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register",
     "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch",
     "typedef", "union", "unsigned", "void", "volatile", "while", "class", "namespace",
     "template", "this"]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Generated:
    """Generated files by name, and what the manifest says about them.

    kernels: names of the kernel headers that the model uses, those that they include, too.
    memory_bytes: of the block that the caller provides: guards, arena, scratch.
    weight_bytes: of all constants.
    """

    files: Mapping[str, str]
    kernels: tuple[str, ...]
    memory_bytes: Bytes
    weight_bytes: Bytes


def emit(program: Program, storage: Storage, title: str) -> Generated:
    """Generate C for a placed program. title: first line of the files, what the model is."""
    return _Emitter(program, storage, title).generated()


class _Emitter:
    """Collects calls and constants; it is the binding that steps write their calls with."""

    def __init__(self, program: Program, storage: Storage, title: str) -> None:
        self._program = program
        self._storage = storage
        self._title = title
        self._constants: dict[tuple[str, bytes], str] = {}
        self._arrays: dict[str, Array] = {}
        self._functions: dict[tuple[str, str], str] = {}
        self._definitions: list[str] = []
        self._headers: dict[str, None] = {}
        arena = -(-storage.arena_bytes // _ALIGNMENT) * _ALIGNMENT
        self._scratch_offset = GUARD_BYTES + arena
        whole = self._scratch_offset + storage.scratch_bytes + GUARD_BYTES
        self._memory_bytes = Bytes(-(-whole // _ALIGNMENT) * _ALIGNMENT)

    def generated(self) -> Generated:
        calls = [self._statement(step, name) for step, name in self._storage.steps]
        kernels = kernel_files(tuple(self._headers))
        files = {
            "model.h": self._header(),
            "model.c": self._source(calls),
            "weights.h": self._weights_header(),
            "weights.c": self._weights(),
        }
        weight_bytes = Bytes(sum(array.nbytes for array in self._arrays.values()))
        return Generated(files, kernels, self._memory_bytes, weight_bytes)

    # The binding

    def tensor(self, tensor: Tensor) -> str:
        place = self._storage.places[tensor.name]
        match place.area:
            case Area.INPUT:
                return f"in{place.position}"
            case Area.OUTPUT:
                return f"out{place.position}"
            case Area.ARENA:
                return f"arena + {place.position}"

    def constant(self, array: Array, hint: str) -> str:
        array = np.ascontiguousarray(array)
        key = (_CTYPES[array.dtype], array.tobytes())
        if key not in self._constants:
            name = f"data{len(self._constants)}_{_identifier(hint)}"
            self._constants[key] = name
            self._arrays[name] = array
        return self._constants[key]

    def scratch(self) -> str:
        return "scratch"

    # Parts of the files

    def _statement(self, step: Step, operator: str) -> str:
        call = step.call(self)
        self._headers[call.header] = None
        function = self._function(call)
        arguments = ", ".join(f"({p.ctype})({p.value})" for p in call.pointers)
        return f"    {function}({arguments}); /* {_comment(operator)} */"

    def _function(self, call: Call) -> str:
        """The specialised function for a kernel with constant shape."""
        key = (call.function, call.shape)
        if key not in self._functions:
            same = sum(1 for function, _ in self._functions if function == call.function)
            name = f"{call.function}_{same}"
            self._functions[key] = name
            self._definitions.append(_definition(name, call))
        return self._functions[key]

    def _header(self) -> str:
        inputs, outputs = self._program.inputs, self._program.outputs
        described = [*_described("input", inputs), *_described("output", outputs)]
        lines = [
            f"/* {self._title}. */",
            "#ifndef MODEL_H",
            "#define MODEL_H",
            "",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            *_renaming(("model_run", "model_call")),
            "/* One block of memory for all that is computed, aligned to 128 bytes. It needs no",
            "   initialisation; every instance that runs at the same time needs its own. At both",
            f"   ends {GUARD_BYTES} bytes are left free, which vector kernels may read. */",
            f"#define MODEL_MEMORY_BYTES {self._memory_bytes}u",
            f"#define MODEL_ARENA_BYTES {self._storage.arena_bytes}u   /* of it: tensors */",
            f"#define MODEL_SCRATCH_BYTES {self._storage.scratch_bytes}u /* of it: kernels */",
            f"#define MODEL_INPUTS {len(inputs)}",
            f"#define MODEL_OUTPUTS {len(outputs)}",
            f"#define MODEL_INPUT_BYTES {{ {_sizes(inputs)} }}",
            f"#define MODEL_OUTPUT_BYTES {{ {_sizes(outputs)} }}",
            "",
            *described,
            f"void model_run(void *memory, {self._parameters()});",
            "",
            "/* The same by pointers, in the order of the inputs and outputs. */",
            "void model_call(void *memory, const void *const *inputs, void *const *outputs);",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "#endif",
        ]
        return "\n".join(lines) + "\n"

    def _parameters(self) -> str:
        inputs = [f"const float *{name}" for name in _names(self._program.inputs, "input")]
        outputs = [f"float *{name}" for name in _names(self._program.outputs, "output")]
        return ", ".join((*inputs, *outputs))

    def _source(self, calls: Sequence[str]) -> str:
        names_in = _names(self._program.inputs, "input")
        names_out = _names(self._program.outputs, "output")
        passed = [f"inputs[{i}]" for i in range(len(names_in))]
        passed += [f"outputs[{i}]" for i in range(len(names_out))]
        lines = [
            f"/* {self._title}. */",
            '#include "model.h"',
            '#include "weights.h"',
            *(f'#include "kernels/{name}"' for name in self._headers),
            "",
            *self._definitions,
            f"void model_run(void *memory, {self._parameters()})",
            "{",
            f"    uint8_t *const arena = (uint8_t *)memory + {GUARD_BYTES};",
            f"    uint8_t *const scratch = (uint8_t *)memory + {self._scratch_offset};",
            *(f"    const float *const in{i} = {name};" for i, name in enumerate(names_in)),
            *(f"    float *const out{i} = {name};" for i, name in enumerate(names_out)),
            "    (void)arena;",
            "    (void)scratch;",
            *calls,
            "}",
            "",
            "void model_call(void *memory, const void *const *inputs, void *const *outputs)",
            "{",
            f"    model_run(memory, {', '.join(passed)});",
            "}",
        ]
        return "\n".join(lines) + "\n"

    def _weights_header(self) -> str:
        lines = [f"/* {self._title}: constants. */", "#include <stdint.h>", ""]
        lines += _renaming(tuple(self._arrays))
        lines += [f"extern {_declaration(n, a)};" for n, a in self._arrays.items()]
        return "\n".join(lines) + "\n"

    def _weights(self) -> str:
        lines = [f"/* {self._title}: constants. */", '#include "weights.h"', ""]
        for name, array in self._arrays.items():
            lines.append(
                f"{_declaration(name, array)} __attribute__((aligned({_ALIGNMENT}))) = {{"
            )
            lines += _values(array)
            lines.append("};")
        return "\n".join(lines) + "\n"


def _renaming(names: Sequence[str]) -> Iterator[str]:
    """Lines that give global names a prefix where the compiler is told one."""
    yield "/* Several models in one program: compile each with its own -DMODEL_PREFIX=name_ */"
    yield "#ifdef MODEL_PREFIX"
    yield "#ifndef MODEL_NAME"
    yield "#define MODEL_JOIN(prefix, name) prefix##name"
    yield "#define MODEL_EXPAND(prefix, name) MODEL_JOIN(prefix, name)"
    yield "#define MODEL_NAME(name) MODEL_EXPAND(MODEL_PREFIX, name)"
    yield "#endif"
    yield from (f"#define {name} MODEL_NAME({name})" for name in names)
    yield "#endif"
    yield ""


def kernel_files(names: Sequence[str]) -> tuple[str, ...]:
    """Kernel headers and all that they include, sorted."""
    folder = resources.files("farm.codegen") / "kernels"
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            text = (folder / name).read_text(encoding="utf-8")
            waiting += re.findall(r'^\s*#\s*include "([\w.]+)"', text, flags=re.MULTILINE)
    return tuple(sorted(found))


def _definition(name: str, call: Call) -> str:
    parameters = ", ".join(f"{p.ctype}p{i}" for i, p in enumerate(call.pointers))
    arguments = [f"p{i}" for i in range(len(call.pointers))]
    arguments += [call.shape] if call.shape else []
    return (
        f"static __attribute__((noinline)) void {name}({parameters})\n"
        f"{{\n    {call.function}({', '.join(arguments)});\n}}\n"
    )


def _described(kind: str, tensors: Sequence[Tensor]) -> Iterator[str]:
    for name, tensor in zip(_names(tensors, kind), tensors, strict=True):
        shape = ", ".join(map(str, tensor.shape))
        yield f"/* {kind} {name}: {tensor.element}[{shape}], {_comment(tensor.name)} */"


def _sizes(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{tensor.bytes}u" for tensor in tensors)


def _names(tensors: Sequence[Tensor], kind: str) -> list[str]:
    """Parameter names: the tensors' own as C identifiers, numbered where they would not do."""
    names = [_identifier(tensor.name) for tensor in tensors]
    reserved = {"memory", "arena", "scratch", *(f"in{i}" for i in range(len(names)))}
    plain = len(set(names)) == len(names) and not (reserved | _KEYWORDS).intersection(names)
    short = all(len(name) <= 40 for name in names)
    return names if plain and short else [f"{kind}_{i}" for i in range(len(names))]


def _identifier(text: str) -> str:
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    return name if name and not name[0].isdigit() else f"t_{name}"


def _comment(text: str) -> str:
    """Text that can stand in a comment: an operator's name, shortened from the left."""
    safe = text.replace("*/", "* /").replace("/*", "/ *").replace("\n", " ")
    return safe if len(safe) <= 60 else "..." + safe[-57:]


def _declaration(name: str, array: Array) -> str:
    return f"const {_CTYPES[array.dtype]} {name}[{array.size}]"


def _values(array: Array) -> Iterator[str]:
    """The initialiser's lines. Floats are written in hexadecimal: exactly."""
    if array.dtype == np.float32:
        texts = [_float(value) for value in array.ravel().tolist()]
    else:
        texts = [str(value) for value in array.ravel().tolist()]
    per_line = 24 if array.dtype.itemsize == 1 else 12
    for start in range(0, len(texts), per_line):
        yield ", ".join(texts[start : start + per_line]) + ","


def _float(value: float) -> str:
    if value != value:  # noqa: PLR0124 (NaN is the number that differs from itself)
        return '__builtin_nanf("")'
    if value in (float("inf"), float("-inf")):
        return f"{'-' if value < 0 else ''}__builtin_inff()"
    return f"{value.hex()}f"
