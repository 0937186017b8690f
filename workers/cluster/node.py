"""A Ray node in processes of its own: a head, a worker's, or the one that a driver joins through.

``ray start`` does the work. It is started in a session of its own, so that Ctrl-C reaches the
farm alone, and it ends with the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from farm import __version__
from farm.errors import InfrastructureError
from workers.cluster.environment import Files, variables_in
from workers.cluster.head import Head, reaches
from workers.cluster.reaper import end_with_me

_START_SECONDS = 60.0
_END_SECONDS = 10.0
_POLL_SECONDS = 0.1
# A node that does not answer the head for so long is dead; Ray by itself waits for a minute.
_HEALTH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "4",
}


class Node:
    """One Ray node. name: its label, unlike that of any other node.

    Raises InfrastructureError when it does not start. What it is ready for is asked of ``ready``.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        ready: Callable[[str], bool],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._ends = ExitStack()
        self._files = Files()
        self._ends.callback(self._files.remove)
        self._log = self._files.sessions / "ray-start.log"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        common = ["--disable-usage-stats", "--include-log-monitor=false"]
        common += [
            f"--temp-dir={self._files.sessions}",
            f"--labels=farm={__version__},farm-node={name}",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *common, *arguments],
                cwd=self._files.shelter,
                env={**variables_in(self._files.shelter), **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._reaper = end_with_me([self._process.pid])
        try:
            self._wait(ready)
        except BaseException:
            self.stop()
            raise

    @property
    def sessions(self) -> Path:
        """Where it keeps its files, unlike any other node: a driver finds it by that."""
        return self._files.sessions

    @property
    def alive(self) -> bool:
        """Whether it runs. The head may think otherwise, of a node that was cut off."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it with all it started; again does nothing."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._reaper.communicate()
        self._process.wait()
        self._ends.close()

    def _wait(self, ready: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready(self.name):
            if not self.alive or time.monotonic() > deadline:
                raise InfrastructureError(f"Ray does not start on this machine: {self._reason()}")
            time.sleep(_POLL_SECONDS)
        agents = psutil.Process(self._process.pid).children(recursive=True)
        reaper, self._reaper = (
            self._reaper,
            end_with_me([self._process.pid, *(int(a.pid) for a in agents)]),
        )
        reaper.kill()  # it knew less
        reaper.communicate()

    def _reason(self) -> str:
        """The last line in which it speaks of an error, or the last one."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if line.strip()] or ["it says nothing"]
        errors = [line for line in told if "Error" in line or "ERR" in line]
        return (errors or told)[-1].strip()


def head_node(host: str, port: int, token: Path) -> Node:
    """Start a head at an address of this machine, which all others can reach."""
    head = Head(host, port, token)
    arguments = ["--head", f"--node-ip-address={host}", f"--port={port}", "--num-cpus=0"]
    arguments += ["--include-dashboard=false", "--no-monitor"]

    def answers(_: str) -> bool:
        with contextlib.suppress(OSError):
            return bool(reaches(head))
        return False

    return Node(new_name("head"), arguments, answers, _HEALTH)


def member_node(
    head: Head, name: str, alive: Callable[[str], bool], devices: Sequence[str] = ()
) -> Node:
    """Join a head's cluster. devices: what this node has; none for a driver's.

    alive: whether the head takes a node of this name for alive.
    """
    arguments = [f"--address={head.address}", f"--node-ip-address={reaches(head)}"]
    if devices:
        resources = {f"device:{device}": 1.0 for device in devices}
        arguments += [f"--resources={json.dumps(resources)}"]
    else:
        arguments += ["--num-cpus=0", "--num-gpus=0"]
    return Node(name, arguments, alive)


def new_name(role: str) -> str:
    """A name that no other node has; it begins with what the node is for."""
    return f"{role}-{uuid.uuid4().hex[:12]}"
