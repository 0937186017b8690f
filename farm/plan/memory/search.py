"""Finds low placements of items that share an arena: greedy, swept, reordered, then exact.

What the answer is does not depend on how fast the machine is or on how many processors it has,
except through the time running out: work is limited by counting, and where several searches run
at once, the first one in their order that succeeded counts, not the first one in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, count, islice
from threading import TIMEOUT_MAX, Timer
from types import TracebackType
from typing import NamedTuple, Self

from farm.host.limits import processors
from farm.plan.memory.board import (
    Item,
    Ranking,
    Spans,
    by_begin,
    make_board,
    make_strip,
    rankings,
    spans,
    strip_offsets,
)
from farm.plan.memory.compiled import PLAIN, Kernels, compiled
from farm.plan.memory.kernels import FAILED, SOLVED, Board, Ints, Shelf

_PLAIN_ITEMS = 64  # up to here the kernels are first tried without compiling them
_PLAIN_NODES = 2_000  # placements that a search tries without being compiled
_FIRST_NODES = 4_000  # placements that a compiled search tries in its first round
_GROWTH = 4  # how many times more in each further round
_NODES_BELOW_CAPACITY = 16_000  # of the last round that lowers what is within the capacity
_SEARCH_ITEMS = 3_000  # beyond, an exact search takes more memory than it is worth
_MANY = 1_000  # items from which on a search that is not over soon hardly ever ends
_NODES_OF_MANY = 16_000  # of the last round that searches so many
_LIVE = 12  # at once; where more items live, a sweep takes longer than it gains
_WIDTHS = (32, 512)  # stacks that the first sweeps keep
_WIDEST = 4096  # that the last ones keep
_MOST_STACKS = 1 << 25  # of all items together, a quarter of a gigabyte
_MOST_SWEPT = 1 << 55  # units of height; the sum of a stack's distances is below 128 times that
_SWEPT_FIRST = 5_000  # items from which on a sweep is faster than trying each order greedily
_REORDERS = 1_000
_REORDER_PAIRS = 20_000_000_000  # pairs of items that may be looked at while reordering
_LONG = 20  # one item in so many is placed before the others, for its long life
_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets of items, in units.

    lower: no placement is lower than this. nodes: placements of single items that the exact
    search tried until it found these offsets, 0 where they were found without it.
    """

    offsets: tuple[int, ...]
    height: int
    lower: int
    nodes: int = 0


class _Answer(NamedTuple):
    """result: SOLVED, FAILED or STOPPED. Where it is SOLVED, the offsets and the nodes to them."""

    result: int
    offsets: tuple[int, ...] = ()
    nodes: int = 0


@dataclass(frozen=True, slots=True)
class Aim:
    """What is asked for, in units.

    goal: lower than this is of no use. capacity: it must not be higher, None for no limit.
    """

    goal: int
    capacity: int | None

    def is_within(self, placement: Placement) -> bool:
        """Whether a placement keeps the capacity; without one, none has done enough."""
        return self.capacity is not None and placement.height <= self.capacity

    def is_settled(self, placement: Placement) -> bool:
        """Whether nothing better is possible or of use."""
        impossible = self.capacity is not None and placement.lower > self.capacity
        return placement.height <= max(self.goal, placement.lower) or impossible


@dataclass(slots=True)
class Alarm:
    """Ends searches after some seconds. over: whether that has happened."""

    seconds: float
    over: bool = False
    _flags: list[Ints] = field(default_factory=list)
    _timer: Timer | None = None

    def __enter__(self) -> Self:
        self.over = self.seconds <= 0
        self._timer = Timer(min(self.seconds, TIMEOUT_MAX), self._ring)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def watch(self, flags: Sequence[Ints]) -> None:
        """Set these flags, instead of those before, when the time has run out."""
        self._flags = list(flags)
        if self.over:
            self._ring()

    def _ring(self) -> None:
        self.over = True
        for flag in self._flags:
            flag[0] = 1


