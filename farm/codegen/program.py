"""The program that C is generated from: steps over tensors, in the order in which they run.

A program knows nothing about ONNX any more. Every step carries all that its kernel needs, can
compute itself in numpy (the *reference*), and says how its kernel is called in C. Reference and
kernel agree bit for bit wherever they compute on integers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from farm.units import Bytes

Array = NDArray[Any]
NO_SCRATCH = Bytes(0)

DEFAULT_NAME = "model"
"""What all names in C begin with; see ``farm.codegen.emit``."""


class Element(StrEnum):
    """Type of a tensor's elements; the values are numpy's names."""

    U8 = "uint8"  # quantised: real value = (element - zero_point) * scale
    S8 = "int8"  # the same numbers, 128 lower: of the caller's arrays alone
    F32 = "float32"
    I32 = "int32"
    I64 = "int64"
    BOOL = "bool"  # bytes that are 0 or 1

    @property
    def bytes(self) -> int:
        """Size of one element."""
        return np.dtype(self.value).itemsize

    @property
    def ctype(self) -> str:
        """The type's name in C."""
        return _CTYPES[self]

    @property
    def is_quantized(self) -> bool:
        """Whether an element stands for a real number by a scale and a zero point."""
        return self in (Element.U8, Element.S8)


_CTYPES = {
    Element.U8: "uint8_t",
    Element.S8: "int8_t",
    Element.F32: "float",
    Element.I32: "int32_t",
    Element.I64: "int64_t",
    Element.BOOL: "uint8_t",
}


class PortType(StrEnum):
    """What the caller's arrays hold, of inputs and outputs that are quantised."""

    FLOAT32 = "float32"
    UINT8 = "uint8"
    INT8 = "int8"


PortTypes: TypeAlias = PortType | Mapping[str, PortType]
"""Of all inputs and outputs that are quantised, or of single ones by name; others are float32."""


class Layout(StrEnum):
    """Order of a tensor's elements in memory.

    PLAIN: row-major in the order of the axes.
    BLOCKED: of [N, C, *positions], stored as [N][ceil(C / 4)][positions][4]: the four channels of
    one position are one 32-bit word, which is what dot-product instructions of every target read.
    Channels beyond C are stored, too, and hold anything.
    """

    PLAIN = "plain"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = (element - zero_point) * scale, with scale > 0.

    zero_point: 0..255, or -128..127 of S8 tensors.
    """

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a program.

    name: unlike those of all other tensors of the program.
    shape: logical, axes in ONNX's order, whatever the layout. quantization: of U8 and S8 tensors.
    model_name: of an output that the model calls otherwise: an input that is an output, too.
    """

    name: str
    shape: tuple[int, ...]
    element: Element
    layout: Layout = Layout.PLAIN
    quantization: Quantization | None = None
    model_name: str = ""

    @property
    def label(self) -> str:
        """Its name in the model."""
        return self.model_name or self.name

    @property
    def size(self) -> int:
        """Number of logical elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> Bytes:
        """Bytes in memory, channels that only fill a block included."""
        if self.layout is Layout.PLAIN:
            return Bytes(self.size * self.element.bytes)
        batch, channels, *positions = self.shape
        return Bytes(batch * -(-channels // 4) * 4 * math.prod(positions) * self.element.bytes)

    @property
    def quant(self) -> Quantization:
        """The quantization of a tensor that has one."""
        assert self.quantization is not None, f"{self.name} is not quantised"
        return self.quantization


@dataclass(frozen=True, slots=True)
class Pointer:
    """An argument of a kernel call. ctype: like ``const uint8_t *``. value: C expression."""

    ctype: str
    value: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a kernel: ``function(pointers..., shape)``.

    header: file in ``kernels/`` that defines the function. function: a static inline function of
    it. shape: C expression of its last argument, a literal of constants such as
    ``(ConvShape){.height = 25}``, or "" if there is none. Calls with the same function and shape
    share one specialised function in the generated code, whatever their pointers are.
    """

    header: str
    function: str
    pointers: tuple[Pointer, ...]
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a kernel: begun ``times`` times, each over ``length`` elements.

    name: what it does, and how; loops of one name in one kernel cost the same.
    """

    name: str
    times: int
    length: int = 1


@dataclass(frozen=True, slots=True)
class Work:
    """What a kernel call repeats: all that models of its cost look at.

    kernel: name of the function in C. loops: those that decide what it costs; loops of one name
    add up. A step without loops calls nothing.
    """

    kernel: str = ""
    loops: tuple[Loop, ...] = ()


NO_WORK = Work()


class Binding(Protocol):
    """What a step asks for when it writes its call: C expressions for its data."""

    def tensor(self, tensor: Tensor) -> str:
        """Expression of type ``const void *`` or ``void *`` (as the tensor is read or written)."""

    def constant(self, array: Array, hint: str) -> str:
        """Name of a constant array with this content, aligned to 128 bytes.

        array: bool, int8, uint8, int16, int32, uint32, int64 or float32; equal contents share
        one array.
        hint: part of the name.
        """

    def scratch(self) -> str:
        """Expression of type ``uint8_t *``, 128-byte aligned, ``scratch_bytes`` of the step."""


class Step(Protocol):
    """One kernel call of a program. Implementations are frozen dataclasses, compared by identity.

    inputs, outputs: tensors read and written. in_place: pairs (output, input) of positions: the
    kernel works when that output has the very place of that input.
    """

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...  # noqa: D102

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...  # noqa: D102

    @property
    def in_place(self) -> tuple[tuple[int, int], ...]: ...  # noqa: D102

    @property
    def scratch_bytes(self) -> Bytes:
        """Scratch memory of the kernel, the same on every target."""

    @property
    def work(self) -> Work:
        """What the kernel repeats, in the terms of its loops in C."""

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Outputs from inputs, as logical arrays: of the tensors' shapes and elements' types."""

    def call(self, bind: Binding) -> Call:
        """The kernel call."""


