"""What the doctor finds on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from db.store import Store
from farm.devices.profile import load_profiles
from reports.machines import doctor
from reports.machines.doctor import Finding, diagnose
from tests.db.samples import fill
from tests.rapl import FakeRapl


@pytest.fixture(autouse=True)
def short_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LISTEN_SECONDS", 0.05)


def test_looks_at_everything(tmp_path: Path) -> None:
    place = tmp_path / "farm.db"
    with Store.open(str(place)) as store:
        fill(store)
    findings = {f.what: f for f in diagnose(load_profiles(), str(place))}
    assert {"machine", "energy counter", "onnxruntime", "quiet machine"} <= set(findings)
    assert findings["device cpu"].found == "available"
    assert findings["device gpu"].remedy
    assert findings["device dsp"].found == "available"
    assert findings["compiler for the host"].found.startswith("zig ")
    assert findings["compiler for the Hexagon"].found.startswith("zig ")
    assert "device fake" not in findings
    assert findings["store"].found == f"{place}, 1 run"
    assert not any(f.fatal for f in findings.values())


def test_the_emulator(emulator: str) -> None:
    findings = {f.what: f for f in diagnose({}, None)}
    assert findings["Hexagon emulator"].found.startswith("qemu-hexagon version ")


def test_what_a_machine_without_a_toolchain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_compilers", lambda target: ())
    monkeypatch.setattr("workers.discovery.find_emulator", lambda: None)
    findings = {f.what: f for f in diagnose({}, None)}
    assert findings["compiler for the Hexagon"].remedy == "pip install ziglang"
    assert "latencies of Hexagon packages are modelled" in findings["Hexagon emulator"].found
    assert findings["Hexagon emulator"].remedy.startswith("apt-get install qemu-user")
    assert not any(f.fatal for f in findings.values())


def test_a_missing_store_is_no_problem(tmp_path: Path) -> None:
    findings = {f.what: f for f in diagnose({}, str(tmp_path / "none.db"))}
    assert findings["store"].level == "note"
    assert "There is no store yet" in findings["store"].found
    assert not list(tmp_path.iterdir()), "looking creates nothing"


def test_the_energy_counter_is_looked_for_where_it_was_said_to_be(rapl: FakeRapl) -> None:
    def counter() -> Finding:
        return next(f for f in diagnose({}, None) if f.what == "energy counter")

    assert counter().found == "RAPL, which stands still"
    with rapl.counting():
        assert counter().found == "RAPL"
    shutil.rmtree(rapl.packages[0])
    (rapl.packages[1] / "energy_uj").unlink()
    told = counter()
    assert told.found == "none that can be read"
    assert f"make {rapl.root}, which FARM_POWERCAP names, readable" in told.remedy