def place_items(
    items: Sequence[Item], aim: Aim, alarm: Alarm, most_nodes: int | None = None
) -> Placement:
    """A low placement of items that are connected in time; at least one of them.

    Ends when it is as low as possible or as the aim asks for, when a search would need more
    nodes than it may, or when the alarm rings, but not before there is some placement. With a
    capacity, it soon ends once that is kept.
    """
    layout = spans(items)
    lower = max(sum(items[item].size for item in section) for section in layout.sections)
    small = len(items) <= _PLAIN_ITEMS
    best = _piled(items, lower)
    if len(items) >= _SWEPT_FIRST:
        best = _placed_in_time(items, layout, best)
        best = _swept(items, layout, best, aim, alarm, _WIDTHS)
        if aim.is_settled(best) or alarm.over:
            return best
    best = _greedy(items, layout, best, aim, alarm, PLAIN if small else compiled())
    if small:
        best = _exact_round(items, best, aim, alarm, partial(_race, items, layout, _PLAIN_NODES))
        if aim.is_within(best):
            return best
    if len(items) < _SWEPT_FIRST:
        best = _swept(items, layout, best, aim, alarm, _WIDTHS)
    if len(items) <= _SEARCH_ITEMS and _most(items, most_nodes) >= _FIRST_NODES:
        ask = partial(_race, items, layout, _FIRST_NODES)
        best = _exact_round(items, best, aim, alarm, ask, most_questions=1)
    if aim.is_settled(best) or alarm.over:
        return best
    best = _reorder(items, layout, best, aim, alarm)
    if most_nodes is None or len(items) * _WIDEST <= most_nodes:
        best = _swept(items, layout, best, aim, alarm, [_WIDEST])
    if len(items) > _SEARCH_ITEMS:
        return best
    for nodes in (_FIRST_NODES * _GROWTH**growth for growth in count(1)):
        if aim.is_settled(best) or alarm.over:
            break
        most = _NODES_BELOW_CAPACITY if aim.is_within(best) else _NO_LIMIT
        if nodes > min(most, _most(items, most_nodes)):
            break
        best = _exact_round(items, best, aim, alarm, partial(_race, items, layout, nodes))
    return best


def _most(items: Sequence[Item], most_nodes: int | None) -> int:
    """Nodes of the last round of exact searches. most_nodes: what is allowed, None for any."""
    most = _NODES_OF_MANY if len(items) > _MANY else _NO_LIMIT
    return most if most_nodes is None else min(most, most_nodes)


def _piled(items: Sequence[Item], lower: int) -> Placement:
    """Each item on top of the one before: high, but a placement."""
    ends = list(accumulate((item.size for item in items), initial=0))
    return Placement(tuple(ends[:-1]), ends[-1], lower)


def _placed_in_time(items: Sequence[Item], layout: Spans, best: Placement) -> Placement:
    """What there is soon, however many items there are."""
    shelf = _shelf(items, layout, compiled())
    height = compiled().first_fit_in_time(shelf, compiled().ints(by_begin(layout)))
    return Placement(_offsets(shelf), height, best.lower)


def _greedy(
    items: Sequence[Item],
    layout: Spans,
    best: Placement,
    aim: Aim,
    alarm: Alarm,
    kernels: Kernels,
) -> Placement:
    """The lowest placement of several orders."""
    shelf = _shelf(items, layout, kernels)
    if len(items) >= _SWEPT_FIRST:
        alarm.watch([shelf.stop])
    for order in _orders(items, layout):
        height = kernels.first_fit(shelf, kernels.ints(order), best.height)
        if height < best.height:
            best = Placement(_offsets(shelf), height, best.lower)
        if aim.is_settled(best) or alarm.over:
            break
    return best


