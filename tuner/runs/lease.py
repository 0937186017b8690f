"""Who works on a run: this process, another that lives, or one that is gone.

On one machine a process is there or it is not. Of a process elsewhere only its signs of life are
known: it renews its lease every 10 seconds, and after 60 without one it counts as gone. Should it
wake up later, the store takes nothing more from it.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

import psutil

from db.records import RunLease
from db.store import Store
from farm.errors import LeaseLost, OptionError, StoreError

RENEW_SECONDS = 10.0
STALE_SECONDS = 60.0

_ENDED = "ZX"  # states of a process that is only still listed
_STATE, _START_TIME = 0, 19  # places in /proc/PID/stat, counted behind the program's name


def own_lease(run: str) -> RunLease:
    """A lease of this process, to be taken."""
    pid = os.getpid()
    identity = f"{_process_space()}/{_started(pid)}"
    return RunLease(run, uuid.uuid4().hex, socket.gethostname(), pid, identity)


def is_gone(lease: RunLease, now: datetime) -> bool:
    """Whether the holder of a lease does not work on its run any more. now: the store's time."""
    space, _, started = lease.process.rpartition("/")
    if space and space == _process_space():
        found = _started(lease.pid)
        if found is not None or not psutil.pid_exists(lease.pid):
            return found != started
        # There is such a process, but this user may not look at it.
    return (now - lease.renewed_at).total_seconds() > STALE_SECONDS


def held_error(lease: RunLease) -> OptionError:
    """What is said where another process works on a run."""
    return OptionError(
        f"Run {lease.run} is being run by process {lease.pid} on host {lease.host} since "
        f"{lease.taken_at:%Y-%m-%d %H:%M:%S} UTC; let it end, or end it, before going on."
    )


@contextmanager
def leased(store: Store, run: str) -> Iterator[None]:
    """Hold the lease on a run and renew it now and then; who enters gives it back to the store.

    Raises OptionError: another process works on the run.
    """
    lease = own_lease(run)
    held = store.take_lease(lease, is_gone)
    if held.token != lease.token:
        raise held_error(held)
    stop = Event()
    renewing = Thread(target=_renew, args=(store, stop), name=f"lease of {run}", daemon=True)
    if not store.in_memory:
        renewing.start()
    try:
        yield
    finally:
        stop.set()
        if renewing.is_alive():
            renewing.join()


def _renew(store: Store, stop: Event) -> None:
    while not stop.wait(RENEW_SECONDS):
        try:
            store.renew_lease()
        except LeaseLost:
            return  # who works on the run meets it at the next write
        except StoreError:
            continue  # busy or unreachable for the moment


def _process_space() -> str:
    """Within what a pid names one process: this boot of this machine, and the pid namespace.

    Empty where that cannot be told.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since the boot; "" if it has ended.

    None: it is hidden from this user, or there is none.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[_STATE] in _ENDED else fields[_START_TIME]
