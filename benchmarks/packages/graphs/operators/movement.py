"""Operators that move elements and compute nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.packages.graphs.maker import Maker, divisors
from benchmarks.packages.graphs.operators.proposal import Array, Proposal


def pad(maker: Maker, name: str) -> Proposal | None:
    """A border in any mode; negative widths cut."""
    shape = maker.values[name].shape
    if not shape:
        return None
    modes = ["constant", "constant", "edge", "reflect"]
    mode = maker.one_of([*modes, "wrap"] if maker.opset >= 19 else modes)
    lowest = 0 if mode == "wrap" else -1
    sizes = [*shape, *shape]
    pads = [maker.whole(lowest, min(2, size - 1)) if maker.chance(0.5) else 0 for size in sizes]
    inputs = [name, maker.constant(pads)]
    if maker.opset >= 18 and maker.chance(0.3):
        axis = maker.whole(0, len(shape) - 1)
        chosen = maker.constant([pads[axis], pads[axis + len(shape)]])
        axes = maker.constant([axis - maker.one_of([0, len(shape)])])
        inputs = [name, chosen, maker.constant(0.4) if mode == "constant" else "", axes]
    elif mode == "constant" and maker.chance(0.5):
        inputs.append(maker.constant(float(maker.one_of([0.0, 1.5, -0.7]))))
    return Proposal("Pad", inputs, {"mode": mode})


def concat(maker: Maker, name: str) -> Proposal | None:
    """Tensors joined along an axis."""
    shape = maker.values[name].shape
    if not shape:
        return None
    axis = maker.one_of([1, 1, *range(len(shape))]) % len(shape)

    def fits(value: Array) -> bool:
        same = [
            a == b or i == axis for i, (a, b) in enumerate(zip(value.shape, shape, strict=False))
        ]
        return value.ndim == len(shape) and all(same)

    fitting = maker.others(fits)
    parts = [name, *(maker.one_of(fitting) for _ in range(maker.whole(1, 3)))]
    if maker.chance(0.2):
        form = [*shape[:axis], maker.whole(1, 4), *shape[axis + 1 :]]
        parts.append(maker.constant(maker.normal(form)))
    maker.random.shuffle(parts)
    return Proposal("Concat", parts, {"axis": axis - maker.one_of([0, len(shape)])})


def split(maker: Maker, name: str) -> Proposal | None:
    """A tensor cut along an axis."""
    shape = maker.values[name].shape
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if not axes:
        return None
    axis = maker.one_of(axes)
    size = shape[axis]
    attributes: dict[str, Any] = {"axis": axis - maker.one_of([0, len(shape)])}
    if maker.chance(0.4):
        parts = maker.one_of([n for n in range(2, size + 1) if size % n == 0 and n <= 5] or [size])
        if maker.opset >= 18:
            attributes["num_outputs"] = parts
        return Proposal("Split", [name], attributes, parts)
    first = maker.whole(1, size - 1)
    return Proposal("Split", [name, maker.constant([first, size - first])], attributes, 2)


def slice_(maker: Maker, name: str) -> Proposal | None:
    """A part of a tensor, backwards and in steps, too."""
    shape = maker.values[name].shape
    if not shape:
        return None
    axes = [axis for axis in range(len(shape)) if maker.chance(0.5)] or [0]
    starts, ends, steps = [], [], []
    for axis in axes:
        size = shape[axis]
        step = maker.one_of([1, 1, 1, 2, 3, -1, -2])
        begin, end = maker.whole(0, (size - 1) // 2), maker.whole((size + 1) // 2, size)
        if step < 0:
            begin, end = end - 1, maker.one_of([begin - 1 - size, -size - 1])
        starts.append(begin - maker.one_of([0, size]) if begin >= 0 else begin)
        ends.append(maker.one_of([end, 2**31]) if step > 0 else end)
        steps.append(step)
    named = [axis - maker.one_of([0, len(shape)]) for axis in axes]
    inputs = [name, *map(maker.constant, (starts, ends, named))]
    if any(step != 1 for step in steps):
        inputs.append(maker.constant(steps))
    return Proposal("Slice", inputs)


def transpose(maker: Maker, name: str) -> Proposal | None:
    """Axes in another order."""
    rank = maker.values[name].ndim
    if rank < 2:
        return None
    if maker.chance(0.1):
        return Proposal("Transpose", [name])
    order = list(map(int, maker.random.permutation(rank)))
    if maker.chance(0.5):
        order = maker.one_of([[0, *range(2, rank), 1], [0, rank - 1, *range(1, rank - 1)]])
    return Proposal("Transpose", [name], {"perm": order})


def reshape(maker: Maker, name: str) -> Proposal | None:
    """The same elements under another shape."""
    shape = list(maker.values[name].shape)
    kind = maker.one_of(["reshape", "reshape", "flatten", "squeeze", "unsqueeze"])
    if kind == "flatten":
        attributes = {"axis": maker.whole(0, len(shape))} if maker.chance(0.7) else {}
        return Proposal("Flatten", [name], attributes)
    if kind == "squeeze":
        axes = [axis for axis, size in enumerate(shape) if size == 1 and maker.chance(0.7)]
        return Proposal("Squeeze", [name, maker.constant(axes)] if axes else [name])
    if kind == "unsqueeze":
        if len(shape) > 4:
            return None
        return Proposal("Unsqueeze", [name, maker.constant([maker.whole(0, len(shape))])])
    size = math.prod(shape)
    wanted = []
    for _ in range(maker.whole(0, 3)):
        part = maker.one_of([1, *divisors(size)])
        wanted.append(part)
        size //= part
    wanted.insert(maker.whole(0, len(wanted)), size)
    if shape and wanted[0] == shape[0] and maker.chance(0.5):
        wanted[0] = 0
    if maker.chance(0.5):
        wanted[maker.whole(0, len(wanted) - 1)] = -1
    return Proposal("Reshape", [name, maker.constant(wanted)])


def repeat(maker: Maker, name: str) -> Proposal | None:
    """Tile or Expand."""
    shape = maker.values[name].shape
    if not shape:
        return None
    if maker.chance(0.5):
        repeats = [maker.one_of([1, 1, 2, 3]) for _ in shape]
        return Proposal("Tile", [name, maker.constant(repeats)])
    wide = [maker.whole(1, 3) if size == 1 else size for size in shape]
    if len(wide) < 5 and maker.chance(0.3):
        wide.insert(0, maker.whole(1, 2))
    return Proposal("Expand", [name, maker.constant(wide)])


def gather(maker: Maker, name: str) -> Proposal | None:
    """Chosen positions along an axis."""
    shape = maker.values[name].shape
    if not shape:
        return None
    axis = maker.whole(0, len(shape) - 1)
    form = maker.one_of([(), (1,), (3,), (2, 2)])
    indices = maker.random.integers(-shape[axis], shape[axis], form)
    inputs = [name, maker.constant(np.asarray(indices, np.int64))]
    return Proposal("Gather", inputs, {"axis": axis - maker.one_of([0, len(shape)])})


def depth(maker: Maker, name: str) -> Proposal | None:
    """Positions become channels, or the other way."""
    shape = maker.values[name].shape
    if len(shape) != 4:
        return None
    if shape[1] % 4 == 0:
        mode = maker.one_of(["DCR", "CRD"])
        return Proposal("DepthToSpace", [name], {"blocksize": 2, "mode": mode})
    return Proposal("SpaceToDepth", [name], {"blocksize": maker.one_of([2, 3])})
