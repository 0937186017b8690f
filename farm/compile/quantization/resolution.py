"""Which tensors lose their information in 8 bits: rules over ranges, for packages and QDQ graphs.

Two things lose it. Values far from zero share 256 integers with all that lies between them and
zero, because zero must be exact. And where an operator joins tensors, the wider one decides the
scale of them all. Such tensors stay float.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx.helper import get_attribute_value
from onnx.numpy_helper import to_array

from farm.compile.operators import Facts
from farm.compile.quantization.calibrate import Range

FEWEST_STEPS = 16
"""Steps of a scale that the values of a tensor must lie in, or 8 bits are too few for them.

Rounding makes noise of 1/12 of a squared step. Values that lie in 16 steps, from three standard
deviations below their mean to three above, have a variance of (16 / 6)² steps, so the noise is
1.2 % of what they tell: about the accuracy that a candidate may lose unless told otherwise.
"""

STEPS = 255
"""From one end of a range in 8 bits to the other."""

MOVING = frozenset(
    {
        "Concat",
        "DepthToSpace",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
        "GlobalMaxPool",
        "Identity",
        "MaxPool",
        "Pad",
        "Reshape",
        "Resize",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Upsample",
    }
)
"""Operators whose results have values of their inputs."""

_JOINED = {"Pad": (0,), "ScatterElements": (0, 2), "ScatterND": (0, 2), "Where": (1, 2)}
JOINING = frozenset({"Concat", "Max", "Min", *_JOINED})
"""Operators in whose results values of several inputs, or of one and a constant, lie side by side.

A sum is none: its values have one size, that of the larger operand.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """An operator of a graph, as far as these rules look at it.

    inputs: names of tensors, values of constants, None for what is left out or does not matter.
    outputs: names. axis: of a Softmax, counted from the end.
    """

    name: str
    op_type: str
    inputs: tuple[str | NDArray[Any] | None, ...]
    outputs: tuple[str, ...]
    axis: int = -1

    @property
    def changing(self) -> tuple[str, ...]:
        """The inputs that are no constants."""
        return tuple(each for each in self.inputs if isinstance(each, str))

    @property
    def joined(self) -> tuple[str | NDArray[Any], ...]:
        """The inputs whose values lie side by side in the result; () if it does not join."""
        match self.op_type:
            case "Concat":
                chosen = self.inputs
            case "Max" | "Min":  # a constant is a limit, which may be as small as it likes
                chosen = self.changing
            case _:
                positions = _JOINED.get(self.op_type, ())
                chosen = tuple(self.inputs[i] for i in positions if i < len(self.inputs))
        return tuple(each for each in chosen if each is not None)


def links_of(model: onnx.ModelProto) -> tuple[Link, ...]:
    """The operators of a prepared graph, with the constants that these rules look at."""
    facts = Facts(model)
    return tuple(_link(node, facts) for node in model.graph.node)


def _link(node: onnx.NodeProto, facts: Facts) -> Link:
    looked_at = node.op_type in JOINING | {"Add", "Sub"}

    def given(name: str) -> str | NDArray[Any] | None:
        stored = facts.constants.get(name)
        if stored is None:
            return name or None
        return to_array(stored) if looked_at and facts.is_float(name) else None

    axis = next((get_attribute_value(a) for a in node.attribute if a.name == "axis"), -1)
    rank = len(facts.shape(node.output[0]) or ())
    from_end = axis if axis < 0 else axis - rank
    inputs, outputs = (given(name) for name in node.input), (name for name in node.output if name)
    return Link(node.name, node.op_type, tuple(inputs), tuple(outputs), from_end)


def steps_of(part: Range, whole: Range) -> float:
    """Steps of the scale of a whole range that the values of a part of it lie in."""
    return STEPS * part.spread / whole.width if whole.width > 0 else 0.0


def is_lost(part: Range, whole: Range) -> bool:
    """Whether 8 bits for a whole range are too few for a part that is more than one value."""
    return part.spread > 0 and steps_of(part, whole) < FEWEST_STEPS


