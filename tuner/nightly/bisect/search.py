"""Where, on a line from a good point to a bad one, it turns bad: binary search that can skip."""

from __future__ import annotations


class Search:
    """A search on points 0 (good) to ``points`` - 1 (bad).

    Ask for the next point, say what it is, until there is none.
    """

    def __init__(self, points: int) -> None:
        """Raise ValueError for fewer than two points."""
        if points < 2:
            raise ValueError(f"a search needs a good and a bad point; got {points}")
        self._good, self._bad = 0, points - 1
        self._skipped: set[int] = set()

    @property
    def last_good(self) -> int:
        """The last point that is known to be good."""
        return self._good

    @property
    def first_bad(self) -> int:
        """The first point that is known to be bad."""
        return self._bad

    @property
    def unknown(self) -> tuple[int, ...]:
        """Points between these two that could not be looked at, in order."""
        return tuple(sorted(at for at in self._skipped if self._good < at < self._bad))

    @property
    def next(self) -> int | None:
        """The point to look at: of those that can be, the one nearest to the middle; or None."""
        between = [at for at in range(self._good + 1, self._bad) if at not in self._skipped]
        middle = (self._good + self._bad) / 2
        return min(between, key=lambda at: abs(at - middle), default=None)

    def take(self, point: int, *, bad: bool | None) -> None:
        """Note what a point is; None where nothing can be said of it."""
        if bad is None:
            self._skipped.add(point)
        elif bad:
            self._bad = min(self._bad, point)
        else:
            self._good = max(self._good, point)


def between(released: tuple[str, ...], good: str, bad: str) -> tuple[str, ...]:
    """The released versions from the good one to the bad one, both included, whichever is newer.

    released: oldest first. Raises ValueError: one of the two is not among them.
    """
    first, last = released.index(good), released.index(bad)
    if first <= last:
        return released[first : last + 1]
    return tuple(reversed(released[last : first + 1]))
