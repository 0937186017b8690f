"""The inner loops of a sweep through time: exact where few buffers are alive at once.

Between two steps, all that matters of the past is in which order the live buffers lie and how far
apart they must be at least: floor, buffers and ceiling, each distance the longest chain of
buffers, dead or alive, that lie on each other. Such a *stack* is a closed system of difference
constraints (Dill 1989, "Timing assumptions and verification of finite-state concurrent systems"),
so a buffer that dies can be struck out of it without losing anything, and of two stacks in one
order the one with no larger distance is never the worse. How often the sweep ends with a proof
depends on how many buffers are alive at once, not on how many there are.

As in ``kernels``, every function works on lists of int and, once compiled, on int64 arrays.
"""

from __future__ import annotations

from typing import NamedTuple

from farm.plan.memory.kernels import FAILED, SOLVED, STOPPED, Ints

# A stack: these four, its buffers from the floor upwards, its distances row by row: how far one of
# them is above another one at least; above itself, it is 0 from the beginning. In the rows and
# columns, the floor is number 0, then come the buffers, then the ceiling.
_NEXT, _CLASS = 0, 1  # the next stack of the same class, and that class
_SUM = 2  # of all distances: the smaller, the more room there still is
_FROM = 3  # the number of the stack before times ``live``, plus the new buffer's position
_ORDER = 4
CLASSES = 1024  # stacks in one order are in one class


class Strip(NamedTuple):
    """Buffers in the order in which they begin, and the memory that a sweep needs.

    sizes, first, end: per buffer, its size and the sections ``first <= s < end`` it is alive in.
    live: the most buffers that are alive at once. width: stacks that are kept from buffer to
    buffer. stacks: ``width`` that were kept, then those that follow from them. classes: per
    class, the number of the first stack that follows, or -1. history: per buffer and stack kept,
    its ``_FROM``. stop: one value, set from outside to end the sweep.
    """

    sizes: Ints
    first: Ints
    end: Ints
    live: int
    width: int
    stacks: Ints
    classes: Ints
    history: Ints
    stop: Ints


def stack_words(live: int) -> int:
    """Integers in a stack of at most so many buffers."""
    return _ORDER + live + (live + 2) * (live + 2)


def sweep(strip: Strip, height: int) -> int:
    """Place all buffers within the height: SOLVED, FAILED (impossible) or STOPPED.

    Adds one buffer after the other to every stack, at every position. Of more stacks than the
    width, those with most room are kept; if they lead nowhere, the sweep is STOPPED, too. On
    success, the history of the last buffer's first stack is a way to place all.
    """
    words = stack_words(strip.live)
    kept, live, is_exact = 1, 0, True
    strip.stacks[_ORDER + strip.live + 1] = 0  # from the floor to the ceiling
    for buffer in range(len(strip.sizes)):
        if strip.stop[0] != 0:
            return STOPPED
        count, left = 0, live
        for number in range(kept):
            left = remove_ended(strip, number * words, live, strip.first[buffer])
            for position in range(left + 1):
                follower = (strip.width + count) * words
                if insert(strip, number * words, follower, left, buffer, position, height):
                    strip.stacks[follower + _FROM] = number * strip.live + position
                    count += enlist(strip, follower, count, left + 1)
        live = left + 1
        if count == 0:
            return FAILED if is_exact else STOPPED
        is_exact = is_exact and count <= strip.width
        kept = keep(strip, count, buffer)
    return SOLVED


def remove_ended(strip: Strip, stack: int, live: int, section: int) -> int:
    """Take the buffers that end before a section out of a stack; returns how many are left."""
    stacks, stride = strip.stacks, strip.live + 2
    order, table = stack + _ORDER, stack + _ORDER + strip.live
    for ended in range(live, 0, -1):
        if strip.end[stacks[order + ended - 1]] > section:
            continue
        for position in range(ended, live):
            stacks[order + position - 1] = stacks[order + position]
        for low in range(live + 1):
            if low != ended:
                old = table + low * stride
                new = old - stride if low > ended else old
                for high in range(max(low, ended) + 1, live + 2):
                    stacks[new + high - 1] = stacks[old + high]
        live -= 1
    return live


