"""At most one process works on a run, whatever database the store is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, timedelta
from threading import Barrier

import pytest

from db.records import RunLease, RunStatus
from db.store import Store
from farm.errors import LeaseLost, NotInStore
from tests.db.samples import LATENCY, RUN, fill, trial

MINE = RunLease(RUN.name, "mine", "bench-1", 11, "boot/1/100")
THEIRS = RunLease(RUN.name, "theirs", "bench-2", 22, "boot/2/200")


def free(*_: object) -> bool:
    return True


def held(*_: object) -> bool:
    return False


@pytest.fixture
def pair(new_place: Callable[[], str]) -> Iterator[tuple[Store, Store]]:
    """One store, opened twice, as two processes open it."""
    place = new_place()
    with Store.open(place) as first, Store.open(place) as second:
        fill(first)
        yield first, second


def test_a_lease_is_taken_renewed_and_given_back(store: Store) -> None:
    fill(store)
    assert store.leases() == {}
    taken = store.take_lease(MINE, held)
    assert replace(taken, taken_at=MINE.taken_at, renewed_at=MINE.renewed_at) == MINE
    assert store.leases() == {RUN.name: taken}
    assert taken.renewed_at.tzinfo is UTC
    assert abs(store.time() - taken.renewed_at) < timedelta(minutes=1)
    store.renew_lease()
    renewed = store.leases()[RUN.name]
    assert renewed.renewed_at > taken.renewed_at
    assert renewed.taken_at == taken.taken_at
    store.release_lease(RunStatus.FAILED)
    assert store.leases() == {}
    run = store.run(RUN.name)
    assert run.status is RunStatus.FAILED
    assert run.finished_at is not None


def test_giving_back_a_lease_may_leave_the_status(store: Store) -> None:
    fill(store)
    store.take_lease(MINE, held)
    store.release_lease()
    assert store.run(RUN.name) == RUN


def test_a_lease_on_no_run(store: Store) -> None:
    with pytest.raises(NotInStore, match="no run 'nothing'"):
        store.take_lease(replace(MINE, run="nothing"), free)


def test_a_lease_that_is_held_stays(pair: tuple[Store, Store]) -> None:
    first, second = pair
    taken = first.take_lease(MINE, held)
    asked: list[RunLease] = []

    def judge(lease: RunLease, now: object) -> bool:
        asked.append(lease)
        assert now >= lease.renewed_at  # type: ignore[operator]
        return False

    assert second.take_lease(THEIRS, judge) == taken
    assert asked == [taken]
    assert second.leases() == {RUN.name: taken}
    second.lease_trial(trial(5))
    first.lease_trial(trial(6))


def test_who_lost_the_lease_writes_nothing_more(pair: tuple[Store, Store]) -> None:
    first, second = pair
    first.take_lease(MINE, held)
    first.lease_trial(trial())
    second.take_lease(THEIRS, free)
    said = (
        f"^Run {RUN.name} was taken over by process 22 on host bench-2, because process 11 on "
        "host bench-1 gave no sign of life for too long; this process ends here.$"
    )
    for write in (
        lambda: first.lease_trial(trial(1)),
        lambda: first.amend_trial("trial-0", measurements=[LATENCY]),
        lambda: first.update_run(RUN.name, status=RunStatus.FINISHED),
        lambda: first.release_lease(RunStatus.FINISHED),
        first.renew_lease,
    ):
        with pytest.raises(LeaseLost, match=said):
            write()
    assert [each.id for each in second.trials()] == ["trial-0"]
    assert second.run(RUN.name).status is RUN.status
    assert second.leases()[RUN.name].token == "theirs"
    second.release_lease()
    with pytest.raises(LeaseLost, match=f"^Run {RUN.name} was taken over, because"):
        first.lease_trial(trial(1))


def test_of_two_who_take_a_lease_at_once_one_gets_it(new_place: Callable[[], str]) -> None:
    """The holder before them is gone, and either may follow."""
    place, start = new_place(), Barrier(2)
    with Store.open(place) as gone:
        fill(gone).take_lease(replace(MINE, token="0"), held)

    def take(token: str, before: str) -> str:
        with Store.open(place) as store:
            start.wait()
            lease = replace(MINE, token=token)
            return store.take_lease(lease, lambda found, _: found.token == before).token

    with ThreadPoolExecutor(2) as pool:
        for number in range(5):
            before = str(number)
            one, other = pool.map(take, (f"{number}a", f"{number}b"), (before, before))
            assert one == other, "both are told who has it"
            assert one.startswith(before)
            with Store.open(place) as store:
                store.take_lease(replace(MINE, token=str(number + 1)), free)
