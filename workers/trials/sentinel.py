"""The sentinel: a child with a fixed workload that is timed in every block."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from farm.errors import InfrastructureError
from workers.jobs import Limits
from workers.trials.children import Children, LoadedChild, Loading
from workers.trials.process import ChildError

_ATTEMPTS = 3
_T = TypeVar("_T")


class Sentinel:
    """The sentinel of one worker. It is no candidate: a child that is lost is started anew."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._child: LoadedChild | None = None

    def ready(self, sample_seconds: float) -> None:
        """Have it loaded and calibrated. Raises InfrastructureError."""
        self._attempt(sample_seconds, lambda _: None)

    def seconds(self, sample_seconds: float) -> float:
        """Its latency, from one sample. Raises InfrastructureError."""
        return self._attempt(sample_seconds, lambda child: child.sample().seconds)

    def close(self) -> None:
        """End its child."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _attempt(self, sample_seconds: float, step: Callable[[LoadedChild], _T]) -> _T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return step(self._ready_child(sample_seconds))
            except ChildError as error:
                self.close()
                if attempt == _ATTEMPTS:
                    raise InfrastructureError(
                        f"The fixed workload of the blocks failed {attempt} times: {error.message}"
                    ) from None
        raise AssertionError

    def _ready_child(self, sample_seconds: float) -> LoadedChild:
        if self._child is None or not self._child.alive:
            self.close()
            self._child = self._children.load("sentinel", Loading("sentinel", {}), Limits())
        self._child.calibrate(sample_seconds)
        return self._child
