"""Runs that may be removed from a store, and what goes with them, whatever database it is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from db.records import RunLease, RunStatus, utc_now
from db.removal import old_runs
from db.store import Store
from farm.errors import LeaseLost, NotInStore, StoreError
from farm.measurement import Outcome
from tests.db.samples import (
    LATENCY,
    MACHINE,
    MODEL,
    PROFILE,
    RUN,
    SLOW,
    START,
    block,
    fill,
    trial,
)

LEASE = RunLease(RUN.name, "mine", "bench-1", 11, "boot/1/100")


def gone(*_: object) -> bool:
    return True


def works(*_: object) -> bool:
    return False


@pytest.fixture
def filled(store: Store) -> Store:
    return fill(store)


def test_a_run_is_deleted_with_all_that_hangs_on_it(filled: Store) -> None:
    other = replace(RUN, name="other")
    filled.create_run(other)
    for each in (trial(0), trial(1, SLOW), trial(2, run=other)):
        filled.lease_trial(each)
        filled.commit_trial(each.id, Outcome.OK, measurements=[LATENCY])
        filled.add_profile(each.id, PROFILE)
    filled.add_block(block(0, "trial-1", "trial-0"))
    filled.add_block(replace(block(0, "trial-2"), run="other"))
    filled.delete_run(RUN.name, gone)
    filled.compact()
    assert [run.name for run in filled.runs()] == ["other"]
    assert [each.id for each in filled.trials()] == ["trial-2"]
    assert filled.measurements("trial-0") == ()
    assert filled.measurements("trial-2") == (LATENCY,)
    assert (filled.profile("trial-0"), filled.profile("trial-2")) == ((), PROFILE)
    assert filled.blocks(RUN.name, "cpu") == ()
    assert len(filled.blocks("other", "cpu")) == 1
    assert filled.model(MODEL.sha256) == MODEL
    assert filled.machine(MACHINE.id) == MACHINE
    assert filled.candidate(SLOW.id) == SLOW
    with pytest.raises(NotInStore, match=f"no run '{RUN.name}'"):
        filled.delete_run(RUN.name, gone)


@pytest.mark.parametrize("status", RunStatus)
def test_a_run_that_a_process_works_on_is_never_deleted(filled: Store, status: RunStatus) -> None:
    """Whatever its status: one that is taken up again is interrupted for another moment."""
    filled.take_lease(LEASE, gone)
    filled.update_run(RUN.name, status=status)
    said = (
        f"^Run {RUN.name} in the store at .* is being run by process 11 on host bench-1, "
        "and is not deleted.$"
    )
    with pytest.raises(StoreError, match=said):
        filled.delete_run(RUN.name, works)
    assert filled.run(RUN.name).status is status
    assert old_runs(filled, utc_now() + timedelta(days=1), works) == ()


def test_a_run_whose_process_was_killed_is_old_from_its_last_sign_of_life(filled: Store) -> None:
    lease = filled.take_lease(LEASE, gone)
    assert filled.run(RUN.name).status is RunStatus.RUNNING
    assert old_runs(filled, lease.renewed_at, gone) == ()
    (old,) = old_runs(filled, lease.renewed_at + timedelta(seconds=1), gone)
    assert old.name == RUN.name
    filled.release_lease()
    (older,) = old_runs(filled, START + timedelta(seconds=1), works)
    assert older.name == RUN.name, "and without a sign of life from its beginning"


def test_a_killed_run_is_deleted_with_its_lease(new_place: Callable[[], str]) -> None:
    place = new_place()
    with Store.open(place) as killed, Store.open(place) as store:
        fill(killed).take_lease(LEASE, gone)
        store.delete_run(RUN.name, gone)
        assert store.runs() == ()
        assert store.leases() == {}
        with pytest.raises(LeaseLost):
            killed.lease_trial(trial())


def test_old_runs_are_those_that_ended(filled: Store) -> None:
    filled.take_lease(LEASE, gone)
    later = START + timedelta(days=30)
    filled.create_run(replace(RUN, name="new", created_at=later, status=RunStatus.FAILED))
    filled.create_run(replace(RUN, name="old", status=RunStatus.INTERRUPTED))
    filled.lease_trial(replace(trial(), run="old"))
    filled.commit_trial("trial-0", Outcome.OK, measurements=[LATENCY])
    (old,) = old_runs(filled, later, works)
    assert (old.name, old.trials) == ("old", 1)
    assert 100 < old.size < 1000
    found = old_runs(filled, later + timedelta(seconds=1), works)
    assert [run.name for run in found] == ["old", "new"]
