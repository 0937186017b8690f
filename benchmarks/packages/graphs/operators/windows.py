"""Operators that gather many elements into one: pools, means, Softmax."""

from __future__ import annotations

from typing import Any

from benchmarks.packages.graphs.maker import Maker, random_window
from benchmarks.packages.graphs.operators.proposal import Proposal


def pool(maker: Maker, name: str) -> Proposal | None:
    """Maxima or means of windows."""
    shape = maker.values[name].shape
    op_type = maker.one_of(["MaxPool", "AveragePool"])
    if len(shape) not in (3, 4, 5):
        return None
    window = random_window(maker, shape[2:], with_auto=True)
    kernel = window["kernel_shape"]
    if "pads" in window:
        window["pads"] = [
            min(pad, kernel[i % len(kernel)] - 1) for i, pad in enumerate(window["pads"])
        ]
        if maker.chance(0.4):
            window["ceil_mode"] = 1
    if op_type == "AveragePool":
        if maker.opset < 19:
            window.pop("dilations", None)
        if maker.chance(0.4):
            window["count_include_pad"] = 1
    return Proposal(op_type, [name], window)


def global_pool(maker: Maker, name: str) -> Proposal | None:
    """A maximum or mean of each channel."""
    if maker.values[name].ndim < 3:
        return None
    op_type = maker.one_of(["GlobalAveragePool", "GlobalAveragePool", "GlobalMaxPool"])
    return Proposal(op_type, [name])


def reduce_mean(maker: Maker, name: str) -> Proposal | None:
    """Means over some axes."""
    rank = maker.values[name].ndim
    if rank == 0:
        return None
    axes = [axis - maker.one_of([0, rank]) for axis in range(rank) if maker.chance(0.5)]
    maker.random.shuffle(axes)
    attributes: dict[str, Any] = {"keepdims": maker.whole(0, 1)}
    if maker.opset < 18:
        return Proposal("ReduceMean", [name], attributes | ({"axes": axes} if axes else {}))
    if not axes and maker.chance(0.5):
        attributes["noop_with_empty_axes"] = 1
    inputs = [name, maker.constant(axes)] if axes else [name]
    return Proposal("ReduceMean", inputs, attributes)


def softmax(maker: Maker, name: str) -> Proposal | None:
    """Softmax over any axis."""
    rank = maker.values[name].ndim
    if rank == 0:
        return None
    attributes = {"axis": maker.whole(-rank, rank - 1)} if maker.chance(0.7) else {}
    return Proposal("Softmax", [name], attributes)
