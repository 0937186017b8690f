"""``farm nightly run`` and what follows from it, on the fake device with real processes."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from farm.candidate import Candidate, Fake, to_json
from tests.conftest import furnish
from tests.tools.command import Command, start_few_blocks

SUITE = """
name = "shop"
budget = "1s"
[[case]]
name = "digits"
model = "model.onnx"
device = "fake"
candidate = "candidate.json"
"""


def watch(folder: Path, seconds: float) -> None:
    candidate = Candidate(Fake(seconds=seconds, noise=0.0))
    (folder / "candidate.json").write_text(to_json(candidate))


@pytest.fixture
def shop(farm: Command) -> Command:
    furnish(farm.folder)
    (farm.folder / "suite.toml").write_text(SUITE)
    watch(farm.folder, 1e-3)
    return farm


@pytest.mark.usefixtures("few_blocks")
def test_a_regression_from_the_first_night_to_its_triage(
    shop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(shop.folder / "summary.md"))
    first = shop("nightly", "run", "suite.toml")
    assert (first.code, "not yet" in first.out) == (0, True), first
    watch(shop.folder, 1.5e-3)
    told = shop.folder / "told.json"
    second = shop(
        *("nightly", "run", "suite.toml", "--junit", "night.xml", "--markdown", "night.md"),
        *("--on-regression", f"cat > {told}"),
    )
    assert second.code == 1, second
    assert "regression" in second.out
    assert "slower than its last good state" in second.out
    assert json.loads(told.read_text())["verdict"] == "regression"
    assert "<failure" in (shop.folder / "night.xml").read_text()
    assert "regression" in (shop.folder / "night.md").read_text()
    assert "regression" in (shop.folder / "summary.md").read_text()

    checked = shop("nightly", "check", "suite.toml", "--json")
    assert checked.code == 1
    (case,) = json.loads(checked.out)["cases"]
    assert case["verdict"] == "regression"

    noted = shop("nightly", "triage", case["change"]["id"][:5], "--as", "expected", "--note", "ok")
    assert noted.code == 0
    assert "is expected from now on" in noted.out
    third = shop("nightly", "run", "suite.toml", "--json")
    assert third.code == 0, third
    assert json.loads(third.out)["cases"][0]["ratio"]["value"] == pytest.approx(1.0, abs=0.3)


def test_what_is_bad_is_one_sentence(shop: Command) -> None:
    refused = shop.refused
    assert "There is no store yet" in refused("nightly", "check", "suite.toml")
    assert "no case 'digit'" in refused("nightly", "run", "suite.toml", "--case", "digit")
    shop("runs")
    none = shop("nightly", "check", "suite.toml")
    assert none.code == 3
    assert none.out.startswith("There is no night of suite shop in the store at ")
    assert none.out.count("\n") == 1
    (shop.folder / "suite.toml").write_text(SUITE + "canditate = 1\n")
    told = refused("nightly", "run", "suite.toml")
    assert "line 9" in told
    assert "candidate" in told
    assert "There is no change 'abc'" in refused("nightly", "triage", "abc", "--as", "noise")


@pytest.mark.slow
def test_a_killed_night_goes_on(shop: Command) -> None:
    (shop.folder / "suite.toml").write_text(SUITE.replace("1s", "60s"))
    process = start_few_blocks(shop.folder, "nightly", "run", "suite.toml")
    deadline = time.monotonic() + 60
    while not list((shop.folder / "data" / "farm" / "nightly").glob("*.lock")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    cut = shop("nightly", "check", "suite.toml")
    assert cut.code == 3, cut
    assert "was cut short" in cut.out
    process = start_few_blocks(shop.folder, "nightly", "run", "suite.toml", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Going on with shop-" in err
    assert json.loads(out)["finished_at"]
