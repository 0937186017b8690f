"""What ``kernels/depthwise_three.h`` takes, and what it repeats."""

from __future__ import annotations

from farm.codegen.ops.integer.packing import LANES, lines
from farm.codegen.program import Loop
from farm.units import Bytes

_MOST_ROWS = 7  # of a kernel
_MOST_OUTSIDE = 3  # rows above and below x: what small images are read beyond by


def takes_three(
    kernel: tuple[int, ...],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    widths: tuple[int, int],
) -> bool:
    """Whether the kernel computes this depthwise convolution.

    Positions and taps of a row must be neighbours where columns are taken one by one or by twos:
    no tap may lie more than one column beside x. widths: of x and of the output.
    """
    if kernel[1] != 3 or kernel[0] > _MOST_ROWS or dilations != (1, 1) or max(strides) > 2:
        return False
    if max(pads[0], pads[2]) > _MOST_OUTSIDE:
        return False
    width, out_width = widths
    if strides[1] == 1:
        return pads[1] == 1 and width == out_width
    return (pads[1] == 1 and width >= 2 * out_width - 1) or (
        pads[1] == 0 and width == 2 * out_width
    )


def three_scratch(out_width: int, stride: int) -> Bytes:
    """A row of x that is all zero points, and six vectors."""
    return lines((out_width * stride + 6 * LANES) * 4)


def three_loops(
    shape: tuple[int, ...], kernel_rows: int, strides: tuple[int, int], *, skips: bool
) -> tuple[Loop, ...]:
    """What is repeated. shape: of the output. skips: whether another tensor is added."""
    batch, channels, height, width = shape
    calls, plane = batch * -(-channels // 4), 4 * height * width
    kind = "" if strides == (1, 1) else "_halved"
    rows = "strips" if 2 * width > LANES else "rows"
    loops = (
        Loop("products", calls * kernel_rows, plane),
        Loop("outputs", calls, plane),
        Loop(f"taps{kind}", calls * kernel_rows, plane),
        Loop(f"{rows}{kind}", calls * height, 4 * width),
    )
    return (*loops, Loop("sums", calls, plane)) if skips else loops
