"""The inner loops of the memory planner, over plain integers.

Every function here works on lists of int as it stands, and on int64 arrays once compiled: tiny
problems run uncompiled, because compiling takes longer than solving them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

FAILED, SOLVED, STOPPED = 0, 1, -1

# A frame of the search: a group of buffers that share sections, directly or through each other.
_GROUP, _COUNT, _SPARE = 0, 1, 2  # where its buffers lie in the pool, how many, what is free
_NEXT, _END = 3, 4  # candidates that were not tried yet
_MARK, _REST = 5, 6  # length of the trail before the candidate; groups that are still to be solved
FRAME_FIELDS = 7


class Ints(Protocol):
    """A list of int or, in compiled code, an array of int64."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...
    def __len__(self) -> int: ...


class Board(NamedTuple):
    """A problem whose buffers are numbered in a fixed order, and the memory that a search needs.

    by_load: 1 where the open load ranks before that order, which then settles ties; 0 where not.
    sizes, first, end: per buffer, its size and the sections ``first <= s < end`` it is alive in.
    twin: per buffer, the next lower number with equal size and sections, or -1.
    members, members_at: buffers of section s are ``members[members_at[s]:members_at[s + 1]]``.
    overlaps, overlaps_at: the same for the buffers that share a section with a buffer.
    state: per buffer its lowest possible offset, then per section the lowest of these among its
    open buffers, then per section the sum of the sizes of its open buffers, then per buffer the
    load that it ranks by, then per buffer whether it is placed. trail: its length, then pairs of
    a position in ``state`` and the value to restore. tried: one value, the placements tried.
    stop: one value, set from outside to end the search.
    """

    by_load: int
    sizes: Ints
    first: Ints
    end: Ints
    twin: Ints
    members: Ints
    members_at: Ints
    overlaps: Ints
    overlaps_at: Ints
    state: Ints
    trail: Ints
    pool: Ints
    candidates: Ints
    frames: Ints
    tried: Ints
    stop: Ints


def search(board: Board, capacity: int, most_nodes: int) -> int:
    """Place all buffers within the capacity: SOLVED, FAILED (impossible) or STOPPED.

    Goes through the placements in which no buffer can be pushed down, lowest offset first. A
    placement of a buffer splits the open ones into groups that share no section; these are ranked
    anew and solved one after another, and when one fails, the placement has failed whatever the
    others do (dynamic decomposition: Moffitt 2023, "MiniMalloc").
    On success the offsets are the first values of ``board.state``. most_nodes: placements tried.
    """
    frames = board.frames
    top = 0
    rank_by_load(board, 0, len(board.sizes))
    open_frame(board, 0)
    for tried in range(most_nodes):
        if board.stop[0] != 0:
            return STOPPED
        board.tried[0] = tried + 1
        while frames[top + _NEXT] == frames[top + _END]:
            if top == 0:
                return FAILED
            top -= FRAME_FIELDS
            undo(board, frames[top + _MARK])
        buffer = board.candidates[frames[top + _NEXT]]
        frames[top + _NEXT] += 1
        if not place(board, top, buffer, capacity):
            undo(board, frames[top + _MARK])
            continue
        list_rest(board, top, buffer)
        while not next_group(board, top):
            if top == 0:
                return SOLVED
            top -= FRAME_FIELDS
        top += FRAME_FIELDS
        open_frame(board, top)
    return STOPPED


def open_frame(board: Board, top: int) -> None:
    """List the candidates of a group in the order of ``comes_before``.

    A candidate starts below the lowest end that any open buffer could have: otherwise that buffer
    would fit underneath, which is at least as good.
    """
    frames, state, candidates = board.frames, board.state, board.candidates
    placed = len(state) - len(board.sizes)
    begin, count = frames[top + _GROUP], frames[top + _COUNT]
    lowest_end = 1 << 62
    for position in range(begin, begin + count):
        buffer = board.pool[position]
        lowest_end = min(lowest_end, state[buffer] + board.sizes[buffer])
    start = frames[top + _NEXT]
    end = start
    for position in range(begin, begin + count):
        buffer = board.pool[position]
        twin = board.twin[buffer]
        if state[buffer] >= lowest_end or (twin >= 0 and state[placed + twin] == 0):
            continue
        slot = end
        while slot > start and comes_before(board, buffer, candidates[slot - 1]):
            candidates[slot] = candidates[slot - 1]
            slot -= 1
        candidates[slot] = buffer
        end += 1
    frames[top + _END] = end
    frames[top + _MARK] = board.trail[0]