def insert(
    strip: Strip, stack: int, follower: int, live: int, buffer: int, position: int, height: int
) -> bool:
    """Write a stack with one buffer more; False where it is higher than the height.

    position: how many of the stack's buffers lie below the new one.
    """
    stacks, stride, size = strip.stacks, strip.live + 2, strip.sizes[buffer]
    order, table = stack + _ORDER, stack + _ORDER + strip.live
    below = strip.sizes[stacks[order + position - 1]] if position > 0 else 0
    from_above = table + (position + 1) * stride
    to_ceiling = size + stacks[from_above + live + 1]
    if stacks[table + position] + below + to_ceiling > height:
        return False
    new_order = follower + _ORDER
    for place in range(position):
        stacks[new_order + place] = stacks[order + place]
    stacks[new_order + position] = buffer
    for place in range(position, live):
        stacks[new_order + place + 1] = stacks[order + place]
    new = follower + _ORDER + strip.live
    to_buffer = new + position + 1
    from_buffer = new + (position + 1) * stride + 1
    for low in range(position + 1):
        old_row, new_row = table + low * stride, new + low * stride
        to_new = stacks[old_row + position] + below
        stacks[to_buffer + low * stride] = to_new
        for high in range(low, position + 1):
            stacks[new_row + high] = stacks[old_row + high]
        for high in range(position + 1, live + 2):
            through = to_new + size + stacks[from_above + high]
            stacks[new_row + high + 1] = max(stacks[old_row + high], through)
    for low in range(position + 1, live + 2):
        stacks[from_buffer + low] = size + stacks[from_above + low]
        old_row, new_row = table + low * stride, new + (low + 1) * stride + 1
        for high in range(low, live + 2):
            stacks[new_row + high] = stacks[old_row + high]
    stacks[follower + _SUM] = close(stacks, new, stride, live + 1, height)
    return True


def close(stacks: Ints, table: int, stride: int, live: int, height: int) -> int:
    """Complete the distances by what the height implies, so that stacks can be compared.

    Of two buffers, the upper one is at least as far above the other one as its lowest place is
    above the other one's highest. Returns the sum of all distances.
    """
    ceiling = live + 1
    stacks[table + ceiling] = height
    total = height
    for high in range(1, ceiling):
        total += stacks[table + high]
    for low in range(1, ceiling):
        row = table + low * stride
        highest = height - stacks[row + ceiling]
        total += stacks[row + ceiling]
        for high in range(low + 1, ceiling):
            value = max(stacks[row + high], stacks[table + high] - highest)
            stacks[row + high] = value
            total += value
    return total


def enlist(strip: Strip, stack: int, number: int, live: int) -> int:
    """Enter a stack among those that follow; 1 if it is one more, 0 if it replaces one or none."""
    stacks, words = strip.stacks, stack_words(strip.live)
    kind = 0
    for place in range(stack + _ORDER, stack + _ORDER + live):
        kind = (kind * 31 + stacks[place]) % CLASSES
    other = strip.classes[kind]
    while other >= 0:
        rival = (strip.width + other) * words
        if is_no_worse(stacks, rival, stack, live, strip.live):
            return 0
        if is_no_worse(stacks, stack, rival, live, strip.live):
            for word in range(_SUM, words):
                stacks[rival + word] = stacks[stack + word]
            return 0
        other = stacks[rival + _NEXT]
    stacks[stack + _NEXT] = strip.classes[kind]
    stacks[stack + _CLASS] = kind
    strip.classes[kind] = number
    return 1


def is_no_worse(stacks: Ints, one: int, two: int, live: int, most: int) -> bool:
    """Whether two stacks have the same order, and one of them no larger distance.

    most: buffers that a stack can have.
    """
    if stacks[one + _SUM] > stacks[two + _SUM]:
        return False
    for place in range(_ORDER, _ORDER + live):
        if stacks[one + place] != stacks[two + place]:
            return False
    for low in range(live + 1):
        row = _ORDER + most + low * (most + 2)
        for place in range(row + low + 1, row + live + 2):
            if stacks[one + place] > stacks[two + place]:
                return False
    return True


def keep(strip: Strip, count: int, buffer: int) -> int:
    """Go on with the stacks that have the smallest sums, in their order; returns how many."""
    stacks, words = strip.stacks, stack_words(strip.live)
    limit = largest_sum(strip, count)
    kept = 0
    ties = strip.width  # may be kept of those whose sum is the limit
    for number in range(count):
        stack = (strip.width + number) * words
        strip.classes[stacks[stack + _CLASS]] = -1
        ties -= 1 if stacks[stack + _SUM] < limit else 0
    for number in range(count):
        stack = (strip.width + number) * words
        if stacks[stack + _SUM] > limit or (stacks[stack + _SUM] == limit and ties == 0):
            continue
        ties -= 1 if stacks[stack + _SUM] == limit else 0
        for word in range(words):
            stacks[kept * words + word] = stacks[stack + word]
        strip.history[buffer * strip.width + kept] = stacks[stack + _FROM]
        kept += 1
    return kept


def largest_sum(strip: Strip, count: int) -> int:
    """The largest sum among the stacks to be kept, of ``count`` that follow."""
    stacks, words = strip.stacks, stack_words(strip.live)
    low, high = 0, 0
    for number in range(count):
        high = max(high, stacks[(strip.width + number) * words + _SUM])
    if count <= strip.width:
        return high
    while low < high:
        middle = (low + high) // 2
        within = 0
        for number in range(count):
            within += 1 if stacks[(strip.width + number) * words + _SUM] <= middle else 0
        if within >= strip.width:
            high = middle
        else:
            low = middle + 1
    return low


SWEEP_HELPERS = (
    *(stack_words, remove_ended, close, insert, is_no_worse, enlist, largest_sum, keep),
)
