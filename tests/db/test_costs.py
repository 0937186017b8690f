"""Versions of cost models in a store: the newest few stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from db.costs.versions import newest_cost_model
from db.questions.sql import query
from db.records import RunKind, RunStatus
from db.store import Store
from farm.errors import StoreError
from tests.db.samples import COST_MODEL, MACHINE, MODEL, RUN, SOFTWARE


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(str(tmp_path / "farm.db"))
    store.add_machine(MACHINE)
    store.add_software(SOFTWARE)
    return store


def test_the_newest_few_of_a_device_stay(store: Store) -> None:
    for age in (3, 1, 2, 0):
        made = COST_MODEL.created_at - timedelta(days=age)
        store.add_cost_model(replace(COST_MODEL, id=f"of-{age}", created_at=made), keep=2)
    store.add_cost_model(replace(COST_MODEL, id="dsp", device="dsp"), keep=2)
    store.add_cost_model(replace(COST_MODEL, id="kernels", format="kernels-1"), keep=2)
    _, rows = query(store.place, "SELECT id FROM cost_model ORDER BY id")
    assert rows == (("dsp",), ("kernels",), ("of-0",), ("of-1",))
    found = newest_cost_model(store, "cpu", MACHINE.id, COST_MODEL.format)
    assert found is not None
    assert found.id == "of-0"
    store.close()


def test_a_format_that_the_program_does_not_know_is_passed_over(store: Store) -> None:
    store.add_cost_model(COST_MODEL, keep=2)
    assert newest_cost_model(store, "cpu", MACHINE.id, "another") is None
    assert newest_cost_model(store, "cpu", "elsewhere", COST_MODEL.format) is None
    store.close()


def test_its_machine_must_be_there(store: Store) -> None:
    with pytest.raises(StoreError):
        store.add_cost_model(replace(COST_MODEL, machine_id="nowhere"), keep=2)
    store.close()


def aged(store: Store, *ages: int, keep: int = 2) -> None:
    """Versions that were made so many days before, one after the other."""
    for age in ages:
        made = COST_MODEL.created_at - timedelta(days=age)
        store.add_cost_model(replace(COST_MODEL, id=f"of-{age}", created_at=made), keep)


def begun(store: Store, age: float, status: RunStatus, kind: RunKind = RunKind.TUNE) -> None:
    """A run that began so many days before."""
    store.add_model(MODEL)
    started = COST_MODEL.created_at - timedelta(days=age)
    name = f"{kind}-{status}-{age}"
    store.create_run(replace(RUN, name=name, kind=kind, created_at=started, status=status))


def kept(store: Store) -> set[str]:
    _, rows = query(store.place, "SELECT id FROM cost_model")
    return {str(id_) for (id_,) in rows}


@pytest.mark.parametrize(
    "status", [RunStatus.RUNNING, RunStatus.INTERRUPTED, RunStatus.FAILED], ids=str
)
def test_what_an_open_run_began_with_stays(store: Store, status: RunStatus) -> None:
    aged(store, 9, 8)
    begun(store, 7.5, status)
    aged(store, 7, 6, 5, 4)
    assert kept(store) == {"of-8", "of-5", "of-4"}
    until = COST_MODEL.created_at - timedelta(days=7.5)
    found = newest_cost_model(store, "cpu", MACHINE.id, COST_MODEL.format, until)
    assert found is not None
    assert found.id == "of-8"
    store.close()


def test_once_the_run_is_finished_it_goes(store: Store) -> None:
    begun(store, 8.5, RunStatus.RUNNING)
    aged(store, 9, 8, 7, 6)
    assert "of-9" in kept(store)
    store.update_run(store.runs()[0].name, status=RunStatus.FINISHED)
    aged(store, 5)
    assert kept(store) == {"of-6", "of-5"}
    store.close()


def test_no_version_stays_for_runs_that_propose_nothing(store: Store) -> None:
    begun(store, 8.5, RunStatus.FAILED, RunKind.BENCH)
    begun(store, 20.0, RunStatus.RUNNING)  # before there was any
    aged(store, 9, 8, 7, 6)
    assert kept(store) == {"of-7", "of-6"}
    store.close()


def test_of_very_many_open_runs_the_newest_count(store: Store) -> None:
    for age in range(30, 10, -1):
        aged(store, age)
        begun(store, age - 0.5, RunStatus.INTERRUPTED)
    aged(store, 2, 1)
    assert kept(store) == {"of-1", "of-2", *(f"of-{age}" for age in range(11, 19))}
    store.close()
