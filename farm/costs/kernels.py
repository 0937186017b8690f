"""Kernels of a profile, brought together by the operators that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from farm.costs.families import Family, family_of_type
from farm.costs.operators import CostedOperator
from farm.devices.profile import DeviceProfile
from farm.profile.kernels import OperatorProfile
from farm.units import Seconds

_TAKEN_IN = frozenset({Family.ELEMENTWISE, Family.CONVERSION})
_FOLDED = frozenset({Family.CONVOLUTION, Family.PRODUCT, Family.MOVEMENT})
_MOST_OF_A_RUN, _FAR_OFF = 0.3, 2.0
_TRANSPOSE, _GENERATED = "Transpose", "Subgraph"
_REORDERS = frozenset({"ReorderInput", "ReorderOutput", "Reorder"})
_CONVERSIONS = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "Convert",
        "Cast",
        "FakeQuantize",
        "quantize",
        "dequantize",
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


@dataclass(frozen=True, slots=True)
class Wired:
    """An operator of a model. after: names of the operators whose results it reads."""

    op_type: str
    after: tuple[str, ...] = ()


def wired(operators: Iterable[CostedOperator]) -> dict[str, Wired]:
    """Operators by name, in their order."""
    found: dict[str, Wired] = {}
    producers: dict[str, str] = {}
    for op in operators:
        after = (producers[operand.name] for operand in op.reads if operand.name in producers)
        found[op.name] = Wired(op.op_type, tuple(dict.fromkeys(after)))
        producers.update((operand.name, op.name) for operand in op.writes)
    return found


def moving_families(
    profile: Sequence[OperatorProfile], own: Mapping[str, Wired]
) -> tuple[Family | None, ...]:
    """Of each kernel whether it only converts or reorders for others; None where it computes.

    A conversion or transposition that is an operator of the model itself is a kernel like any
    other. OpenVINO converts in generated kernels, too: one whose operators are all computed by
    other kernels does nothing else.
    """
    kinds = [_by_kind(row, own) for row in profile]
    elsewhere = {
        name
        for row, family in zip(profile, kinds, strict=True)
        if family is None and row.kind != _GENERATED
        for name in row.operators
    }
    return tuple(
        Family.CONVERSION
        if row.kind == _GENERATED and row.operators and elsewhere.issuperset(row.operators)
        else family
        for row, family in zip(profile, kinds, strict=True)
    )


def _by_kind(row: OperatorProfile, own: Mapping[str, Wired]) -> Family | None:
    of = {own[name].op_type for name in row.operators if name in own}
    if row.kind in _REORDERS or (row.kind == _TRANSPOSE and _TRANSPOSE not in of):
        return Family.REORDER
    return Family.CONVERSION if row.kind in _CONVERSIONS and not of & _CONVERSIONS else None


def in_seconds(
    rows: Sequence[OperatorProfile], profile: DeviceProfile
) -> tuple[OperatorProfile, ...]:
    """The rows of a profile with seconds, modelled from packets where these were counted."""
    return tuple(_timed(row, profile) for row in rows)


def _timed(row: OperatorProfile, profile: DeviceProfile) -> OperatorProfile:
    if row.seconds is not None or row.packets is None or profile.package is None:
        return row
    return replace(row, seconds=profile.package.seconds(row.packets))


def as_in_a_run(
    rows: Sequence[OperatorProfile], whole: float | None, call: float
) -> tuple[OperatorProfile, ...]:
    """Kernels with the seconds that they have in a run without the profiler; shares stay.

    whole, call: see :func:`run_factor`.
    """
    factor = run_factor(sum(row.seconds or 0.0 for row in rows), whole, call)
    return tuple(
        row if row.seconds is None else replace(row, seconds=Seconds(factor * row.seconds))
        for row in rows
    )


def run_factor(kernels: float, whole: float | None, call: float) -> float:
    """By what kernels are to be multiplied so that they and the call take what a run takes.

    A profiler slows short kernels down, and does not see what engines do between them. Where the
    factor is further off than two, something else ran beside one of them, and it is 1.

    kernels: seconds of all of them. whole: of a run; None where none was measured. call: of a
    call, of which at most ``_MOST_OF_A_RUN`` of the run is believed.
    """
    if whole is None or kernels <= 0.0:
        return 1.0
    factor = (whole - min(call, _MOST_OF_A_RUN * whole)) / kernels
    return factor if 1.0 / _FAR_OFF <= factor <= _FAR_OFF else 1.0


def kernel_groups(
    profile: Sequence[OperatorProfile], own: Mapping[str, Wired]
) -> tuple[KernelGroup, ...]:
    """The kernels of a profile by groups of operators; kernels without operators are left out.

    Kernels that share an operator are of one group. One that only converts or reorders joins no
    groups: what it takes is shared by those that it stands for. An operator that no kernel
    computes was taken in by the kernel whose result it reads, if it is of a family that is. One
    that multiplies or moves was folded into a kernel that reads its result, through others that no
    kernel computes either: OpenVINO calls a convolution by the name of what ends the normalisation
    behind it.

    own: every operator of the model, in its order.
    """
    mapped = [row for row in profile if row.operators]
    families = moving_families(mapped, own)
    moving = [row for row, family in zip(mapped, families, strict=True) if family is not None]
    computing = [row for row, family in zip(mapped, families, strict=True) if family is None]
    groups = [_Group(names) for names in _joined(row.operators for row in computing)]
    by_operator = {name: group for group in groups for name in group.operators}
    _take_in(own, by_operator)
    for row in computing:
        by_operator[row.operators[0]].add(row)
    for row in moving:
        near = {id(by_operator[n]): by_operator[n] for n in row.operators if n in by_operator}
        for group in near.values():
            group.moved += row.cost / len(near)
    order = {name: at for at, name in enumerate(own)}
    return tuple(group.done(order) for group in groups)


def seconds_within(groups: Sequence[KernelGroup], operators: Sequence[str]) -> Seconds:
    """What the kernels of some operators take; of kernels that others share, their share."""
    own = set(operators)
    shares = (group.cost * len(own.intersection(group.operators)) for group in groups)
    return Seconds(sum(s / len(g.operators) for s, g in zip(shares, groups, strict=True)))


def _take_in(own: Mapping[str, Wired], by_operator: dict[str, _Group]) -> None:
    """Add operators that no kernel computes to the groups that took them in."""
    readers: dict[str, list[str]] = {}
    for name, operator in own.items():
        for before in operator.after:
            readers.setdefault(before, []).append(name)
    for name in reversed(tuple(own)):
        if name not in by_operator and family_of_type(own[name].op_type) in _FOLDED:
            chain = _until_computed(name, own, readers, by_operator)
            for each in chain[:-1]:
                by_operator[each] = by_operator[chain[-1]]
                by_operator[each].operators.add(each)
    for name, operator in own.items():
        if name in by_operator or family_of_type(operator.op_type) not in _TAKEN_IN:
            continue
        group = next((by_operator[n] for n in operator.after if n in by_operator), None)
        if group is not None:
            group.operators.add(name)
            by_operator[name] = group


def _until_computed(
    name: str,
    own: Mapping[str, Wired],
    readers: Mapping[str, Sequence[str]],
    by_operator: Mapping[str, _Group],
) -> list[str]:
    """An operator, and what follows it until one that a kernel computes; empty if none does."""
    chain = [name]
    while chain[-1] not in by_operator:
        near = readers.get(chain[-1], ())
        computed = next((each for each in near if each in by_operator), None)
        alone = near[0] if len(near) == 1 else None
        if computed is None and (
            alone is None or family_of_type(own[alone].op_type) not in _TAKEN_IN
        ):
            return []
        chain.append(computed or alone or "")
    return chain


class _Group:
    """A group that is being put together."""

    def __init__(self, operators: Iterable[str]) -> None:
        self.operators = set(operators)
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
