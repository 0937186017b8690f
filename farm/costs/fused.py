"""Which operators of a model an engine would run as one kernel, by what it did elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from farm.costs.operators import CostedOperator

Members = tuple[CostedOperator, ...]


class Wiring:
    """Who writes and who reads each tensor of a model's operators.

    outputs: what the caller reads, too.
    """

    def __init__(self, operators: Sequence[CostedOperator], outputs: Iterable[str]) -> None:
        self.operators = tuple(operators)
        self.order = {op.name: at for at, op in enumerate(operators)}
        self._outputs = frozenset(outputs)
        self._readers: dict[str, list[CostedOperator]] = {}
        for op in operators:
            for operand in op.reads:
                self._readers.setdefault(operand.name, []).append(op)

    def following(self, operator: CostedOperator) -> Members:
        """The operators that read what it writes, each once, in the model's order."""
        found = {
            reader.name: reader
            for operand in operator.writes
            for reader in self._readers.get(operand.name, ())
        }
        return tuple(sorted(found.values(), key=lambda op: self.order[op.name]))

    def stays_inside(self, operator: CostedOperator, members: Members) -> bool:
        """Whether nobody but these reads what an operator writes."""
        names = {member.name for member in members}
        return all(
            operand.name not in self._outputs
            and all(reader.name in names for reader in self._readers.get(operand.name, ()))
            for operand in operator.writes
        )


def kernels_of(
    wiring: Wiring, by_signature: Iterable[tuple[str, ...]], by_type: Iterable[tuple[str, ...]]
) -> tuple[Members, ...]:
    """All operators of a model as the kernels that stand for them, in the order of their first.

    by_signature, by_type: operators that one kernel stands for, by their signatures, which come
    first, and by their types.
    """
    found: list[Members] = []
    taken: set[str] = set()
    for members in (
        *occurrences(wiring, lambda op: op.signature, by_signature),
        *occurrences(wiring, lambda op: op.op_type, by_type),
        *((op,) for op in wiring.operators),
    ):
        if taken.isdisjoint(op.name for op in members):
            taken.update(op.name for op in members)
            found.append(members)
    return tuple(sorted(found, key=lambda members: wiring.order[members[0].name]))


def occurrences(
    wiring: Wiring, key: Callable[[CostedOperator], str], patterns: Iterable[tuple[str, ...]]
) -> tuple[Members, ...]:
    """Where a model has operators like those of a pattern, the longest patterns first.

    No operator is in two of them. Each member but the first reads what an earlier one writes, and
    what all but the last write stays among them: otherwise they could not be one kernel.

    key: of an operator, as patterns have it. patterns: keys in the model's order, two at least.
    """
    taken: set[str] = set()
    found: list[Members] = []
    starts: dict[str, list[CostedOperator]] = {}
    for op in wiring.operators:
        starts.setdefault(key(op), []).append(op)
    for pattern in sorted(set(patterns), key=lambda each: (-len(each), each)):
        for first in starts.get(pattern[0], ()):
            members = _grown(wiring, key, pattern, (first,), taken)
            if members:
                taken.update(op.name for op in members)
                found.append(members)
    return tuple(found)


def _grown(
    wiring: Wiring,
    key: Callable[[CostedOperator], str],
    pattern: tuple[str, ...],
    members: Members,
    taken: set[str],
) -> Members:
    """Members for all of a pattern that begin with these; none where there are no such."""
    if any(op.name in taken for op in members):
        return ()
    if len(members) == len(pattern):
        inside = (wiring.stays_inside(op, members) for op in members[:-1])
        return members if all(inside) else ()
    names = {op.name for op in members}
    last = wiring.order[members[-1].name]
    near: Mapping[str, CostedOperator] = {
        op.name: op for member in members for op in wiring.following(member)
    }
    for name in sorted(near, key=wiring.order.__getitem__):
        op = near[name]
        if name not in names and wiring.order[name] > last and key(op) == pattern[len(members)]:
            grown = _grown(wiring, key, pattern, (*members, op), taken)
            if grown:
                return grown
    return ()
