"""What the kernels of integer convolutions repeat, by their shapes."""

from __future__ import annotations

from farm.codegen.ops.integer.convolution_geometry import Geometry, Kernel
from farm.codegen.ops.integer.depthwise_three import three_loops
from farm.codegen.ops.integer.packing import LANES
from farm.codegen.ops.integer.pointwise_small import small_loops
from farm.codegen.program import Loop, Work


def convolution_work(shape: Geometry) -> Work:
    """What is repeated for every band of output rows."""
    if shape.kernel is Kernel.DEPTHWISE_THREE:
        height, skips = shape.kernel_shape[2], shape.has_skip
        loops = three_loops(shape.out_shape, height, shape.strides, skips=skips)
        return Work(shape.kernel.value, loops)
    if shape.kernel is Kernel.POINTWISE_SMALL:
        return Work(shape.kernel.value, small_loops(shape.out_shape, shape.kernel_shape[1]))
    whole, rest = divmod(shape.out_shape[2], shape.band)
    loops = _band_loops(shape, whole, shape.band) if whole else ()
    rest_loops = _band_loops(shape, 1, rest) if rest else ()
    return Work(shape.kernel.value, (*loops, *rest_loops))


def _band_loops(shape: Geometry, bands: int, rows: int) -> tuple[Loop, ...]:
    """For so many bands of so many rows. A depthwise one takes its blocks one by one."""
    depthwise = shape.kernel is Kernel.DEPTHWISE
    batch, channels = shape.in_shape[:2]
    groups = -(-channels // 4) if depthwise else shape.kernel_groups
    blocks = 1 if depthwise else -(-channels // groups // 4)
    out_blocks = 1 if depthwise else -(-shape.out_shape[1] // groups // 4)
    products = blocks * shape.rows.planes * shape.rows.taps * shape.words
    positions = rows * shape.out_shape[3]
    calls, plane = bands * batch * groups, 4 * positions
    loops = [
        Loop("bands", calls, plane),
        Loop("products", calls * out_blocks * products, plane),
        Loop("outputs", calls * out_blocks, plane),
    ]
    if shape.has_skip:
        loops.append(Loop("sums", calls * out_blocks, plane))
    if positions < LANES or (shape.has_skip and positions % LANES):
        loops.append(Loop("parts", calls * out_blocks))
    return (*loops, *_column_loops(shape, calls, blocks, rows + shape.reach))


def _column_loops(shape: Geometry, calls: int, blocks: int, rows: int) -> tuple[Loop, ...]:
    """What builds the columns of ``blocks`` blocks, planes of so many rows, in every call."""
    kernel, width = shape.kernel, shape.out_shape[3]
    planes = calls * blocks * shape.rows.planes
    if kernel is Kernel.POINTWISE:
        return ()
    if kernel is Kernel.SINGLE:
        return _window_loops(shape, calls, planes, rows)
    if kernel is Kernel.COLUMNS and (shape.is_straight or shape.is_halved):
        return _near_loops(shape, planes, rows)
    copies = planes * shape.kernel_shape[3]
    loops = [
        Loop("planes", copies, 4 * rows * width),
        Loop("padding", planes * int(shape.outside.sum()), rows),
    ]
    if not shape.is_near:
        loops.append(Loop("picked_rows", copies * rows, width))
    elif shape.strides != (1, 1) or width != shape.in_shape[3]:
        name = "halved_rows" if shape.strides[1] == 2 else "copied_rows"
        loops.append(Loop(name, copies * rows, 4 * width))
    if kernel is Kernel.DEPTHWISE:
        loops.append(Loop("turned", planes * shape.words, 4 * rows * width))
    return tuple(loops)


def _window_loops(shape: Geometry, calls: int, planes: int, rows: int) -> tuple[Loop, ...]:
    """Those of a single channel."""
    width, across = shape.out_shape[3], shape.in_shape[3]
    if shape.are_windows_near:
        copied = Loop("rows", calls, rows * shape.strides[0] * across)
        return copied, Loop("windows", planes * rows * shape.words, 4 * width)
    name = "words" if shape.dilations[1] == 1 else "gathered_words"
    built = Loop(name, planes * rows * shape.words, width)
    return Loop("padded_rows", planes * rows, min(across, shape.padded_width)), built


def _near_loops(shape: Geometry, planes: int, rows: int) -> tuple[Loop, ...]:
    """Those of planes that are built together. Pairs are of ``rows_are_paired``."""
    width, taps = shape.out_shape[3], shape.kernel_shape[3]
    if shape.is_straight:
        return (Loop("straight", planes * taps, 4 * rows * width),)
    if width < LANES:
        return (Loop("halved", planes * taps, 4 * rows * width),)
    if width % LANES == LANES // 2 and shape.pads[1] <= LANES and rows % 2 == 0:
        return (Loop("paired_rows", planes * taps, 4 * rows * width),)
    return (Loop("long_rows", planes * taps * rows, 4 * width),)