def shared_ranges(links: Sequence[Link], ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges in which tensors that an operator only passes on have one in common."""
    groups = _Groups()
    for link in links:
        kept = all(name in ranges for name in link.outputs)
        if link.op_type in MOVING and (kept or link.op_type not in JOINING):
            groups.join([n for n in (*link.changing, *link.outputs) if n in ranges])
    merged: dict[str, Range] = {}
    for name, found in ranges.items():
        root = groups.root(name)
        merged[root] = merged.get(root, found) | found
    return {name: merged[groups.root(name)] for name in ranges}


def lost_in_8_bits(
    links: Sequence[Link],
    ranges: Mapping[str, Range],
    *,
    shared: bool,
    integer: Collection[str] = (),
) -> dict[str, str]:
    """The tensors that 8 bits are too few for, and why; "" where they only pass on others' values.

    links: in the order in which they run. shared: whether operators that only move values have
    one scale for all their tensors. integer: tensors that must be in 8 bits whatever they lose.
    """
    finder = _Finder(links, ranges, shared, frozenset(integer))
    while finder.finds_another():
        pass
    return finder.lost


@dataclass(eq=False)
class _Finder:
    """Takes tensors out of the ranges until 8 bits are enough for all that are left.

    finest: of what joins or passes on lost values, the smallest spread among them.
    """

    links: Sequence[Link]
    ranges: Mapping[str, Range]
    shared: bool
    integer: frozenset[str]
    finest: dict[str, float] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        free = {n: r for n, r in self.ranges.items() if n not in self.integer}
        self.lost = {name: _far(found) for name, found in free.items() if is_lost(found, found)}

    def finds_another(self) -> bool:
        """Lose more results that are too coarse; whether there were any.

        Only up to the next operator that joins: without it, other ranges may be narrower.
        """
        kept = {name: found for name, found in self.ranges.items() if name not in self.lost}
        common = shared_ranges(self.links, kept) if self.shared else kept
        before = len(self.lost)
        for link in self.links:
            joins = link.op_type in JOINING
            for name in filter((kept.keys() - self.integer).__contains__, link.outputs):
                reason = self._coarse(link, (common if joins else kept)[name])
                if reason is not None:
                    self.lost[name] = reason
                    self.finest[name] = min(r.spread for r in self._parts(link) if r.spread > 0)
            if joins and len(self.lost) > before:
                return True
        return len(self.lost) > before

    def _coarse(self, link: Link, whole: Range) -> str | None:
        """Why 8 bits for a range are too few for what a link puts into it; None if not."""
        for given, part in zip(self._given(link), self._parts(link), strict=True):
            if is_lost(part, whole):
                if isinstance(given, str) and link.op_type not in JOINING:
                    return ""
                shown = repr(given) if isinstance(given, str) else "its constant"
                return (
                    f"in 8 bits for all that it joins, {shown} would have "
                    f"{steps_of(part, whole):.2g} of {STEPS} steps"
                )
        return None

    def _given(self, link: Link) -> list[str | NDArray[Any]]:
        if link.op_type in JOINING:
            chosen = link.joined
        else:
            moves = link.op_type in MOVING
            chosen = tuple(name for name in link.changing if moves and name in self.finest)
        return [g for g in chosen if (g in self.ranges if isinstance(g, str) else g.size > 0)]

    def _parts(self, link: Link) -> list[Range]:
        """The ranges of what a link puts side by side, or passes on of what was lost."""
        return [self._part(given) for given in self._given(link)]

    def _part(self, given: str | NDArray[Any]) -> Range:
        if not isinstance(given, str):
            return Range.of(float(given.min()), float(given.max()))
        found = self.ranges[given]
        spread = min(found.spread, self.finest.get(given, found.spread))
        return Range(found.lowest, found.highest, found.width - spread)


def _far(found: Range) -> str:
    """Why a range far from zero is not for 8 bits."""
    ends = (found.lowest, -found.gap) if found.lowest < 0 else (found.gap, found.highest)
    return (
        f"its results lie between {ends[0]:.6g} and {ends[1]:.6g}, in "
        f"{steps_of(found, found):.2g} of the {STEPS} steps that 8 bits have from zero on"
    )


class _Groups:
    """Disjoint sets of names."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root(self, name: str) -> str:
        while (parent := self._parents.get(name, name)) != name:
            name = parent
        return name

    def join(self, names: list[str]) -> None:
        for name in names[1:]:
            self._parents[self.root(name)] = self.root(names[0])
