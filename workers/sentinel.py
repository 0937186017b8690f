"""The sentinel: a child with a fixed workload that is timed in every block."""

from __future__ import annotations

from farm.errors import InfrastructureError
from workers.children import Children, LoadedChild, Loading
from workers.jobs import Limits
from workers.process import ChildError

_ATTEMPTS = 3


class Sentinel:
    """The sentinel of one worker. It is no candidate: when its child is lost it is started anew."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._child: LoadedChild | None = None

    def ready(self, sample_seconds: float) -> None:
        """Start it if it does not run. Raises InfrastructureError."""
        self._attempt(sample_seconds)

    def seconds(self, sample_seconds: float) -> float:
        """Its latency now. Raises InfrastructureError."""