def _orders(items: Sequence[Item], layout: Spans) -> Iterator[list[int]]:
    """Orders in which placing one item after the other often ends low."""
    loads = [sum(items[item].size for item in section) for section in layout.sections]
    load = [max(loads[layout.first[i] : layout.end[i]]) for i in range(len(items))]
    length = [item.end - item.start for item in items]
    size = [item.size for item in items]
    positions = range(len(items))
    short = sorted(length)[-(len(items) // _LONG) - 1]
    yield sorted(positions, key=lambda i: (length[i] <= short, -load[i], -size[i], i))
    yield sorted(positions, key=lambda i: (-load[i], -length[i], -size[i], i))
    yield sorted(positions, key=lambda i: (-size[i], -length[i], i))
    yield sorted(positions, key=lambda i: (-size[i] * length[i], i))
    yield sorted(positions, key=lambda i: (-length[i], -size[i], i))


def _reorder(
    items: Sequence[Item], layout: Spans, best: Placement, aim: Aim, alarm: Alarm
) -> Placement:
    """Place all items again and again, those that ended up too high earlier than before.

    Squeaky wheel optimisation (Joslin and Clements 1999), from two orders in turn.
    """
    kernels = compiled()
    shelf = _shelf(items, layout, kernels)
    alarm.watch([shelf.stop])
    goal = max(aim.goal, best.lower)
    orders = list(islice(_orders(items, layout), 2))
    for attempt in range(min(_REORDERS, _REORDER_PAIRS // len(items) ** 2)):
        if aim.is_settled(best) or alarm.over:
            break
        order = orders[attempt % len(orders)]
        height = kernels.first_fit(shelf, kernels.ints(order), _NO_LIMIT)
        offsets = _offsets(shelf)
        if height < best.height:
            best = Placement(offsets, height, best.lower)
        late = [offsets[item] + items[item].size > goal for item in order]
        ranks = sorted(range(len(order)), key=lambda rank: rank if late[rank] else 2 * rank)
        orders[attempt % len(orders)] = [order[rank] for rank in ranks]
    return best


def _swept(
    items: Sequence[Item],
    layout: Spans,
    best: Placement,
    aim: Aim,
    alarm: Alarm,
    widths: Sequence[int],
) -> Placement:
    """Sweep through time, where few enough items are alive at once. widths: one after another."""
    if max(map(len, layout.sections)) > _LIVE or best.height > _MOST_SWEPT:
        return best
    for width in widths:
        if len(items) * width <= _MOST_STACKS:
            best = _exact_round(items, best, aim, alarm, partial(_sweep, items, layout, width))
    return best


def _sweep(items: Sequence[Item], layout: Spans, width: int, height: int, alarm: Alarm) -> _Answer:
    """One sweep; the result and, if it is SOLVED, the offsets."""
    kernels = compiled()
    strip = make_strip(items, layout, width, kernels)
    alarm.watch([strip.stop])
    result = kernels.sweep(strip, height)
    return _Answer(int(result), strip_offsets(strip, layout) if result == SOLVED else ())


def _exact_round(
    items: Sequence[Item],
    best: Placement,
    aim: Aim,
    alarm: Alarm,
    ask: Callable[[int, Alarm], _Answer],
    most_questions: int = _NO_LIMIT,
) -> Placement:
    """Lower the best placement by asking whether all items fit below given heights.

    The first height is the goal, the others lie halfway between what is proven too low and the
    best. As long as the best exceeds the capacity, the capacity is the only height asked for, and
    the round ends where the answer is not found within the limits of ``ask``.

    ask: from a height and the alarm to an answer. most_questions: calls of it.
    """
    begin = probe = max(aim.goal, best.lower)
    for _ in range(most_questions):
        if probe >= best.height or aim.is_settled(best) or alarm.over:
            break
        asks_capacity = aim.capacity is not None and best.height > aim.capacity
        height = probe if probe == begin else (probe + best.height - 1) // 2
        if asks_capacity and aim.capacity is not None:
            height = aim.capacity
        result, offsets, nodes = ask(height, alarm)
        if result == SOLVED:
            top = max(offset + item.size for offset, item in zip(offsets, items, strict=True))
            best = Placement(offsets, top, best.lower, nodes)
            continue
        if result == FAILED:
            best = replace(best, lower=height + 1)
        elif asks_capacity:
            break
        probe = height + 1
    return best


def _race(items: Sequence[Item], layout: Spans, nodes: int, height: int, alarm: Alarm) -> _Answer:
    """Search with every ranking; the result and, if it is SOLVED, the offsets."""
    plain = nodes <= _PLAIN_NODES
    kernels = PLAIN if plain else compiled()
    orders = rankings(items, layout)
    boards = [make_board(items, layout, order, kernels) for order in orders]
    alarm.watch([board.stop for board in boards])
    if plain:
        results = [_run(boards, number, height, nodes, kernels) for number in range(len(boards))]
    else:
        with ThreadPoolExecutor(min(len(boards), processors())) as pool:
            runs = [
                pool.submit(_run, boards, number, height, nodes, kernels)
                for number in range(len(boards))
            ]
            try:
                results = [run.result() for run in runs]
            finally:  # an interrupted program need not wait for what is still running
                for board in boards:
                    board.stop[0] = 1
    if SOLVED in results:
        winner = results.index(SOLVED)
        board = boards[winner]
        return _Answer(SOLVED, _found(board, orders[winner]), int(board.tried[0]))
    return _Answer(FAILED if FAILED in results else results[0])


def _found(board: Board, ranking: Ranking) -> tuple[int, ...]:
    offsets = {item: int(board.state[number]) for number, item in enumerate(ranking.order)}
    return tuple(offsets[item] for item in range(len(ranking.order)))


def _run(boards: Sequence[Board], number: int, height: int, nodes: int, kernels: Kernels) -> int:
    """One search; a success ends those that come later in the order, a proof ends all others."""
    result = kernels.search(boards[number], height, nodes)
    later = boards if result == FAILED else boards[number + 1 :]
    if result in {SOLVED, FAILED}:
        for board in later:
            board.stop[0] = 1
    return int(result)


def _shelf(items: Sequence[Item], layout: Spans, kernels: Kernels) -> Shelf:
    return Shelf(
        sizes=kernels.ints([item.size for item in items]),
        start=kernels.ints(layout.first),
        end=kernels.ints(layout.end),
        offsets=kernels.zeros(len(items)),
        stack=kernels.zeros(len(items)),
        stop=kernels.zeros(1),
    )


def _offsets(shelf: Shelf) -> tuple[int, ...]:
    return tuple(int(shelf.offsets[item]) for item in range(len(shelf.offsets)))
