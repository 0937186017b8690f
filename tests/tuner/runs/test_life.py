"""Whatever ends a run leaves a true status, and gives its lease back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from db.records import RunStatus
from db.store import Store
from farm.devices.profile import load_profiles
from farm.errors import InfrastructureError, OptionError, StoreError
from tests.conftest import furnish
from tuner.request import TuneRequest
from tuner.runs.lease import own_lease
from tuner.runs.life import living
from tuner.runs.memory import Memory
from tuner.runs.start import OpenRun, check_request, resume_run, start_run

PROFILES = load_profiles()
ENDS = [
    (InfrastructureError("the cluster cannot be started."), RunStatus.FAILED),
    (StoreError("the store is full."), RunStatus.FAILED),
    (OptionError("the winner cannot be written."), RunStatus.FAILED),
    (ValueError("a fault of the farm"), RunStatus.FAILED),
    (BrokenPipeError(32, "Broken pipe"), RunStatus.INTERRUPTED),
    (KeyboardInterrupt(), RunStatus.INTERRUPTED),
    (SystemExit(1), RunStatus.INTERRUPTED),
]
IDS = [type(error).__name__ for error, _ in ENDS]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "farm.db")) as opened:
        yield opened


@pytest.fixture
def opened(store: Store, tmp_path: Path) -> OpenRun:
    furnish(tmp_path)
    request = TuneRequest(str(tmp_path / "model.onnx"), ("fake",), budget_seconds=60.0)
    return start_run(store, check_request(request, PROFILES))


def finish(store: Store, opened: OpenRun) -> OpenRun:
    with living(store, opened) as life:
        life.status = RunStatus.FINISHED
    return resume_run(store, opened.name, PROFILES)


def test_a_run_is_running_while_a_process_works_on_it(store: Store, opened: OpenRun) -> None:
    assert store.run(opened.name).status is RunStatus.INTERRUPTED, "nobody has taken it up"
    with living(store, opened) as life:
        assert store.run(opened.name).status is RunStatus.RUNNING
        assert store.leases()[opened.name].pid
        assert not life.sealed
        life.status = RunStatus.FINISHED
    run = store.run(opened.name)
    assert run.status is RunStatus.FINISHED
    assert run.finished_at is not None
    assert store.leases() == {}


@pytest.mark.parametrize(("error", "status"), ENDS, ids=IDS)
def test_every_way_of_ending_leaves_a_true_status(
    store: Store, opened: OpenRun, error: BaseException, status: RunStatus
) -> None:
    with pytest.raises(type(error)), living(store, opened):
        raise error
    assert store.run(opened.name).status is status
    assert store.leases() == {}, "it can be resumed at once"


@pytest.mark.parametrize(("error", "status"), ENDS, ids=IDS)
def test_a_finished_run_never_goes_back(
    store: Store, opened: OpenRun, error: BaseException, status: RunStatus
) -> None:
    again = finish(store, opened)
    before = store.run(opened.name)
    with pytest.raises(type(error)), living(store, again) as life:  # noqa: PT012 (how it ends)
        assert life.sealed
        raise error
    with living(store, again) as life:
        life.status = RunStatus.FAILED
    assert store.run(opened.name) == before
    assert store.leases() == {}


def test_more_time_opens_a_finished_run(store: Store, opened: OpenRun) -> None:
    store.update_run(opened.name, summary=Memory().with_confirmed("fake").to_json())
    more = replace(finish(store, opened), more_seconds=30.0)
    with living(store, more) as life:
        assert not life.sealed
        assert life.opened.request.budget_seconds == 90.0
        assert store.run(opened.name).status is RunStatus.RUNNING
        assert Memory.of(life.opened.run).confirmed == ()
        life.status = RunStatus.INTERRUPTED
    assert store.run(opened.name).status is RunStatus.INTERRUPTED
    again = resume_run(store, opened.name, PROFILES)
    assert again.request.budget_seconds == 90.0, "it is kept"
    with living(store, replace(again, more_seconds=5.0)) as life:
        assert life.opened.request.budget_seconds == 95.0


def test_who_comes_second_changes_nothing(store: Store, opened: OpenRun) -> None:
    store.take_lease(own_lease(opened.name), lambda *_: False)
    before = store.run(opened.name)
    with Store.open(store.place) as second:
        more = replace(opened, more_seconds=30.0)
        with pytest.raises(OptionError, match="is being run by process"), living(second, more):
            pass
        with pytest.raises(OptionError, match="is being run by process"):
            resume_run(second, opened.name, PROFILES)
    assert store.run(opened.name) == before


def test_a_run_that_finished_meanwhile_is_sealed(store: Store, opened: OpenRun) -> None:
    """Opened before another process took it up, and taken up after that one finished it."""
    finish(store, opened)
    with living(store, opened) as life:
        assert life.sealed


def test_an_end_that_the_store_does_not_take(
    store: Store, opened: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What led to it is said; the lease goes with the process."""
    with pytest.raises(StoreError, match="is full"), living(store, opened):  # noqa: PT012 (how it ends)
        monkeypatch.setattr(store, "release_lease", _refuse)
        raise StoreError("the store is full.")


def _refuse(_status: object) -> None:
    raise StoreError("the store is still full.")
