"""``farm devices show``."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from db.store import Store
from tests.db.samples import CALIBRATION, COST_MODEL, SOFTWARE
from tests.reports.learning.test_learning import REPORT
from tests.tools.command import Command
from tuner.learning.versions import FORMAT
from tuner.runs.record.machines import machine_of
from workers.fingerprint import fingerprint
from workers.jobs import DeviceFacts


@pytest.fixture
def learned(farm: Command) -> Command:
    """The command with a store that has a version for this machine's cpu."""
    machine = machine_of(DeviceFacts(fingerprint(), {}, ()))
    with Store.open(str(farm.store)) as store:
        store.add_machine(machine)
        store.add_software(SOFTWARE)
        store.add_calibration(replace(CALIBRATION, machine_id=machine.id))
        version = replace(
            COST_MODEL, machine_id=machine.id, format=FORMAT, report=REPORT.to_json()
        )
        store.add_cost_model(version, keep=3)
    return farm


def test_a_device_with_its_engines(farm: Command) -> None:
    (found,) = json.loads(farm("devices", "show", "fake", "--json").out)
    assert (found["device"], found["engines"]) == ("fake", ["fake"])
    assert "fake" in farm("devices", "show", "fake").out


def test_how_good_its_cost_models_are(learned: Command) -> None:
    ended = learned("devices", "show", "cpu", "--model", "--figure", "cpu.svg")
    assert ended.code == 0, ended
    assert "peak_memory" in ended.out
    assert f"Version {COST_MODEL.id} of cpu" in ended.out
    assert "measured" in ended.out
    assert (learned.folder / "cpu.svg").read_text().startswith("<svg")


def test_the_object_for_programs(learned: Command) -> None:
    found = json.loads(learned("devices", "show", "cpu", "--model", "--json").out)
    assert found["version"]["id"] == COST_MODEL.id
    assert found["calibration"] == CALIBRATION.id
    assert [each["quantity"] for each in found["quantities"]] == ["latency", "peak_memory"]


def test_a_device_of_which_nothing_was_learnt(learned: Command) -> None:
    ended = learned("devices", "show", "dsp", "--model")
    assert ended.code == 0
    assert "farm devices calibrate dsp" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "Unknown device 'nosuch'."),
        (["cpu", "--figure", "x.svg"], "--figure is of the cost models: give --model, too."),
        (["dsp", "--model", "--figure", "x.svg"], "There is no picture of dsp"),
        (["cpu", "--model", "--figure", "nowhere/x.svg"], "nowhere/x.svg cannot be written"),
    ],
)
def test_what_cannot_be_shown(arguments: list[str], said: str, learned: Command) -> None:
    assert said in learned.refused("devices", "show", *arguments)
