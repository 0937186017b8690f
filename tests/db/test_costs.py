"""Versions of cost models in a store: the newest few stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from db.costs.versions import newest_cost_model
from db.questions.sql import query
from db.store import Store
from farm.errors import StoreError
from tests.db.samples import COST_MODEL, MACHINE, SOFTWARE


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
