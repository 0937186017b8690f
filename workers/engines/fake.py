"""The fake engine: it runs nothing, invents its latency, and fails on request, for real.

It lets the farm's own logic be tested in seconds against true crashes, hangs and leaks. Its
provider is called ``fake`` in every record.
"""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from workers.engines.session import Array, EngineError, Feeds, NotAsPlannedError, Session
from workers.protocol import FakeDescription

_CHUNK = 16 << 20


class FakeSession(Session):
    """Pretends to have the latency it was told, with seeded noise around it."""

    def __init__(self, description: FakeDescription) -> None:
        self.assignment = {"fake": 1}
        self._description = description
        self._rng = np.random.default_rng(description.serial + os.getpid())
        if description.fault == "wrong-engine":
            raise NotAsPlannedError("the fake provider did not take 1 of 1 operators: Fake.")
        if description.fault == "error":
            raise EngineError("the fake engine was told to fail.")

    def run(self, feeds: Feeds) -> list[Array]:  # noqa: ARG002
        """Do what the fault says, else return one zero."""
        self._misbehave()
        return [np.zeros((1, 1), dtype=np.float32)]

    def set_feeds(self, feeds: Feeds) -> None:
        """The fake engine has no use for inputs."""

    def timed(self, loops: int) -> int:
        """Invent the time of ``loops`` runs."""
        self._misbehave()
        factor = float(np.exp(self._rng.normal(0.0, self._description.noise)))
        return max(1, int(self._description.seconds * factor * loops * 1e9))

    def _misbehave(self) -> None:
        match self._description.fault:
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hang":
                while True:
                    time.sleep(3600)
            case "out-of-memory":
                hoard = []
                while True:
                    hoard.append(bytearray(_CHUNK))
                    hoard[-1][::4096] = b"x" * (_CHUNK // 4096)
                    time.sleep(0.001)
