"""The scheduling problem as plain values, and what an order of its operators costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from farm.units import Bytes

_NOTHING = Bytes(0)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: what it needs before it runs and what is there afterwards.

    name: unique in its problem. reads, writes: names of tensors, each once.
    in_place: pairs (a tensor it reads, a tensor it writes) of which the second takes over the
    storage of the first, provided that nobody needs the first afterwards. A tensor that is read
    offers its storage to one that is written at most, which must not be larger.
    scratch: alive in the operator's step only, at least 0.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    in_place: tuple[tuple[str, str], ...] = ()
    scratch: Bytes = _NOTHING


@dataclass(frozen=True, slots=True)
class Problem:
    """Operators to be ordered.

    operators: in the default order, which must be a valid one. sizes: bytes of every tensor, at
    least 0. inputs: tensors that are there before the first step. outputs: tensors that are
    needed after the last.

    A tensor is alive from its producer's step (an input: from the first) to its last reader's
    (an output: to the last), both included; one that nobody reads, in its producer's step.

    Raises ValueError naming the operator and the tensor where one of these rules is broken.
    """

    operators: tuple[Operator, ...]
    sizes: Mapping[str, Bytes]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_unique("operator", (operator.name for operator in self.operators))
        written = [name for operator in self.operators for name in operator.writes]
        _require_unique("tensor", (*self.inputs, *written))
        _check_order(self)
        _check_sizes(self)
        for operator in self.operators:
            _check_in_place(self, operator)


def peak_of(problem: Problem, order: Sequence[str]) -> Bytes:
    """The most bytes alive in one step when the operators run in this order; 0 without any.

    Adds up every step from lifetimes, without anything that a planner computed.

    Raises ValueError when ``order`` is not a valid order of the problem's operators.
    """
    by_name = {operator.name: operator for operator in problem.operators}
    given, wanted = Counter(order), Counter(by_name.keys())
    if given != wanted:
        wrong = ", ".join(sorted((given - wanted) + (wanted - given)))
        raise ValueError(
            f"an order names every operator of its problem once; it does not: {wrong}"
        )
    steps = [by_name[name] for name in order]
    start, end = _lifetimes(problem, steps)
    peak = 0
    for step, operator in enumerate(steps):
        alive = sum(problem.sizes[name] for name in start if start[name] <= step < end[name])
        taken = {new for old, new in operator.in_place if end[old] == step + 1}
        peak = max(peak, alive + operator.scratch - sum(problem.sizes[name] for name in taken))
    return Bytes(peak)


def _lifetimes(
    problem: Problem, steps: Sequence[Operator]
) -> tuple[dict[str, int], dict[str, int]]:
    """First step, and step after the last, of every tensor; outputs end beyond the last step."""
    start = dict.fromkeys(problem.inputs, 0)
    end = dict.fromkeys(problem.inputs, 0)
    for step, operator in enumerate(steps):
        for name in operator.reads:
            if name not in start:
                raise ValueError(f"{operator.name} runs before the operator that writes '{name}'")
            end[name] = step + 1
        for name in operator.writes:
            start[name], end[name] = step, step + 1
    end.update(dict.fromkeys(problem.outputs, len(steps) + 1))
    return start, end


def _require_unique(what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{what} '{name}' occurs {count} times in a problem; expected once")


def _check_order(problem: Problem) -> None:
    there = set(problem.inputs)
    for operator in problem.operators:
        _require_unique(f"among the reads of {operator.name}, tensor", operator.reads)
        for name in operator.reads:
            if name not in there:
                raise ValueError(
                    f"{operator.name} reads '{name}', which no operator before it writes and "
                    "which is no input; give the operators in an order in which they can run"
                )
        there.update(operator.writes)
    for name in problem.outputs:
        if name not in there:
            raise ValueError(f"output '{name}' is neither written by an operator nor an input")


def _check_sizes(problem: Problem) -> None:
    written = (name for operator in problem.operators for name in operator.writes)
    for name in (*problem.inputs, *written):
        if problem.sizes.get(name, -1) < 0:
            given = problem.sizes.get(name, "none")
            raise ValueError(f"tensor '{name}' needs a size of at least 0 bytes; got {given}")
    for operator in problem.operators:
        if operator.scratch < 0:
            raise ValueError(
                f"{operator.name} needs scratch of at least 0 bytes; got {operator.scratch}"
            )


def _check_in_place(problem: Problem, operator: Operator) -> None:
    _require_unique(
        f"among the storage that {operator.name} takes over, tensor",
        (old for old, _ in operator.in_place),
    )
    for old, new in operator.in_place:
        if old not in operator.reads or new not in operator.writes:
            raise ValueError(
                f"{operator.name} must read '{old}' and write '{new}' to put one in place of the "
                "other"
            )
        if problem.sizes[new] > problem.sizes[old]:
            raise ValueError(
                f"'{new}' ({problem.sizes[new]} bytes) cannot be put in place of '{old}' "
                f"({problem.sizes[old]} bytes) by {operator.name}: it is larger"
            )
