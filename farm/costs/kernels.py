"""Kernels of a profile, brought together by the operators that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from farm.costs.families import Family
from farm.profile.kernels import OperatorProfile

_REORDERS = frozenset({"ReorderInput", "ReorderOutput", "Reorder"})
_CONVERSIONS = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "Convert",
        "Cast",
        "FakeQuantize",
        "farm_quantize",
        "farm_dequantize",
    }
)


@dataclass(frozen=True, slots=True)
class KernelGroup:
    """Operators that an engine runs together, and what that takes.

    operators: names, in the model's order. cost: seconds or packets of their kernels, of what
    converts or reorders for them, too. moved: share of the cost that does. kinds: of the kernels
    that compute, by the engine's own words.
    """

    operators: tuple[str, ...]
    cost: float
    moved: float = 0.0
    kinds: tuple[str, ...] = ()


def moving_family(kind: str) -> Family | None:
    """Whether a kernel of this kind only converts or reorders; None where it computes."""
    if kind in _REORDERS:
        return Family.REORDER
    return Family.CONVERSION if kind in _CONVERSIONS else None


def kernel_groups(
    profile: Sequence[OperatorProfile], own: Mapping[str, str]
) -> tuple[KernelGroup, ...]:
    """The kernels of a profile by groups of operators; kernels without operators are left out.

    Kernels that share an operator are of one group. One that only converts or reorders joins no
    groups: what it takes is shared by those that it stands for.

    own: the type of every operator of the model. A conversion that is an operator of the model
    itself is like any other kernel.
    """
    mapped = [row for row in profile if row.operators]
    order = {name: at for at, name in enumerate(own)}
    moving = [row for row in mapped if _only_moves(row, own)]
    computing = [row for row in mapped if not _only_moves(row, own)]
    groups = [_Group(names) for names in _joined(row.operators for row in computing)]
    by_operator = {name: group for group in groups for name in group.operators}
    for row in computing:
        by_operator[row.operators[0]].add(row)
    for row in moving:
        near = {id(by_operator[n]): by_operator[n] for n in row.operators if n in by_operator}
        for group in near.values():
            group.moved += row.cost / len(near)
    return tuple(group.done(order) for group in groups)


class _Group:
    """A group that is being put together."""

    def __init__(self, operators: Iterable[str]) -> None:
        self.operators = frozenset(operators)
        self.computed, self.moved = 0.0, 0.0
        self.kinds: dict[str, None] = {}

    def add(self, row: OperatorProfile) -> None:
        """Add a kernel that computes."""
        self.computed += row.cost
        self.kinds[row.kind] = None

    def done(self, order: Mapping[str, int]) -> KernelGroup:
        """The group. order: of operators that the model has."""
        names = sorted(self.operators, key=lambda name: (order.get(name, len(order)), name))
        cost = self.computed + self.moved
        share = self.moved / cost if cost else 0.0
        return KernelGroup(tuple(names), cost, share, tuple(self.kinds))


def _only_moves(row: OperatorProfile, own: Mapping[str, str]) -> bool:
    types = {own.get(name, "") for name in row.operators}
    return moving_family(row.kind) is not None and not types & _CONVERSIONS


def _joined(sets: Iterable[tuple[str, ...]]) -> Iterator[frozenset[str]]:
    """Sets of names, those that share one joined."""
    found: list[set[str]] = []
    for names in sets:
        joined = set(names)
        apart = []
        for each in found:
            if joined & each:
                joined |= each
            else:
                apart.append(each)
        found = [*apart, joined]
    yield from map(frozenset, found)
