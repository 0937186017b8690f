"""The sums that define a convolution, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from farm.codegen.program import Array


@dataclass(frozen=True, slots=True)
class Window:
    """Where windows lie. pads: top, left, bottom, right. size: of the output, by rows."""

    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    size: tuple[int, ...]


def window_sums(
    x: Array, outside: int, weights: NDArray[np.int8], groups: int, window: Window
) -> Array:
    """Windows of the padded input times the kernel, group by group; int32 [N, O, H', W'].

    x: uint8 [N, C, H, W]. outside: what it is padded with. weights: [O, C / groups, kh, kw].
    """
    top, left, bottom, right = window.pads
    padded = np.pad(
        x.astype(np.int32),
        ((0, 0), (0, 0), (top, bottom), (left, right)),
        constant_values=outside,
    )
    (down, across), (rows, columns) = window.strides, window.dilations
    reach = [(n - 1) * by + 1 for n, by in zip(weights.shape[2:], window.dilations, strict=True)]
    windows = sliding_window_view(padded, reach, (2, 3))[:, :, ::down, ::across, ::rows, ::columns]
    windows = windows[:, :, : window.size[0], : window.size[1]]
    sums = [
        np.einsum("nchwij,ocij->nohw", part, each.astype(np.int32), optimize=True)
        for part, each in zip(
            np.split(windows, groups, 1), np.split(weights, groups, 0), strict=True
        )
    ]
    return np.concatenate(sums, 1)
