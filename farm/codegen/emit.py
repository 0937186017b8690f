"""Writes a program as C: ``model.h``, ``model.c``, ``weights.h``, ``weights.c``.

Everything that other files see begins with the package's name, in capitals if it is a macro, so
that packages of several names can be called from one file. ``runtime/package.h`` says to the
runner, which is the same for all, what its package is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from farm.codegen.ops.literal import finite_literal, initializer_lines
from farm.codegen.program import DEFAULT_NAME, Array, Call, Program, Step, Tensor
from farm.codegen.storage import Area, Storage
from farm.errors import OptionError
from farm.text import printable
from farm.units import Bytes

GUARD_BYTES = 384
"""Before and after the arena and scratch: vector kernels read, but never write, that far.

Two vectors of HVX, as a kernel that takes every other position reads past its last one; and a
third, because clang loads neighbours that are not aligned by whole lines, one more than needed.
"""

_ALIGNMENT = 128  # of constants and of the memory block: one HVX vector
_CTYPES = {
    np.dtype(np.bool_): "uint8_t",
    np.dtype(np.int8): "int8_t",
    np.dtype(np.uint8): "uint8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.int32): "int32_t",
    np.dtype(np.uint32): "uint32_t",
    np.dtype(np.int64): "int64_t",
    np.dtype(np.float32): "float",
}
# Of C23 and C++23, and C++'s other spellings of operators.
_KEYWORDS = frozenset(
    ["alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break",
     "case", "catch", "char", "char8_t", "char16_t", "char32_t", "class", "co_await", "co_return",
     "co_yield", "compl", "concept", "const", "const_cast", "consteval", "constexpr", "constinit",
     "continue", "decltype", "default", "delete", "do", "double", "dynamic_cast", "else", "enum",
     "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if", "inline",
     "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr",
     "operator", "or", "or_eq", "private", "protected", "public", "register", "reinterpret_cast",
     "requires", "restrict", "return", "short", "signed", "sizeof", "static", "static_assert",
     "static_cast", "struct", "switch", "template", "this", "thread_local", "throw", "true",
     "try", "typedef", "typeid", "typename", "typeof", "typeof_unqual", "union", "unsigned",
     "using", "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq"]
)  # fmt: skip
# First words of what is named otherwise: the kernels' and the runner's headers, and parameters.
_TAKEN = ("farm", "input", "output")
_BY_POINTERS = "(void *memory, const void *const *inputs, void *const *outputs)"


@dataclass(frozen=True, slots=True)
class Generated:
    """Generated files by name, and what the manifest says about them.

    name: what all names of the package begin with.
    kernels: names of the kernel headers that the model uses, those that they include, too.
    memory_bytes: of the block that the caller provides: guards, arena, scratch.
    weight_bytes: of all constants.
    """

    name: str
    files: Mapping[str, str]
    kernels: tuple[str, ...]
    memory_bytes: Bytes
    weight_bytes: Bytes


def emit(program: Program, storage: Storage, title: str, name: str = DEFAULT_NAME) -> Generated:
    """Generate C for a placed program.

    title: first line of the files, what the model is. name: one that ``check_name`` accepts.
    """
    return _Emitter(program, storage, title, name).generated()


def check_name(name: str) -> None:
    """Raise OptionError for a name that a package cannot have."""
    plain = re.fullmatch(r"[A-Za-z]\w*", name, flags=re.ASCII) and name not in _KEYWORDS
    if not plain or name.lower().split("_")[0] in _TAKEN:
        raise OptionError(
            "A package's name is a C identifier like kws, which begins with a letter, is no "
            "keyword of C or C++, and whose first word is not "
            f"{', '.join(_TAKEN[:-1])} or {_TAKEN[-1]}; got {name!r}."
        )


def parameter_names(kind: str, tensors: Sequence[str]) -> list[str]:
    """Parameters of the model's function: of the inputs or of the outputs.

    Identifiers that begin with the kind are nothing else in the generated code. What follows is
    the tensor's name where these are different and short, else its number.

    kind: input or output. tensors: names of all tensors of that kind, in their order.
    """
    names = [f"{kind}_{_identifier(tensor)}" for tensor in tensors]
    plain = len(set(names)) == len(names) and all(len(kind) + 1 < len(n) <= 40 for n in names)
    return names if plain else [f"{kind}_{i}" for i in range(len(names))]


def macro_names(parameters: Sequence[str]) -> list[str]:
    """What the macros of parameters begin with, after the package's own prefix.

    parameters: of the model's function, of one kind. They are numbered where capitals would make
    two of them one.
    """
    names = [parameter.upper() for parameter in parameters]
    if len(set(names)) == len(names):
        return names
    return [f"{name.split('_')[0]}_{i}" for i, name in enumerate(names)]


def runner_header(name: str) -> str:
    """``runtime/package.h``: what the runner knows of the package."""
    prefix = name.upper()
    sizes = ("MEMORY_BYTES", "INPUTS", "OUTPUTS", "INPUT_BYTES", "OUTPUT_BYTES")
    lines = [
        "/* What the runner calls the model by. */",
        '#include "model.h"',
        "",
        *(f"#define PACKAGE_{size} {prefix}_{size}" for size in sizes),
        f"#define PACKAGE_CALL {name}_call",
    ]
    return "\n".join(lines) + "\n"


class _Emitter:
    """Collects calls and constants; it is the binding that steps write their calls with."""

    def __init__(self, program: Program, storage: Storage, title: str, name: str) -> None:
        self._program = program
        self._storage = storage
        self._title = title
        self._name = name
        self._inputs = parameter_names("input", [each.label for each in program.inputs])
        self._outputs = parameter_names("output", [each.label for each in program.outputs])
        self._constants: dict[tuple[str, bytes], str] = {}
        self._arrays: dict[str, Array] = {}
        self._functions: dict[tuple[str, str], str] = {}
        self._read: set[str] = set()
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
            "runtime/package.h": runner_header(self._name),
        }
        weight_bytes = Bytes(sum(array.nbytes for array in self._arrays.values()))
        return Generated(self._name, files, kernels, self._memory_bytes, weight_bytes)

    # The binding

    def tensor(self, tensor: Tensor) -> str:
        place = self._storage.places[tensor.name]
        match place.area:
            case Area.INPUT:
                self._read.add(self._inputs[place.position])
                return self._inputs[place.position]
            case Area.OUTPUT:
                return self._outputs[place.position]
            case Area.ARENA:
                return f"arena + {place.position}"

    def constant(self, array: Array, hint: str) -> str:
        array = np.ascontiguousarray(array)
        key = (_CTYPES[array.dtype], array.tobytes())
        if key not in self._constants:
            name = f"{self._name}_data{len(self._constants)}_{hint}"
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
        name, prefix = self._name, self._name.upper()
        described = (
            *zip(self._inputs, inputs, strict=True),
            *zip(self._outputs, outputs, strict=True),
        )
        lines = [
            f"/* {self._title}. */",
            f"#ifndef {prefix}_H",
            f"#define {prefix}_H",
            "",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            "/* One block of memory for all that is computed, aligned to 128 bytes. It needs no",
            "   initialisation; every instance that runs at the same time needs its own. At both",
            f"   ends {GUARD_BYTES} bytes are left free, which vector kernels may read. */",
            f"#define {prefix}_MEMORY_BYTES {self._memory_bytes}u",
            f"#define {prefix}_ARENA_BYTES {self._storage.arena_bytes}u   /* of it: tensors */",
            f"#define {prefix}_SCRATCH_BYTES {self._storage.scratch_bytes}u /* of it: kernels */",
            f"#define {prefix}_INPUTS {len(inputs)}",
            f"#define {prefix}_OUTPUTS {len(outputs)}",
            f"#define {prefix}_INPUT_BYTES {{ {_sizes(inputs)} }}",
            f"#define {prefix}_OUTPUT_BYTES {{ {_sizes(outputs)} }}",
            "",
            *self._scales(),
            *(_described(parameter, tensor) for parameter, tensor in described),
            f"void {name}_run(void *memory, {self._parameters()});",
            "",
            "/* The same by pointers, in the order of the inputs and outputs. */",
            f"void {name}_call{_BY_POINTERS};",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "#endif",
        ]
        return "\n".join(lines) + "\n"

    def _scales(self) -> Iterator[str]:
        """Macros with the scales and zero points of the caller's arrays."""
        inputs, outputs = self._program.inputs, self._program.outputs
        macros = (*macro_names(self._inputs), *macro_names(self._outputs))
        quantized = [
            (macro, tensor.quant)
            for macro, tensor in zip(macros, (*inputs, *outputs), strict=True)
            if tensor.element.is_quantized
        ]
        if not quantized:
            return
        yield "/* A byte of an array stands for (byte - zero point) * scale, a real number. Arrays"
        yield "   of bytes begin at a multiple of four, as arrays of floats do. */"
        for macro, quant in quantized:
            name, scale = f"{self._name.upper()}_{macro}", float(np.float32(quant.scale))
            yield f"#define {name}_SCALE {finite_literal(scale)} /* {scale:.9g} */"
            yield f"#define {name}_ZERO_POINT ({quant.zero_point})"
        yield ""

    def _parameters(self) -> str:
        program = self._program
        inputs = zip(self._inputs, program.inputs, strict=True)
        outputs = zip(self._outputs, program.outputs, strict=True)
        return ", ".join(
            (
                *(f"const {tensor.element.ctype} *{name}" for name, tensor in inputs),
                *(f"{tensor.element.ctype} *{name}" for name, tensor in outputs),
            )
        )

    def _source(self, calls: Sequence[str]) -> str:
        passed = [f"inputs[{i}]" for i in range(len(self._inputs))]
        passed += [f"outputs[{i}]" for i in range(len(self._outputs))]
        lines = [
            f"/* {self._title}. */",
            '#include "model.h"',
            '#include "weights.h"',
            *(f'#include "kernels/{name}"' for name in self._headers),
            "",
            *self._definitions,
            f"void {self._name}_run(void *memory, {self._parameters()})",
            "{",
            f"    uint8_t *const arena = (uint8_t *)memory + {GUARD_BYTES};",
            f"    uint8_t *const scratch = (uint8_t *)memory + {self._scratch_offset};",
            "    (void)arena;",
            "    (void)scratch;",
            *(f"    (void){name};" for name in self._inputs if name not in self._read),
            *calls,
            "}",
            "",
            f"void {self._name}_call{_BY_POINTERS}",
            "{",
            f"    {self._name}_run(memory, {', '.join(passed)});",
            "}",
        ]
        return "\n".join(lines) + "\n"

    def _weights_header(self) -> str:
        lines = [f"/* {self._title}: constants. */", "#include <stdint.h>", ""]
        lines += [f"extern {_declaration(n, a)};" for n, a in self._arrays.items()]
        return "\n".join(lines) + "\n"

    def _weights(self) -> str:
        lines = [f"/* {self._title}: constants. */", '#include "weights.h"', ""]
        for name, array in self._arrays.items():
            lines.append(
                f"{_declaration(name, array)} __attribute__((aligned({_ALIGNMENT}))) = {{"
            )
            lines += initializer_lines(array)
            lines.append("};")
        return "\n".join(lines) + "\n"


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


def _described(parameter: str, tensor: Tensor) -> str:
    shape = ", ".join(map(str, tensor.shape))
    return f"/* {parameter}: {tensor.element}[{shape}], {_comment(tensor.label)} */"


def _sizes(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{tensor.bytes}u" for tensor in tensors)


def _identifier(text: str) -> str:
    """Text as the end of a C identifier; empty where nothing of it can stand in one."""
    return re.sub(r"[\W_]+", "_", text, flags=re.ASCII).strip("_")


def _comment(text: str) -> str:
    """Text that can stand in a comment: an operator's name, shortened from the left."""
    safe = printable(text).replace("*/", "* /").replace("/*", "/ *")
    return safe if len(safe) <= 60 else "..." + safe[-57:]


def _declaration(name: str, array: Array) -> str:
    return f"const {_CTYPES[array.dtype]} {name}[{array.size}]"
