"""Windows that slide over the positions of a float tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import Array

AXES = 3


@dataclass(frozen=True, slots=True)
class Window:
    """One entry per axis of the positions, at most three axes.

    begin, end: elements of padding. Windows may reach beyond the end of the padding.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]

    def literal(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> str:
        """The ``FloatWindow`` of ``kernels/float_window.h`` for these numbers of positions."""
        missing = AXES - len(self.kernel)

        def three(values: tuple[int, ...], fill: int) -> tuple[int, ...]:
            return (*[fill] * missing, *values)

        return shape_literal(
            "FloatWindow",
            input=three(inputs, 1),
            output=three(outputs, 1),
            kernel=three(self.kernel, 1),
            stride=three(self.strides, 1),
            dilation=three(self.dilations, 1),
            pad=three(self.begin, 0),
        )

    def view(self, x: Array, outputs: tuple[int, ...], fill: float) -> Array:
        """What the windows read of x [N, C, *positions]: [N, C, *outputs, *kernel].

        fill: what they read outside of x.
        """
        axes = tuple(range(2, x.ndim))
        reach = self._reach(outputs)
        room = [max(0, r - b - n) for r, b, n in zip(reach, self.begin, x.shape[2:], strict=True)]
        pads = [(0, 0), (0, 0), *zip(self.begin, room, strict=True)]
        padded = np.pad(x, pads, constant_values=fill)
        spans = tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))
        view = sliding_window_view(padded, spans, axis=axes)
        starts = [slice(0, n * s, s) for n, s in zip(outputs, self.strides, strict=True)]
        taps = [slice(None, None, d) for d in self.dilations]
        return view[(slice(None), slice(None), *starts, *taps)]

    def counts(
        self, inputs: tuple[int, ...], outputs: tuple[int, ...], *, with_padding: bool
    ) -> tuple[NDArray[np.int64], ...]:
        """For each axis and output, how many taps lie inside.

        with_padding: inside of the input or its padding.
        """
        counts = []
        for axis, size in enumerate(inputs):
            begin, end = self.begin[axis], self.end[axis]
            low, high = (-begin, size + end) if with_padding else (0, size)
            starts = np.arange(outputs[axis]) * self.strides[axis] - begin
            taps = starts[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]
            counts.append(((taps >= low) & (taps < high)).sum(1))
        return tuple(counts)

    def taps(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[int, ...]:
        """For each axis, the taps inside of the input of all outputs together."""
        counts = self.counts(inputs, outputs, with_padding=False)
        return tuple(int(each.sum()) for each in counts)

    def _reach(self, outputs: tuple[int, ...]) -> list[int]:
        """Elements from the begin of the padding to the end of the last window."""
        parts = zip(outputs, self.kernel, self.strides, self.dilations, strict=True)
        return [(n - 1) * s + (k - 1) * d + 1 for n, k, s, d in parts]
