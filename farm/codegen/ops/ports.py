"""Steps between the caller's arrays of quantised numbers and the program's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from farm.codegen.arithmetic import SIGN
from farm.codegen.program import (
    NO_SCRATCH,
    Array,
    Binding,
    Call,
    Loop,
    Mover,
    Pointer,
    Tensor,
    Work,
)
from farm.units import Bytes


@dataclass(frozen=True, slots=True, eq=False)
class Flip(Mover):
    """S8 to U8 or back: the same real numbers, as the zero points are 128 apart."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Every byte."""
        return Work("flip", (Loop("bytes", 1, self.outputs[0].bytes),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The other first bit."""
        return ((inputs[0].view(np.uint8) ^ SIGN).view(self.outputs[0].element.value),)

    def call(self, bind: Binding) -> Call:
        """One call of ``flip``."""
        pointers = (
            Pointer("const void *", bind.tensor(self.inputs[0])),
            Pointer("void *", bind.tensor(self.outputs[0])),
        )
        return Call("flip.h", "flip", pointers, str(self.outputs[0].bytes))
