"""Who works on a run, and how it is told that nobody does any more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from db.records import RunLease
from db.store import Store
from farm.errors import LeaseLost, OptionError
from tests.db.samples import RUN, fill, trial
from tests.workers.processes import wait_until
from tuner.runs import lease as leases
from tuner.runs.lease import STALE_SECONDS, is_gone, leased, own_lease

IDENTITY = "import tuner.runs.lease as l; print(l.own_lease('').process, flush=True); input()"


@pytest.fixture
def elsewhere() -> Iterator[tuple[subprocess.Popen[str], RunLease]]:
    """A process that holds a lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", IDENTITY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    identity = process.stdout.readline().strip()
    yield process, replace(own_lease(RUN.name), pid=process.pid, process=identity)
    process.kill()
    process.communicate()


def later(lease: RunLease, seconds: float):
    return lease.renewed_at + timedelta(seconds=seconds)


def test_a_process_of_this_machine_is_there_or_not(
    elsewhere: tuple[subprocess.Popen[str], RunLease],
) -> None:
    process, lease = elsewhere
    assert lease.process == f"{leases._process_space()}/{leases._started(process.pid)}"
    assert not is_gone(lease, later(lease, 1e6)), "it lives, whether it gives signs or not"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(lease, later(lease, 0)), "a zombie works on nothing"
    process.wait()
    assert is_gone(lease, later(lease, 0))


def test_a_pid_that_is_used_again_is_another_process() -> None:
    mine = own_lease(RUN.name)
    assert not is_gone(mine, later(mine, 0))
    space, _, _ = mine.process.rpartition("/")
    assert is_gone(replace(mine, process=f"{space}/1"), later(mine, 0))


@pytest.mark.parametrize("process", ["another-boot/4026531836/100", "/100", ""])
def test_of_another_machine_only_signs_of_life_are_known(process: str) -> None:
    """Its pid says nothing: here it is this very process, or there is none of that number."""
    for pid in (os.getpid(), 1 << 22):
        lease = replace(own_lease(RUN.name), process=process, pid=pid)
        assert not is_gone(lease, later(lease, STALE_SECONDS - 1))
        assert is_gone(lease, later(lease, STALE_SECONDS + 1))


def test_a_process_that_may_not_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's, on a machine that hides those: it exists, and that is all."""
    lease = own_lease(RUN.name)
    monkeypatch.setattr(leases, "_started", lambda pid: None)
    assert not is_gone(lease, later(lease, STALE_SECONDS - 1))
    assert is_gone(lease, later(lease, STALE_SECONDS + 1))
    assert is_gone(replace(lease, pid=1 << 22), later(lease, 0)), "none of that number"


def test_a_lease_is_renewed_while_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    with Store.open(str(tmp_path / "farm.db")) as store:
        fill(store)
        with leased(store, RUN.name):
            first = store.leases()[RUN.name]
            until(lambda: store.leases()[RUN.name].renewed_at > first.renewed_at)
            assert first.pid == os.getpid()
            store.release_lease()
        assert store.leases() == {}


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with (
        Store.open(str(tmp_path / "farm.db")) as first,
        Store.open(str(tmp_path / "farm.db")) as second,
    ):
        fill(first)
        with leased(first, RUN.name):
            taken = first.leases()[RUN.name]
            with pytest.raises(OptionError) as refused, leased(second, RUN.name):
                pass
            assert str(refused.value) == (
                f"Run {RUN.name} is being run by process {os.getpid()} on host {taken.host} since "
                f"{taken.taken_at:%Y-%m-%d %H:%M:%S} UTC; let it end, or end it, before going on."
            )
            second.lease_trial(trial())


def test_renewing_ends_where_the_lease_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    with (
        Store.open(str(tmp_path / "farm.db")) as first,
        Store.open(str(tmp_path / "farm.db")) as second,
    ):
        fill(first)
        with leased(first, RUN.name):
            second.take_lease(own_lease(RUN.name), lambda *_: True)
            taken = second.leases()[RUN.name]
            until(lambda: not any(t.name.startswith("lease of") for t in threads()))
            assert second.leases()[RUN.name] == taken, "it is not taken back"
            with pytest.raises(LeaseLost, match=re.escape(RUN.name)):
                first.lease_trial(trial())


def threads():
    import threading

    return threading.enumerate()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    assert wait_until(condition, seconds), "it did not come"
