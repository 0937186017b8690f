"""The Ray cluster below the pool: started here, watched, and ended without leaving a process."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Protocol

import psutil
import ray
from ray.exceptions import RayError

from farm.errors import InfrastructureError
from workers.cluster.environment import Files, standing_in
from workers.cluster.reaper import end_with_me

# Ray tells of nodes that died, and of much else, in its own words and colours; the farm says it.
ray._private.worker._worker_logs_enabled = False  # noqa: SLF001  (there is no public way)

# Anything that says "the machinery was lost". What a worker's own code raised arrives as a
# RayTaskError, which is unpacked before these are looked at.
LOSSES = (RayError, ConnectionError)
_START_ATTEMPTS = 3
_ANSWER_SECONDS = 5.0
QUIET: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}


class Cluster(Protocol):
    """What a pool needs of a cluster. ``start`` and ``restore`` raise InfrastructureError."""

    def start(self) -> None:
        """Start or join it, so that it has the devices."""

    def stop(self) -> None:
        """End or leave it."""

    def check(self) -> None:
        """Raise InfrastructureError when it is lost for good."""

    def machine(self, device: str) -> str:
        """What names the machine of a device."""

    def has(self, device: str) -> bool:
        """Whether it can still give a device."""

    def restore(self, device: str) -> bool:
        """Make it give a device again; whether all other devices were lost with it."""


class OwnCluster:
    """A cluster of this process on this machine, with the resource ``device:NAME`` of each device.

    It listens on loopback alone, and never joins another one that happens to run.
    """

    def __init__(self, devices: Iterable[str]) -> None:
        self._resources = {f"device:{name}": 1.0 for name in devices}
        self._ends = ExitStack()

    def start(self) -> None:
        """Start it. Raises InfrastructureError."""
        files = Files()
        self._ends.callback(files.remove)
        options = {"include_dashboard": False, "resources": self._resources}
        place = {"address": "local", "_temp_dir": str(files.sessions)}
        with standing_in(files.shelter), signals_kept(), _without_monitors():
            _init({**QUIET, **options, **place})
        self._ends.callback(_reap, end_with_me(_raylet_children()))

    def stop(self) -> None:
        """End it, and remove its files."""
        ray.shutdown()
        self._ends.close()

    def check(self) -> None:
        """Raise InfrastructureError when it cannot be used any more: it can be started anew."""

    def machine(self, device: str) -> str:
        """This one."""
        del device
        return ""

    def has(self, device: str) -> bool:
        """Whether it can still give a device; waits a few seconds for it."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        with contextlib.suppress(*LOSSES):
            while time.monotonic() < deadline and self._lives():
                resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
                if f"device:{device}" in resources:
                    return True
                time.sleep(0.1)
        return False

    def restore(self, device: str) -> bool:
        """Make it give a device again: it is started anew. Raises InfrastructureError."""
        del device
        self.stop()
        self.start()
        return True

    def _lives(self) -> bool:
        """Whether what this process started is running; the rest is Ray's business."""
        if not ray.is_initialized():
            return False
        started = _local_node().all_processes.values()
        return all(info.process.poll() is None for infos in started for info in infos)


@contextlib.contextmanager
def _without_monitors() -> Iterator[None]:
    """Start neither Ray's autoscaler nor what copies workers' logs: nothing here asks for them."""
    parameter: Any = ray._private.parameter  # noqa: SLF001  (only `ray start` has options for it)
    usual = parameter.RayParams
    parameter.RayParams = partial(usual, no_monitor=True, include_log_monitor=False)
    try:
        yield
    finally:
        parameter.RayParams = usual


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Keep our handler for SIGTERM, in whose place Ray puts its own."""
    terminated = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminated)


def _init(options: dict[str, Any]) -> None:
    """Start Ray; again if it was too slow, which happens on a machine that is very busy.

    Raises InfrastructureError when it does not start three times in a row.
    """
    for attempt in range(1, _START_ATTEMPTS + 1):
        try:
            ray.init(**options)
        except Exception as error:  # noqa: BLE001  (Ray raises this very class)
            ray.shutdown()
            if attempt == _START_ATTEMPTS:
                raise InfrastructureError(
                    f"Ray does not start on this machine: {first_line(error)} "
                    "`--local` does without Ray."
                ) from None
        else:
            return


def first_line(error: BaseException) -> str:
    """What an error of Ray's begins with; the rest is advice for programmers."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))


def _reap(reaper: subprocess.Popen[bytes]) -> None:
    reaper.communicate()


def _raylet_children() -> list[int]:
    """Ray's agents on this machine, and the workers that are idle."""
    with contextlib.suppress(psutil.Error):
        raylets = _local_node().all_processes.get("raylet", [])
        return [c.pid for info in raylets for c in psutil.Process(info.process.pid).children()]
    return []


def _local_node() -> Any:  # noqa: ANN401  (Ray's own record of what it started here)
    return ray._private.worker._global_node  # noqa: SLF001  (there is no public question)
