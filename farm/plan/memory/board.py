"""Prepares blocks for the kernels: sections, ranks, and the board that a search works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

from farm.plan.memory.compiled import Kernels
from farm.plan.memory.kernels import FRAME_FIELDS, Board
from farm.plan.memory.sweep import CLASSES, Strip, stack_words


class Item(NamedTuple):
    """A block in whole units: alive in the steps ``start <= t < end``, size above 0."""

    start: int
    end: int
    size: int


class Spans(NamedTuple):
    """Items over sections instead of steps.

    sections: the largest sets of items that are alive together, in the order of time. first,
    end: per item, the sections ``first <= s < end`` that it is in.
    """

    sections: list[list[int]]
    first: list[int]
    end: list[int]


def split(items: Sequence[Item]) -> list[list[int]]:
    """Groups of items that share no step with each other, as positions, in the order of time."""
    groups: list[list[int]] = []
    border = 0
    for position in sorted(range(len(items)), key=lambda position: items[position]):
        item = items[position]
        if not groups or item.start >= border:
            groups.append([])
            border = item.end
        groups[-1].append(position)
        border = max(border, item.end)
    return groups


def spans(items: Sequence[Item]) -> Spans:
    """The sections of items. Two items share a step exactly where they share a section."""
    sections = list(_sections(items))
    first, end = [0] * len(items), [0] * len(items)
    for number, section in enumerate(sections):
        for item in section:
            first[item] = first[item] if end[item] else number
            end[item] = number + 1
    return Spans(sections, first, end)


class Ranking(NamedTuple):
    """In which order a search tries equally low items.

    by_load: whether those in the fullest sections come first, by what is still open there. order:
    the items themselves, which settles ties, or all where ``by_load`` is False.
    """

    by_load: bool
    order: list[int]


def rankings(items: Sequence[Item], layout: Spans) -> list[Ranking]:
    """Orders in which a search tries equally low items; what one is slow on, another one is not.

    Each sorts by some of these, largest first: the largest load in which the item takes part (T),
    its lifetime in steps (L), sections it is in (W), size times lifetime (A), items it shares a
    section with (C). As heuristics of Moffitt 2023, "MiniMalloc", they are T, L, C, A and O.
    """
    loads = [sum(items[item].size for item in section) for section in layout.sections]
    positions = range(len(items))
    within = [range(layout.first[item], layout.end[item]) for item in positions]
    keys: dict[str, list[int]] = {
        "T": [max(loads[section] for section in within[item]) for item in positions],
        "L": [item.end - item.start for item in items],
        "W": [len(within[item]) for item in positions],
        "A": [(item.end - item.start) * item.size for item in items],
        "C": [len(set(chain(*(layout.sections[s] for s in within[item])))) for item in positions],
    }
    return [
        Ranking(by_load, sorted(positions, key=_descending(keys, names)))
        for by_load, names in _RANKINGS
    ]


def make_board(items: Sequence[Item], layout: Spans, ranking: Ranking, k: Kernels) -> Board:
    """A board in the state before the first placement; its buffers are numbered as ranked."""
    count, sections, order = len(items), len(layout.sections), ranking.order
    number = {item: position for position, item in enumerate(order)}
    first = [layout.first[item] for item in order]
    end = [layout.end[item] for item in order]
    members = [sorted(number[item] for item in section) for section in layout.sections]
    overlaps = [
        sorted(set(chain(*members[first[buffer] : end[buffer]])) - {buffer})
        for buffer in range(count)
    ]
    totals = [sum(items[item].size for item in section) for section in layout.sections]
    pairs = count * (count + 1) // 2 + 2 * count  # the sum over all depths of what is open there
    pool, frames = k.zeros(pairs), k.zeros((count + 2) * FRAME_FIELDS)
    for position, buffer in enumerate(sorted(range(count), key=lambda buffer: first[buffer])):
        pool[position] = buffer
    frames[1] = frames[2] = count
    return Board(
        by_load=int(ranking.by_load),
        sizes=k.ints([items[item].size for item in order]),
        first=k.ints(first),
        end=k.ints(end),
        twin=k.ints(_twins(items, order, layout)),
        members=k.ints(list(chain(*members))),
        members_at=k.ints([0, *accumulate(map(len, members))]),
        overlaps=k.ints(list(chain(*overlaps)) or [0]),
        overlaps_at=k.ints([0, *accumulate(map(len, overlaps))]),
        state=k.ints([0] * (count + sections) + totals + [0] * (2 * count)),
        trail=k.zeros(2 * _most_changes(first, end, overlaps, sections) + 1),
        pool=pool,
        candidates=k.zeros(pairs),
        frames=frames,
        tried=k.zeros(1),
        stop=k.zeros(1),
    )


def by_begin(layout: Spans) -> list[int]:
    """Items in the order in which they begin: the one that a strip has them in."""
    return sorted(range(len(layout.first)), key=lambda item: (layout.first[item], item))


def make_strip(items: Sequence[Item], layout: Spans, width: int, k: Kernels) -> Strip:
    """A strip before the sweep. width: stacks to keep, 1 or more."""
    order = by_begin(layout)
    live = max(map(len, layout.sections))
    return Strip(
        sizes=k.ints([items[item].size for item in order]),
        first=k.ints([layout.first[item] for item in order]),
        end=k.ints([layout.end[item] for item in order]),
        live=live,
        width=width,
        stacks=k.zeros((width + width * live + 1) * stack_words(live)),
        classes=k.ints([-1] * CLASSES),
        history=k.zeros(len(items) * width),
        stop=k.zeros(1),
    )


def strip_offsets(strip: Strip, layout: Spans) -> tuple[int, ...]:
    """The lowest offsets of items in the orders that a sweep has found."""
    positions, number = [], 0
    for buffer in reversed(range(len(strip.sizes))):
        number, position = divmod(int(strip.history[buffer * strip.width + number]), strip.live)
        positions.append(position)
    above: list[list[int]] = [[] for _ in positions]
    live: list[int] = []
    for buffer, position in enumerate(reversed(positions)):
        live = [other for other in live if strip.end[other] > strip.first[buffer]]
        live.insert(position, buffer)
        for low, high in pairwise(live[max(position - 1, 0) : position + 2]):
            above[low].append(high)
    sizes = [int(strip.sizes[buffer]) for buffer in range(len(strip.sizes))]
    order = by_begin(layout)
    return tuple(offset for _, offset in sorted(zip(order, _lowest(above, sizes), strict=True)))


_RANKINGS = (
    (True, "LA"), (True, "TWA"), (True, "AW"), (True, "WL"), (False, "CWL"), (False, "CA"),
)  # fmt: skip


def _sections(items: Sequence[Item]) -> Iterator[list[int]]:
    """What lives whenever something ends after something has begun."""
    events = [(item.start, 1, position) for position, item in enumerate(items)]
    events += [(item.end, 0, position) for position, item in enumerate(items)]
    live: set[int] = set()
    has_grown = False
    for _, begins, position in sorted(events):
        if begins:
            live.add(position)
        else:
            if has_grown:
                yield sorted(live)
            live.remove(position)
        has_grown = bool(begins)


def _lowest(above: Sequence[Sequence[int]], sizes: Sequence[int]) -> list[int]:
    """The lowest offsets at which each buffer is on top of those that it is above of."""
    offsets = [0] * len(sizes)
    waiting = [0] * len(sizes)
    for high in chain(*above):
        waiting[high] += 1
    ready = [buffer for buffer, count in enumerate(waiting) if count == 0]
    while ready:
        low = ready.pop()
        for high in above[low]:
            offsets[high] = max(offsets[high], offsets[low] + sizes[low])
            waiting[high] -= 1
            if waiting[high] == 0:
                ready.append(high)
    return offsets


def _descending(keys: dict[str, list[int]], order: str) -> Callable[[int], tuple[int, ...]]:
    return lambda item: (*(-keys[name][item] for name in order), item)


def _most_changes(
    first: Sequence[int], end: Sequence[int], overlaps: Sequence[Sequence[int]], sections: int
) -> int:
    """How many values of the state a search has changed at most when all buffers are placed.

    For each buffer the loads and floors of sections, and once per pair that shares one, what it
    pushes up; for each that is open besides it, that it was passed over or ranked anew.
    """
    count = len(first)
    loads = sum(end) - sum(first)
    pushed = sum(map(len, overlaps)) // 2
    return loads + count * sections + pushed + count * (count + 1)


def _twins(items: Sequence[Item], order: Sequence[int], layout: Spans) -> list[int]:
    """Per number the next lower one with equal size and sections, -1 where there is none."""
    latest: dict[tuple[int, int, int], int] = {}
    twins = []
    for number, item in enumerate(order):
        kind = (items[item].size, layout.first[item], layout.end[item])
        twins.append(latest.get(kind, -1))
        latest[kind] = number
    return twins
