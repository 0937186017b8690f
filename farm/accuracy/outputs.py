"""Outputs of a run, as all measures of accuracy take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Output = Array | tuple[Array, ...]
"""One output: [samples, *shape]; one array per sample where the shape differs between samples."""
Outputs = Sequence[Output]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reference:
    """What the model as the user gave it answered to the samples.

    names: of the outputs, empty if they are not known.
    again: what it answered when it was asked once more; None where it answers the same.
    random: operators that make it answer differently each time.
    """

    outputs: Outputs
    names: tuple[str, ...] = ()
    again: Outputs | None = None
    random: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.outputs[0]) if self.outputs else 0

    def name(self, position: int) -> str:
        """The output at a position, for people."""
        return self.names[position] if position < len(self.names) else f"output {position}"


def is_float(output: Array) -> bool:
    """Whether an output has floating-point numbers."""
    return "float" in output.dtype.name  # bfloat16 is not a float to numpy


def rows(output: Array) -> Array:
    """[samples, values]."""
    return output.reshape(len(output), -1)


def is_class(output: Array) -> bool:
    """One integer per sample: the model gives the class itself."""
    return np.issubdtype(output.dtype, np.integer) and output.size == len(output)


def is_row(output: Array) -> bool:
    """[samples, 1, ..., classes] with at least two classes."""
    return output.ndim >= 2 and output.shape[-1] >= 2 and rows(output).shape[1] == output.shape[-1]


def stacked(per_sample: Sequence[Array]) -> Output:
    """One output from its arrays of all samples."""
    shapes = {array.shape for array in per_sample}
    return np.stack(per_sample) if len(shapes) == 1 else tuple(per_sample)
