"""Numbers and truth values of one type as those of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
class Cast(Mover):
    """y = x in y's type, as C converts it.

    Floats become integers towards zero; what does not fit becomes the nearest integer that does,
    and what is no number 0. Wider integers lose their first bits.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Every element."""
        return Work(self._function, (Loop("elements", 1, self.outputs[0].size),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Numpy's conversion, where that is defined."""
        x, dtype = inputs[0], np.dtype(self.outputs[0].element.value)
        if x.dtype.kind == "f" and dtype.kind == "i":
            return (_integers(x, dtype),)
        if dtype.kind == "b":
            return (x != 0,)
        return (x.astype(dtype),)

    def call(self, bind: Binding) -> Call:
        """One call of ``cast_..._to_...``."""
        x, y = self.inputs[0], self.outputs[0]
        pointers = (
            Pointer("const void *", bind.tensor(x)),
            Pointer("void *", bind.tensor(y)),
        )
        return Call("cast.h", self._function, pointers, str(y.size))

    @property
    def _function(self) -> str:
        x, y = self.inputs[0].element, self.outputs[0].element
        assert x is not y
        return f"cast_{x}_to_{y}"


def _integers(x: Array, dtype: np.dtype[np.generic]) -> Array:
    limits = np.iinfo(dtype.name)
    high = x >= np.float32(limits.max)  # the float above the largest integer
    inside = ~high & (x >= np.float32(limits.min))
    integers = np.where(inside, x, 0).astype(dtype)
    integers[high] = limits.max
    integers[x < np.float32(limits.min)] = limits.min
    return integers
