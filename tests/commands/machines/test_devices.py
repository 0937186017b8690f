"""``farm devices``: listing, and environments from their installation to their end."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from db.store import Store
from tests.tools.command import Command, start
from tests.tools.wheels import build_wheel, environment_toml

PROFILES = ("--profiles", "profiles")


@pytest.fixture
def farm_with(farm: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command with an environment `tiny` beside the user's profiles; pip needs no network."""
    folder = farm.folder / "profiles" / "environments"
    folder.mkdir(parents=True)
    wheel = build_wheel(farm.folder)
    (folder / "tiny.toml").write_text(environment_toml(wheel))
    for name, value in _pip(farm.folder).items():
        monkeypatch.setenv(name, value)
    return farm


def _pip(folder: Path) -> dict[str, str]:
    return {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


def listed(farm: Command, *options: str) -> dict[str, dict[str, Any]]:
    ended = farm("devices", "environments", "--json", *options)
    assert ended.code == 0, ended.err
    return {each["environment"]: each for each in json.loads(ended.out)}


@pytest.mark.usefixtures("few_blocks")
def test_an_environment_from_its_installation_to_its_end(farm_with: Command) -> None:
    farm = farm_with
    assert listed(farm, *PROFILES)["tiny"] == {
        "environment": "tiny",
        "description": "For a test",
        "status": "not installed",
        "engines": ["onnxruntime-cpu"],
        "by_name_only": False,
        "reason": "",
        "place": None,
        "bytes": None,
        "versions": None,
    }
    ended = farm("devices", "install", "tiny", *PROFILES)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("Environment tiny is installed, ")
    assert ended.out.endswith(": onnxruntime-cpu now runs in it.\n")
    assert "Processing" in ended.err, "without a terminal one line per step"
    assert "\x1b" not in ended.err

    found = listed(farm)["tiny"]  # wherever its file is by now
    assert (found["status"], found["versions"]["tiny"]) == ("installed", "1.0")
    assert found["place"] == str(farm.folder / "data" / "farm" / "environments" / "tiny")
    shown = farm("devices").out
    assert "installed" in shown
    assert "This machine's processor" in shown
    assert "runs in it" in farm("doctor").out

    ended = farm("tune", "model.onnx", "--local", "--trials", 1, "--budget", "2s", "--json")
    assert ended.code == 0, ended.err
    with Store.open(str(farm.store)) as store:
        trials = store.trials(run=json.loads(ended.out)["run"])
        used = [json.loads(store.software(trial.software_id).versions) for trial in trials]
    assert {versions["onnxruntime-cpu: tiny"] for versions in used} == {"1.0"}

    ended = farm("clean", "--dry-run")
    assert "Environment tiny stays, " in ended.out
    (kept,) = json.loads(farm("clean", "--yes", "--json").out)["environments"]
    assert (kept["environment"], kept["bytes"]) == ("tiny", found["bytes"])
    assert "tiny" in listed(farm)

    ended = farm("devices", "remove", "tiny", "--json")
    assert json.loads(ended.out)["status"] == "not installed"
    assert "tiny" not in listed(farm)
    assert farm.refused("devices", "remove", "tiny") == (
        "Environment 'tiny' is not installed. Installed environments: none."
    )


def test_what_is_asked_for_wrongly_is_told(farm_with: Command) -> None:
    sentence = farm_with.refused("devices", "install", "tinny", *PROFILES)
    assert sentence.startswith("Unknown environment 'tinny'. Did you mean tiny? ")
    sentence = farm_with.refused("devices", "install", "tiny", "--profiles", "nowhere")
    assert sentence == "There is no folder nowhere with device profiles."
    file = farm_with.folder / "profiles" / "environments" / "tiny.toml"
    file.write_text("name =")
    for words in (["devices"], ["devices", "install", "tiny"], ["doctor"]):
        sentence = farm_with.refused(*words, *PROFILES)
        assert sentence.startswith("Environment profiles/environments/tiny.toml is not valid TOML")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_install_that_is_killed_leaves_nothing_installed(
    farm_with: Command, how: signal.Signals
) -> None:
    folder = farm_with.folder / "data" / "farm" / "environments"
    process = start(
        farm_with.folder, "devices", "install", "tiny", *PROFILES, **_pip(farm_with.folder)
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob(".draft-*/tmp/requirements.txt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert "tiny" not in listed(farm_with)
    if how is signal.SIGTERM:
        assert list(folder.iterdir()) == [], "it cleared up itself"
    ended = farm_with("devices", "install", "tiny", *PROFILES, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["status"] == "installed"
    assert [path.name for path in folder.iterdir()] == ["tiny"]