def comes_before(board: Board, one: int, two: int) -> bool:
    """Whether a buffer is tried before another: lower offset, then higher load, then number."""
    state = board.state
    if state[one] != state[two]:
        return state[one] < state[two]
    loads = len(state) - 2 * len(board.sizes)
    if state[loads + one] != state[loads + two]:
        return state[loads + one] > state[loads + two]
    return one < two


def rank_by_load(board: Board, group: int, count: int) -> None:
    """Rank a group of the pool anew: by the largest open load of a section that a buffer is in.

    Any ranking leads through all placements, because what must not come later is kept in the
    lowest offsets, by ``place``. Which one leads to an answer soon depends on where the room is
    scarce, and that changes when a group is parted from the others.
    """
    state = board.state
    loads = len(state) - 2 * len(board.sizes)
    totals = loads - (len(board.members_at) - 1)
    if board.by_load == 0:
        return
    for position in range(group, group + count):
        buffer = board.pool[position]
        load = 0
        for section in range(board.first[buffer], board.end[buffer]):
            load = max(load, state[totals + section])
        if load != state[loads + buffer]:
            change(board, loads + buffer, load)


def place(board: Board, top: int, buffer: int, capacity: int) -> bool:
    """Place a buffer at its lowest offset; False where some section then exceeds the capacity.

    Those that come before it must not lie where they could, as that was tried: each of them lies
    on an open buffer, and so higher.
    """
    state = board.state
    buffers, sections = len(board.sizes), len(board.members_at) - 1
    placed = len(state) - buffers
    offset = state[buffer]
    roof = offset + board.sizes[buffer]
    if roof > capacity:
        return False
    change(board, placed + buffer, 1)
    low, high = board.first[buffer], board.end[buffer]
    for section in range(low, high):
        total = buffers + sections + section
        change(board, total, state[total] - board.sizes[buffer])
    for position in range(board.overlaps_at[buffer], board.overlaps_at[buffer + 1]):
        other = board.overlaps[position]
        if state[placed + other] == 0 and state[other] < roof:
            change(board, other, roof)
            low, high = min(low, board.first[other]), max(high, board.end[other])
    group, count = board.frames[top + _GROUP], board.frames[top + _COUNT]
    for position in range(group, group + count):
        other = board.pool[position]
        if state[placed + other] == 0 and comes_before(board, other, buffer):
            support = lowest_support(board, other, offset)
            if support + board.sizes[other] > capacity:
                return False
            change(board, other, support)
            low, high = min(low, board.first[other]), max(high, board.end[other])
    for section in range(low, high):
        lowest = 1 << 62
        for position in range(board.members_at[section], board.members_at[section + 1]):
            other = board.members[position]
            if state[placed + other] == 0 and state[other] < lowest:
                lowest = state[other]
        if lowest != state[buffers + section]:
            change(board, buffers + section, lowest)
    return fits(board, top, offset, capacity)


def lowest_support(board: Board, buffer: int, level: int) -> int:
    """The lowest offset of a buffer that can only lie on one of the open ones at ``level``."""
    state = board.state
    placed = len(state) - len(board.sizes)
    lowest = 1 << 62
    for position in range(board.overlaps_at[buffer], board.overlaps_at[buffer + 1]):
        other = board.overlaps[position]
        if state[placed + other] == 0:
            lowest = min(lowest, max(level, state[other]) + board.sizes[other])
    return lowest


def fits(board: Board, top: int, level: int, capacity: int) -> bool:
    """Whether what is open in every section of the frame's group still fits above ``level``."""
    state, frames = board.state, board.frames
    buffers, sections = len(board.sizes), len(board.members_at) - 1
    group, count = frames[top + _GROUP], frames[top + _COUNT]
    high = 0
    for position in range(group, group + count):
        high = max(high, board.end[board.pool[position]])
    for section in range(board.first[board.pool[group]], high):
        total = state[buffers + sections + section]
        if total > 0 and max(level, state[buffers + section]) + total > capacity:
            return False
    return True


