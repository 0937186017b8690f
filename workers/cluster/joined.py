"""A head's cluster as a driver uses it: joined through a node of its own, and watched.

When a head dies, Ray ends the driver's process after a minute, without an exception that could be
caught. So the head is watched, and what waits for an answer is told in time.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import ray

from farm.errors import DeviceError, InfrastructureError
from workers.cluster.head import Board, Head, look, reaches
from workers.cluster.lifecycle import LOSSES, QUIET, signals_kept
from workers.cluster.node import Node, member_node, new_name
from workers.cluster.offers import Use, leave, now, offers, take
from workers.cluster.patience import Deadline, patiently

_LOOK_SECONDS = 1.0
# Ray gives up after 60 s; a node is given up by the head after 4.
_PATIENCE_SECONDS = 20.0
_RETURN_SECONDS = 90.0
_LEAVE_SECONDS = 10.0


class JoinedCluster:
    """The cluster of a head, for a driver that uses some of its devices and nobody else then.

    say: takes a sentence when a machine is lost or comes back.
    """

    def __init__(self, head: Head, devices: Iterable[str], say: Callable[[str], None]) -> None:
        self._head = head
        self._say = say
        self._devices = tuple(devices)
        self._ends = ExitStack()
        self._lost = threading.Event()
        self._why = f"The head at {head.address} has not answered for {_PATIENCE_SECONDS:.0f} s."
        self._machines: dict[str, str] = {}
        self._identity = ""  # of the head that was joined

    def start(self) -> None:
        """Join it, and take the devices. Raises OptionError, DeviceError, InfrastructureError."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        board = look(self._head)
        self._identity = board.identity()
        name = new_name("driver")
        node = member_node(self._head, name, lambda name: name in board.living_nodes())
        self._ends.callback(node.stop)
        self._take(board, node)
        self._machines = {made.profile.name: made.address for made in offers(board)}
        with signals_kept():
            # Of the nodes on this machine, the one with these files.
            ray.init(address=self._head.address, _temp_dir=str(node.sessions), **QUIET)
        self._ends.callback(self._leave_ray)
        ended = threading.Event()
        self._ends.callback(ended.set)
        threading.Thread(target=self._watch, args=(ended,), daemon=True).start()

    def stop(self) -> None:
        """Leave it."""
        self._ends.close()

    def check(self) -> None:
        """Raise InfrastructureError when the head is lost."""
        if self._lost.is_set():
            raise InfrastructureError(self._why)

    def machine(self, device: str) -> str:
        """Address of the machine that offered the device when this cluster was joined."""
        return self._machines[device]

    def has(self, device: str) -> bool:
        """Whether a living node offers the device. Raises InfrastructureError without a head."""
        while True:
            self.check()
            try:
                board = look(self._head)
                self._check_identity(board)
                return any(made.profile.name == device for made in offers(board))
            except (OSError, DeviceError, *LOSSES):
                time.sleep(_LOOK_SECONDS)

    def _check_identity(self, board: Board) -> None:
        """Raise InfrastructureError for a head that knows nothing of what is done here."""
        if board.identity() != self._identity:
            self._why = f"The head at {self._head.address} has been started anew meanwhile."
            self._lost.set()
            self.check()

    def restore(self, device: str) -> bool:
        """Wait for the device to come back. Raises InfrastructureError when it does not."""
        self._say(f"The machine of device {device} has left the cluster; waiting for it ...")
        deadline = time.monotonic() + _RETURN_SECONDS
        while not self.has(device):
            if time.monotonic() > deadline:
                raise InfrastructureError(
                    f"The machine of device {device} has left the cluster, and has not come back "
                    f"within {_RETURN_SECONDS:.0f} s."
                )
            time.sleep(_LOOK_SECONDS)
        self._say(f"The machine of device {device} is back.")
        return False

    def _take(self, board: Board, node: Node) -> None:
        user = Use(node.name, platform.node(), os.getpid(), now())
        for device in self._devices:
            take(board, device, user)
            self._ends.callback(self._give_back, device, node.name)

    def _give_back(self, device: str, node: str) -> None:
        with contextlib.suppress(Exception):  # then it is lost with the node that has taken it
            if not self._lost.is_set():
                leave(look(self._head), device, node)

    def _leave_ray(self) -> None:
        """Ray may wait for a head that is lost; this process has no time for that."""
        with contextlib.suppress(TimeoutError):
            patiently(ray.shutdown, Deadline(_LEAVE_SECONDS))

    def _watch(self, ended: threading.Event) -> None:
        last = time.monotonic()
        while not ended.wait(_LOOK_SECONDS):
            try:
                reaches(self._head)
                last = time.monotonic()
            except OSError:
                if time.monotonic() - last > _PATIENCE_SECONDS:
                    self._lost.set()
                    return
