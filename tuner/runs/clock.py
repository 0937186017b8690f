"""The time budget of one device's search, which goes on counting when a run is resumed."""

from __future__ import annotations

import time


class Budget:
    """Seconds of work that are used and left.

    total: seconds. used: what earlier invocations of the same run used.
    """

    def __init__(self, total: float, used: float = 0.0) -> None:
        self.total = total
        self._earlier = used
        self._started = time.monotonic()

    @property
    def used(self) -> float:
        """Seconds used so far."""
        return self._earlier + self.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds since this was made, those of this invocation."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.total - self.used)