def change(board: Board, position: int, value: int) -> None:
    """Set a value of the state and remember the old one."""
    trail = board.trail
    length = trail[0]
    trail[length + 1] = position
    trail[length + 2] = board.state[position]
    trail[0] = length + 2
    board.state[position] = value


def undo(board: Board, length: int) -> None:
    """Restore the state to when the trail was this long."""
    trail = board.trail
    for entry in range(trail[0], length, -2):
        board.state[trail[entry - 1]] = trail[entry]
    trail[0] = length


def list_rest(board: Board, top: int, buffer: int) -> None:
    """Copy the frame's group without a buffer to the free end of the pool."""
    frames, pool = board.frames, board.pool
    spare = frames[top + _SPARE]
    frames[top + _REST] = spare
    for position in range(frames[top + _GROUP], frames[top + _GROUP] + frames[top + _COUNT]):
        if pool[position] != buffer:
            pool[spare] = pool[position]
            spare += 1


def next_group(board: Board, top: int) -> bool:
    """Prepare the frame above for the next group of the rest; False when none is left.

    A group that is not the whole rest is ranked anew.
    """
    frames, pool = board.frames, board.pool
    begin = frames[top + _REST]
    end = frames[top + _SPARE] + frames[top + _COUNT] - 1
    if begin == end:
        return False
    position = begin
    border = board.end[pool[begin]]
    while position < end and board.first[pool[position]] < border:
        border = max(border, board.end[pool[position]])
        position += 1
    frames[top + _REST] = position
    above = top + FRAME_FIELDS
    frames[above + _GROUP] = begin
    frames[above + _COUNT] = position - begin
    frames[above + _SPARE] = end
    frames[above + _NEXT] = frames[top + _END]
    if position - begin < frames[top + _COUNT] - 1:
        rank_by_load(board, begin, position - begin)
    return True


class Shelf(NamedTuple):
    """Buffers for ``first_fit``, and the memory that it needs.

    sizes, start, end: per buffer, its size and the sections ``start <= s < end`` it is alive in.
    offsets: per buffer, the result. stack: placed buffers, lowest offset first. stop: one value,
    set from outside to end it.
    """

    sizes: Ints
    start: Ints
    end: Ints
    offsets: Ints
    stack: Ints
    stop: Ints


def first_fit(shelf: Shelf, order: Ints, limit: int) -> int:
    """Place buffers in an order, each at the lowest offset that is free in all its sections.

    Returns the height, or ``limit`` as soon as it is reached or the shelf's ``stop`` is set; the
    offsets then are of no use.
    """
    sizes, start, end, offsets, stack, stop = shelf
    height = 0
    for count in range(len(order)):
        if stop[0] != 0:
            return limit
        buffer = order[count]
        offset = 0
        for position in range(count):
            other = stack[position]
            if offsets[other] >= offset + sizes[buffer]:
                break
            if start[other] < end[buffer] and start[buffer] < end[other]:
                offset = max(offset, offsets[other] + sizes[other])
        offsets[buffer] = offset
        height = max(height, offset + sizes[buffer])
        if height >= limit:
            return limit
        slot = count
        while slot > 0 and offsets[stack[slot - 1]] > offset:
            stack[slot] = stack[slot - 1]
            slot -= 1
        stack[slot] = buffer
    return height


def first_fit_in_time(shelf: Shelf, order: Ints) -> int:
    """The same in the order in which buffers begin: takes no longer than the live ones are many.

    Returns the height.
    """
    sizes, start, end, offsets, stack, _ = shelf
    height = live = 0
    for count in range(len(order)):
        buffer = order[count]
        offset = left = 0
        is_found = False
        for position in range(live):
            other = stack[position]
            if end[other] <= start[buffer]:
                continue
            stack[left] = other
            left += 1
            is_found = is_found or offsets[other] >= offset + sizes[buffer]
            if not is_found:
                offset = max(offset, offsets[other] + sizes[other])
        offsets[buffer] = offset
        height = max(height, offset + sizes[buffer])
        slot = left
        while slot > 0 and offsets[stack[slot - 1]] > offset:
            stack[slot] = stack[slot - 1]
            slot -= 1
        stack[slot] = buffer
        live = left + 1
    return height


SEARCH_HELPERS = (
    *(open_frame, comes_before, rank_by_load, place, lowest_support, fits, change, undo),
    *(list_rest, next_group),
)
