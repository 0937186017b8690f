"""Several machines on this one: network namespaces where that is allowed, else processes.

A machine that is cut off goes on working, and nobody hears of it. In a namespace its cable is
pulled. Without one all of its processes are stopped, which nobody hears of, either.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.tools.command import ROOT, environment


class Machine:
    """One machine, with a folder of its own for stores and caches."""

    def __init__(self, folder: Path, prefix: tuple[str, ...] = (), cable: str = "") -> None:
        self.folder = folder
        self._prefix = prefix
        self._cable = cable
        self._processes: list[subprocess.Popen[str]] = []
        folder.mkdir(exist_ok=True)

    def farm(self, *arguments: object) -> subprocess.Popen[str]:
        """Start the command there."""
        command = [*self._prefix, sys.executable, str(ROOT / "cli.py"), *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, **environment(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self._processes.append(process)
        return process

    def kill(self) -> None:
        """As a power cut does it."""
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def cut(self) -> None:
        """Cut it off the network; what runs there goes on."""
        if self._cable:
            _ip("link", "set", self._cable, "down")
        else:
            self._signal(signal.SIGSTOP)

    def join(self) -> None:
        """Give it the network back."""
        if self._cable:
            _ip("link", "set", self._cable, "up")
        else:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._all():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def _all(self) -> list[psutil.Process]:
        roots = [psutil.Process(p.pid) for p in self._processes if p.poll() is None]
        return [p for root in roots for p in (root, *root.children(recursive=True))]


@contextlib.contextmanager
def machines(folder: Path, count: int) -> Iterator[tuple[str, Machine, list[Machine]]]:
    """This machine's address, this machine, and others that reach it there."""
    names = [f"farm{os.getpid()}n{i}" for i in range(count)]
    here, bridge = Machine(folder / "here"), f"fb{os.getpid()}"
    network = f"10.213.{os.getpid() % 250}"
    others: list[Machine] = []
    try:
        if _can_have_networks(bridge):
            _ip("addr", "add", f"{network}.1/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
            others = [
                _in_namespace(folder, bridge, name, f"{network}.{2 + i}")
                for i, name in enumerate(names)
            ]
            yield f"{network}.1", here, others
        else:
            others = [Machine(folder / name) for name in names]
            yield _own_address(), here, others
    finally:
        for machine in (*others, here):
            machine.join() if machine is not here else None
            machine.kill()
        time.sleep(0.5)  # their reapers take what they started
        for name in names:
            _ip("netns", "del", name, check=False)
        _ip("link", "del", bridge, check=False)


def _in_namespace(folder: Path, bridge: str, name: str, address: str) -> Machine:
    cable = f"fc{address.rsplit('.', 2)[1]}x{address.rsplit('.', 1)[1]}"
    _ip("netns", "add", name)
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("link", "set", cable, "master", bridge, "up")
    _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    for link in ("eth0", "lo"):
        _ip("-n", name, "link", "set", link, "up")
    return Machine(folder / name, ("ip", "netns", "exec", name), cable)


def _can_have_networks(bridge: str) -> bool:
    """Whether this user may make namespaces and links between them."""
    if os.getuid() or shutil.which("ip") is None:
        return False
    probe = f"{bridge}p"
    try:
        _ip("netns", "add", probe)
        _ip("netns", "exec", probe, "true")
        _ip("link", "add", bridge, "type", "bridge")
    except subprocess.CalledProcessError:
        return False
    finally:
        _ip("netns", "del", probe, check=False)
    return True


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # kept for documentation; nothing is sent
        address: str = probe.getsockname()[0]
        return address


def _ip(*arguments: str, check: bool = True) -> None:
    if shutil.which("ip"):
        subprocess.run(["ip", *arguments], check=check, capture_output=True)