class Mover:
    """Base of steps that move elements, or give them another type, and compute nothing else.

    Reference and kernel agree exactly.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class View(Mover):
    """The same bytes under another shape: no kernel, no memory of its own."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    in_place: tuple[tuple[int, int], ...] = ((0, 0),)
    scratch_bytes: Bytes = NO_SCRATCH
    work: Work = NO_WORK

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The input under the output's shape."""
        return (inputs[0].reshape(self.outputs[0].shape),)

    def call(self, bind: Binding) -> Call:
        """Nothing is called."""
        raise NotImplementedError("a view has no kernel")


@dataclass(frozen=True, slots=True, eq=False)
class Copy(Mover):
    """The same bytes at another place: for outputs of a model that are its inputs."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """One copy."""
        return Work("copy_bytes", (Loop("copy", 1, self.outputs[0].bytes),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The input under the output's shape."""
        return (inputs[0].reshape(self.outputs[0].shape),)

    def call(self, bind: Binding) -> Call:
        """Copy all bytes."""
        pointers = (
            Pointer("void *", bind.tensor(self.outputs[0])),
            Pointer("const void *", bind.tensor(self.inputs[0])),
        )
        return Call("common.h", "copy_bytes", pointers, f"{self.outputs[0].bytes}u")


@dataclass(frozen=True, slots=True)
class Program:
    """Steps in order; model inputs and outputs are PLAIN tensors that the caller owns.

    operators: for every step, the name of the model's operator that it belongs to.
    macs: multiply-accumulates of one run. notes: sentences about what was lowered otherwise than
    asked for.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    operators: tuple[str, ...]
    macs: int
    notes: tuple[str, ...] = ()

    @property
    def is_integer(self) -> bool:
        """Whether every step that computes reads or writes integers.

        The reference then promises every bit.
        """
        computing = (step for step in self.steps if not isinstance(step, Mover))
        return all(
            any(tensor.element is Element.U8 for tensor in (*step.inputs, *step.outputs))
            for step in computing
        )

    @property
    def is_float(self) -> bool:
        """Whether no step reads or writes integers that stand for real numbers."""
        tensors = (tensor for step in self.steps for tensor in (*step.inputs, *step.outputs))
        return not any(tensor.element.is_quantized for tensor in tensors)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The reference: outputs by name from inputs by label, with their tensors' shapes.

        What is not defined, such as the root of a negative number, is NaN or infinite as in C.
        """
        arrays = {tensor.name: np.asarray(feeds[tensor.label]) for tensor in self.inputs}
        with np.errstate(all="ignore"):
            for step in self.steps:
                results = step.reference([arrays[tensor.name] for tensor in step.inputs])
                for tensor, result in zip(step.outputs, results, strict=True):
                    assert result.shape == tensor.shape, (tensor.name, result.shape, tensor.shape)
                    arrays[tensor.name] = result
        return {tensor.name: arrays[tensor.name] for tensor in self.outputs}
