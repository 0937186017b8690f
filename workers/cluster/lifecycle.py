"""The Ray cluster below the pool: started here, watched, and ended without leaving a process."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from typing import Any

import psutil
import ray
from ray.exceptions import RayError

from farm.errors import InfrastructureError
from workers.cluster.reaper import end_with_me

# Anything that says "the machinery was lost". What a worker's own code raised arrives as a
# RayTaskError, which is unpacked before these are looked at.
LOSSES = (RayError, ConnectionError)
_START_ATTEMPTS = 3
_ANSWER_SECONDS = 5.0


class Cluster:
    """A cluster that has the resource ``device:NAME`` of every device.

    address: of a running cluster; None starts one on this machine, reachable from it alone.
    """

    def __init__(self, devices: Iterable[str], address: str | None) -> None:
        self._resources = {f"device:{name}": 1.0 for name in devices}
        self._address = address
        self._reaper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or join the one at the address."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
        if self._address is None:
            options |= {"include_dashboard": False, "resources": self._resources}
            options |= {"_node_ip_address": "127.0.0.1"}
        else:
            options["address"] = self._address
        terminated = signal.getsignal(signal.SIGTERM)
        _init(options)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)  # Ray has put its own in its place
        if self._address is None:
            self._reaper = end_with_me(_raylet_children())

    def stop(self) -> None:
        """Leave it, and end it if it was started here."""
        ray.shutdown()
        if self._reaper is not None:
            self._reaper.communicate()
            self._reaper = None

    def answers(self) -> bool:
        """Whether it can still give the resources of every device; waits a few seconds for it."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        with contextlib.suppress(*LOSSES):
            while time.monotonic() < deadline and self._lives():
                resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
                if self._resources.keys() <= resources.keys():
                    return True
                time.sleep(0.1)
        return False

    def _lives(self) -> bool:
        """Whether what this process started is running; the rest is Ray's business."""
        if not ray.is_initialized():
            return False
        node = _local_node() if self._address is None else None
        started = node.all_processes.values() if node is not None else ()
        return all(info.process.poll() is None for infos in started for info in infos)


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
                raise InfrastructureError(f"Ray does not start on this machine: {error}") from None
        else:
            return


def _raylet_children() -> list[int]:
    """Ray's agents on this machine, and the workers that are idle."""
    node = _local_node()
    raylets = node.all_processes.get("raylet", []) if node is not None else []
    with contextlib.suppress(psutil.Error):
        return [c.pid for info in raylets for c in psutil.Process(info.process.pid).children()]
    return []


def _local_node() -> Any:  # noqa: ANN401  (Ray's own record of what it started here)
    return ray._private.worker._global_node  # noqa: SLF001  (there is no public question)
