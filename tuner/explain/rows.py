"""Kernels of two trials, side by side by the operators that they stand for.

Either engine fuses in its own way: what one runs as one kernel another runs as three. So rows are
the smallest sets of operators that no kernel of either side crosses. Conversions cross none: what
they take is a part of the row of the operator that they are made for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tuner.explain.conversions import Operators, is_conversion
from tuner.explain.explanation import OperatorRow, Side, TimedKernel

_BETWEEN = " + "
# The types that have most to do where they are fused with others.
_PRODUCTS = frozenset(
    {"Attention", "Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"}
    | {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
)

Groups = Mapping[str, list[TimedKernel]]


def operator_rows(
    trial: Side, against: Side | None, operators: Operators
) -> tuple[OperatorRow, ...]:
    """Every kernel of both sides in exactly one row, in the order in which the trial runs them.

    operators: of the model, in its order; empty where they are unknown.
    """
    sides = [trial, *([against] if against else [])]
    leaders = _leaders(sides, operators)
    ours, theirs = _grouped(trial, leaders), _grouped(against, leaders) if against else {}
    members: dict[str, list[str]] = defaultdict(list)
    for name in _in_order(leaders, operators):
        members[leaders[name]].append(name)
    return tuple(
        _row(members.get(group, []), trial, ours, against, theirs, operators, group)
        for group in dict.fromkeys((*ours, *theirs))
    )


def kinds_by_time(kernels: Iterable[TimedKernel]) -> dict[str, float]:
    """Seconds by the kind of kernel, the longest first."""
    seconds: dict[str, float] = defaultdict(float)
    for kernel in kernels:
        seconds[kernel.kind] += kernel.seconds
    return dict(sorted(seconds.items(), key=lambda each: -each[1]))


def first_kind(kernel: str) -> str:
    """The kind that takes longest, of a row's ``kernel``."""
    return kernel.split(_BETWEEN, maxsplit=1)[0]


def kinds_in(kernel: str) -> list[str]:
    """All kinds of a row's ``kernel``, the longest first."""
    return kernel.split(_BETWEEN) if kernel else []


def _leaders(sides: Sequence[Side], operators: Operators) -> Mapping[str, str]:
    """For every operator the one that stands for its group."""
    leaders: dict[str, str] = {}

    def find(name: str) -> str:
        leaders.setdefault(name, name)
        while leaders[name] != name:
            leaders[name] = leaders[leaders[name]]
            name = leaders[name]
        return name

    for kernel in (kernel for side in sides for kernel in side.kernels):
        crossing = kernel.operators[:1] if is_conversion(kernel, operators) else kernel.operators
        for name in crossing:
            leaders[find(name)] = find(kernel.operators[0])
    return {name: find(name) for name in list(leaders)}


def _grouped(side: Side, leaders: Mapping[str, str]) -> Groups:
    """A side's kernels by their group, "" for those that are not mapped."""
    groups: dict[str, list[TimedKernel]] = defaultdict(list)
    for kernel in side.kernels:
        groups[leaders[kernel.operators[0]] if kernel.operators else ""].append(kernel)
    return groups


def _in_order(names: Iterable[str], operators: Operators) -> list[str]:
    """By the model's order where it is known, else as the kernels name them."""
    place = {name: at for at, name in enumerate(operators)}
    return sorted(names, key=lambda name: place.get(name, len(place)))


def _row(
    names: Sequence[str],
    trial: Side,
    ours: Groups,
    against: Side | None,
    theirs: Groups,
    operators: Operators,
    group: str,
) -> OperatorRow:
    types = {name: operators[name].op_type for name in names if name in operators}
    name = next((n for n in names if types.get(n) in _PRODUCTS), next(iter(names), ""))
    own = kinds_by_time(ours.get(group, ()))
    other = kinds_by_time(theirs.get(group, ())) if against else {}
    seconds = sum(own.values())
    compared = against is not None and bool(against.kernels)
    return OperatorRow(
        name,
        types.get(name, ""),
        tuple(each for each in names if each != name),
        trial.place,
        _BETWEEN.join(own),
        seconds,
        trial.share(seconds),
        against.place if against and compared else "",
        _BETWEEN.join(other),
        sum(other.values()) if compared else None,
    )
