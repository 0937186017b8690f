"""A run over devices of several machines, which are tuned at the same time."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from db.records import RunStatus
from db.store import Store
from farm.devices.profile import Availability, DeviceProfile, load_profiles
from farm.errors import DataError, OptionError
from tests.conftest import furnish
from tests.tuner.imagined import ImaginedExecutor
from tuner.events import DeviceStarted, Event, TrialFinished
from tuner.request import TuneRequest
from tuner.results import Status
from tuner.runs.start import OpenRun, check_request, start_run
from tuner.tune import tune_run
from workers.jobs import Workload

NAMES = ("one", "two", "three")
PROFILES = {name: replace(load_profiles()["fake"], name=name) for name in NAMES}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "farm.db")) as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path, store: Store) -> OpenRun:
    furnish(tmp_path)
    request = TuneRequest(str(tmp_path / "model.onnx"), NAMES)
    return start_run(store, check_request(request, PROFILES))


@pytest.fixture
def executor() -> ImaginedExecutor:
    """Of the first two devices' machine, and of the third's."""
    made = ImaginedExecutor()
    made.machines = {"one": "a", "two": "a", "three": "b"}
    return made


def test_machines_work_at_the_same_time_and_devices_of_one_do_not(store, run, executor):
    both = threading.Barrier(2, timeout=20)  # passed by the first devices of both together
    threads: dict[str, int] = {}

    def listen(event: Event) -> None:
        if isinstance(event, DeviceStarted):
            threads[event.device] = threading.get_ident()
            if event.device != "two":
                both.wait()

    result = tune_run(store, run, lambda _: executor, listen)
    assert [(d.device, d.status) for d in result.devices] == [(n, Status.TUNED) for n in NAMES]
    assert threads["one"] == threads["two"] != threads["three"]
    assert store.run(run.name).status is RunStatus.FINISHED
    ids = [trial.id for trial in store.trials(run=run.name)]
    assert len(ids) == len(set(ids))


def test_a_store_in_memory_has_one_connection(tmp_path, executor):
    furnish(tmp_path)
    request = TuneRequest(str(tmp_path / "model.onnx"), NAMES)
    threads: set[int] = set()
    with Store.open(":memory:") as store:
        opened = start_run(store, check_request(request, PROFILES))
        tune_run(store, opened, lambda _: executor, lambda _: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


def test_ctrl_c_reaches_every_machine(store, run, executor):
    def listen(event: Event) -> None:
        if isinstance(event, TrialFinished) and event.device == "three":
            _thread.interrupt_main()
            while not executor.interrupted:
                pass

    result = tune_run(store, run, lambda _: executor, listen)
    assert result.interrupted
    assert executor.interrupted
    assert [d.device for d in result.devices] == list(NAMES)
    assert store.run(run.name).status is RunStatus.INTERRUPTED


def test_an_error_of_one_machine_ends_the_run(store, run, executor, monkeypatch):
    def prepare(device: str, workload: Workload) -> None:
        del workload
        if device == "three":
            raise DataError("the data is odd.")

    monkeypatch.setattr(executor, "prepare", prepare)
    with pytest.raises(DataError, match="the data is odd"):
        tune_run(store, run, lambda _: executor, lambda _: None)
    assert executor.interrupted
    assert store.run(run.name).status is RunStatus.FAILED


def test_threads_are_limited_by_the_cores_of_each_devices_machine(tmp_path):
    furnish(tmp_path)
    cores = {"one": 64, "two": 128, "three": 96}
    request = TuneRequest(str(tmp_path / "model.onnx"), NAMES, threads=64)

    def there(profile: DeviceProfile) -> Availability:
        return Availability(available=True, cores=cores[profile.name])

    assert check_request(request, PROFILES, availability=there).request.threads == 64
    with pytest.raises(OptionError) as refused:
        check_request(replace(request, threads=65), PROFILES, availability=there)
    assert str(refused.value) == (
        "--threads must not be above the 64 cores of the machine of device one, got 65."
    )
