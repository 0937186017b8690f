"""Memory problems: buffers with sizes and lifetimes that have to share an arena."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from farm.errors import PlanError
from farm.units import Bytes

UNALIGNED = Bytes(1)

_AT_THE_BEGINNING = Bytes(0)
_MOST_BYTES = Bytes((1 << 62) - 1)  # offsets and sums of two of them are integers of 64 bits


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes that are needed in the steps ``start <= t < end``.

    id: unique in its problem. size: 0 or more. Raises PlanError: a negative size, no step.
    """

    id: str
    start: int
    end: int
    size: Bytes

    def __post_init__(self) -> None:
        if self.size < 0:
            raise PlanError(
                f"Buffer '{self.id}' has the size {self.size}; it must not be negative."
            )
        if self.start >= self.end:
            raise PlanError(
                f"Buffer '{self.id}' lives from step {self.start} until before step {self.end}; "
                "it must end after it starts."
            )


@dataclass(frozen=True, slots=True)
class Alias:
    """A buffer that has no place of its own.

    Buffer ``id`` begins ``offset`` bytes, 0 or more, into buffer ``of``: a view of it, a part that
    is written where a concatenation wants it, or an output that overwrites the input that dies in
    the same step. That the contents allow this is the caller's promise. The lifetimes must touch.
    """

    id: str
    of: str
    offset: Bytes = _AT_THE_BEGINNING


@dataclass(frozen=True, slots=True)
class Problem:
    """Buffers to be placed so that no two of them share a byte in a step.

    alignment: bytes; every buffer that is not aliased begins at a multiple of it, and the arena
    is as long as a multiple of it. capacity: what the arena may have at most, None for no limit.

    Raises PlanError: an id twice, an alignment below 1, a negative capacity, an alias of nothing,
    of itself, twice, or to a buffer that lives at another time, more bytes than can be planned.
    """

    buffers: tuple[Buffer, ...]
    alignment: Bytes = UNALIGNED
    capacity: Bytes | None = None
    aliases: tuple[Alias, ...] = ()

    def __post_init__(self) -> None:
        if self.alignment < 1:
            raise PlanError(f"The alignment is {self.alignment}; it must be 1 byte or more.")
        if self.capacity is not None and self.capacity < 0:
            raise PlanError(f"The capacity is {self.capacity}; it must not be negative.")
        _refuse_repeated((buffer.id for buffer in self.buffers), "There are {} buffers '{}'.")
        _refuse_repeated((alias.id for alias in self.aliases), "There are {} aliases of '{}'.")
        _refuse_impossible_aliases(self)
        _refuse_too_many_bytes(self)


@dataclass(frozen=True, slots=True)
class Block:
    """Buffers that are placed as one, because aliases tie them to each other.

    It lives in the steps ``start <= t < end``, from the first to the last of its buffers. size: a
    multiple of the alignment. places: where in the block each buffer begins, by id.
    """

    start: int
    end: int
    size: Bytes
    places: Mapping[str, Bytes]


@dataclass(frozen=True, slots=True)
class Peak:
    """The step with the most live bytes: no arena is smaller. blocks: those that live in it."""

    step: int
    size: Bytes
    blocks: tuple[Block, ...]


def merge(problem: Problem) -> tuple[Block, ...]:
    """Aliased buffers joined into blocks, in the order of the buffers that are not aliases."""
    roots = _roots(problem)
    joined: dict[str, list[Buffer]] = {}
    for buffer in problem.buffers:
        joined.setdefault(roots[buffer.id][0], []).append(buffer)
    blocks = []
    for root in (buffer.id for buffer in problem.buffers if buffer.id in joined):
        members = joined[root]
        places = {buffer.id: Bytes(roots[buffer.id][1]) for buffer in members}
        size = max(places[buffer.id] + buffer.size for buffer in members)
        blocks.append(
            Block(
                start=min(buffer.start for buffer in members),
                end=max(buffer.end for buffer in members),
                size=Bytes(-(-size // problem.alignment) * problem.alignment),
                places=places,
            )
        )
    return tuple(blocks)


def load_bound(problem: Problem) -> Bytes:
    """The most bytes that are alive in one step, a lower bound of every arena."""
    return peak(merge(problem)).size


def peak(blocks: Iterable[Block]) -> Peak:
    """The first of the steps with the most live bytes; step 0 with nothing where none is."""
    blocks = tuple(blocks)
    changes: Counter[int] = Counter()
    for block in blocks:
        changes[block.start] += block.size
        changes[block.end] -= block.size
    steps = sorted(changes)
    loads = list(accumulate(changes[step] for step in steps))
    if not steps:
        return Peak(0, Bytes(0), ())
    largest = max(loads)
    step = steps[loads.index(largest)]
    live = tuple(block for block in blocks if block.start <= step < block.end)
    return Peak(step, Bytes(largest), live)


def _refuse_repeated(ids: Iterable[str], message: str) -> None:
    for name, count in Counter(ids).items():
        if count > 1:
            raise PlanError(message.format(count, name) + " Each may be there once.")


def _refuse_impossible_aliases(problem: Problem) -> None:
    buffers = {buffer.id: buffer for buffer in problem.buffers}
    for alias in problem.aliases:
        for name in (alias.id, alias.of):
            if name not in buffers:
                raise PlanError(
                    f"The alias of '{alias.id}' in '{alias.of}' names '{name}', "
                    "and there is no such buffer."
                )
        if alias.offset < 0:
            raise PlanError(f"The alias of '{alias.id}' begins before '{alias.of}' begins.")
        inner, outer = buffers[alias.id], buffers[alias.of]
        if inner.start > outer.end or outer.start > inner.end:
            raise PlanError(
                f"'{alias.id}' cannot lie in '{alias.of}': one of them is dead before the other "
                "one begins."
            )
    _roots(problem)


def _refuse_too_many_bytes(problem: Problem) -> None:
    """So that no height, however bad the placement, is beyond what the planners count with."""
    unit = problem.alignment
    total = sum(-(-buffer.size // unit) * unit for buffer in problem.buffers)
    total += sum(-(-alias.offset // unit) * unit for alias in problem.aliases)
    if total > _MOST_BYTES:
        aligned = f", each rounded up to a multiple of {unit}" if unit > 1 else ""
        raise PlanError(
            f"The buffers have {total} bytes together{aligned}; {_MOST_BYTES} are the most that "
            "can be planned."
        )


def _roots(problem: Problem) -> dict[str, tuple[str, int]]:
    """For each buffer the one that it lies in in the end, and how many bytes into it."""
    aliases = {alias.id: alias for alias in problem.aliases}
    roots: dict[str, tuple[str, int]] = {}
    for buffer in problem.buffers:
        name, offset, seen = buffer.id, 0, {buffer.id}
        while name in aliases:
            name, offset = aliases[name].of, offset + aliases[name].offset
            if name in seen:
                raise PlanError(f"The aliases of '{name}' lead back to itself.")
            seen.add(name)
        roots[buffer.id] = name, offset
    return roots
