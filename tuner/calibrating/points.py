"""From the profile of a probe to kernels with their work: what a roofline is fitted to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from farm.costs.calibration import Pattern
from farm.costs.families import Family
from farm.costs.fit import Point
from farm.costs.kernels import kernel_groups, moving_families, wired
from farm.costs.operators import CostedOperator, Operand
from farm.costs.work import conversion_work, kernel_work, reorder_work
from farm.profile.kernels import OperatorProfile
from farm.units import Seconds
from tuner.calibrating.workloads import Probed


@dataclass(frozen=True, slots=True)
class Found:
    """What the profile of one probe shows. patterns: types that one kernel stands for."""

    points: tuple[Point, ...] = ()
    patterns: tuple[Pattern, ...] = ()


def points_of(rows: Sequence[OperatorProfile], probe: Probed, precision: str) -> Found:
    """The kernels of a profile with their work; those that stand for nothing are left out.

    rows: in seconds. precision: of the place.
    """
    operators = probe.operators
    points, patterns = [], []
    for group in kernel_groups(rows, wired(operators.values())):
        members = [operators[name] for name in group.operators if name in operators]
        if members:
            seconds = Seconds(group.cost * (1.0 - group.moved))
            points.append(Point(kernel_work(members, precision), seconds, group.kinds[0]))
            patterns.append(tuple(op.op_type for op in members))
    return Found((*points, *_moving(rows, operators, precision)), tuple(patterns))


def _moving(
    rows: Sequence[OperatorProfile], operators: Mapping[str, CostedOperator], precision: str
) -> Iterator[Point]:
    """Kernels that only convert or reorder: before what they do it for, or after it."""
    computed: set[str] = set()
    families = moving_families(rows, wired(operators.values()))
    for row, family in zip(rows, families, strict=True):
        members = [operators[name] for name in row.operators if name in operators]
        if family is None:
            computed.update(row.operators)
        elif members:
            operand = _moved(members, after=not computed.isdisjoint(row.operators))
            work = reorder_work if family is Family.REORDER else conversion_work
            if operand is not None:
                yield Point(work(operand, precision), Seconds(row.cost), row.kind)


def _moved(members: Sequence[CostedOperator], *, after: bool) -> Operand | None:
    """The tensor that a kernel takes to some operators, or that it takes from them."""
    if after:
        return members[-1].writes[0]
    return next((operand for operand in members[0].reads if not operand.stored), None)
