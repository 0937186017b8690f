"""What a shell offers, by the protocol in which it asks."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from db.night_records import ChangeState
from db.records import RunKind
from db.store import Store
from farm.devices.environment import load_environments
from farm.plan.placement.problem import PlacementObjective
from farm.plan.placement.record import plan_text
from tests.db.nights import change, follow, series
from tests.db.samples import RUN, fill, trial
from tests.tools.command import ROOT, Command
from tests.tools.placement_plans import split_plan
from workers.environments.installed import write_record

Complete = Callable[[str], list[str]]
TUNED, BENCHED = RUN.name, "benched_1"


@pytest.fixture
def complete(farm: Command, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """What is offered after a line of which the last word is not complete; nothing is said."""

    def ask(line: str) -> list[str]:
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        monkeypatch.setenv("_FARM_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        ended = farm()
        assert ended.err == ""
        return ended.out.split()

    return ask


@pytest.fixture
def stored(farm: Command) -> Command:
    """A store with a run of tune and one of bench, and two trials."""
    with Store.open(str(farm.store)) as store:
        fill(store)
        store.create_run(replace(RUN, name="benched_1", kind=RunKind.BENCH))
        for number in range(2):
            store.lease_trial(trial(number))
    return farm


def test_devices(complete: Complete) -> None:
    gpus = ["gpu-intel", "gpu-software", "gpu-vulkan", "gpu"]
    assert complete("farm bench m.onnx --device ") == ["cpu", "dsp-small", "dsp", *gpus]
    assert complete("farm package m.onnx --device ds") == ["dsp-small", "dsp"]
    assert complete("farm results --device g") == gpus
    assert complete("farm bench --device nosuch") == []


def test_devices_after_commas(complete: Complete) -> None:
    assert complete("farm tune --devices c") == ["cpu"]
    assert complete("farm tune --devices cpu,d") == ["cpu,dsp-small", "cpu,dsp"]
    assert complete("farm tune --devices dsp,gpu,d") == ["dsp,gpu,dsp-small"]


def test_devices_of_the_user(complete: Complete, farm: Command) -> None:
    profile = ROOT / "farm" / "devices" / "profiles" / "cpu.toml"
    text = profile.read_text().replace('"cpu"', '"server"', 1)
    (farm.folder / "server.toml").write_text(text)
    assert complete(f"farm tune --profiles {farm.folder} --devices s") == ["server"]
    (farm.folder / "server.toml").write_text("name =")
    assert complete(f"farm tune --profiles {farm.folder} --devices c") == []


def test_runs(stored: Command, complete: Complete) -> None:
    assert complete("farm tune --resume ") == [TUNED], "what is benched cannot be resumed"
    assert set(complete("farm results --run ")) == {TUNED, BENCHED}
    assert complete("farm results --run benched_") == [BENCHED]
    for pattern in ("ben%", "benche__", "b!"):
        assert complete(f"farm results --run {pattern}") == []


def test_trials(stored: Command, complete: Complete) -> None:
    assert complete("farm bench --trial ") == ["trial-1", "trial-0"], "the newest first"
    assert complete("farm bench --trial trial-0") == ["trial-0"]
    assert complete("farm compare ") == ["trial-1", "trial-0"]
    assert complete("farm compare trial-1 ") == ["trial-0"]
    assert complete("farm explain --against trial-1 ") == ["trial-0"]


def test_changes(stored: Command, complete: Complete) -> None:
    with Store.open(str(stored.store)) as store:
        follow(store, series("kws"), (0.0, 0.05, 0.05))
        found = change(store, series("kws"), 1, 1.051, ChangeState.CONFIRMED)
    assert complete("farm nightly triage ") == [found.id]
    assert complete(f"farm nightly triage {found.id[:4]}") == [found.id]
    assert complete("farm nightly triage zz") == []


def test_a_store_that_is_named(stored: Command, complete: Complete) -> None:
    stored.store.rename(stored.folder / "moved.db")
    assert complete("farm tune --resume ") == []
    moved = stored.folder / "moved.db"
    assert complete(f"farm tune --store {moved} --resume ") == [TUNED]


@pytest.mark.parametrize("place", ["nowhere/farm.db", ":memory:", "nosql://x", "model.onnx", "."])
def test_a_store_that_is_none(farm: Command, complete: Complete, place: str) -> None:
    assert complete(f"farm tune --store {place} --resume ") == []
    assert complete(f"farm bench --store {place} --trial ") == []
    assert not farm.store.exists()
    assert not (farm.folder / "nowhere").exists()


@pytest.mark.parametrize(
    ("line", "offered"),
    [("farm tune --devices gpu-v", "gpu-vulkan"), ("farm tune --resume kws", TUNED)],
)
def test_what_is_heavy_is_not_imported(stored: Command, line: str, offered: str) -> None:
    """Somebody waits at a prompt."""
    heavy = ("onnxruntime", "onnx", "onnx_ir", "ray", "optuna", "scipy", "numba")
    program = (
        "import atexit, sys, cli\n"
        f"atexit.register(lambda: print(sorted(sys.modules.keys() & {set(heavy)!r})))\n"
        "cli.main()"
    )
    environment = os.environ | {
        "_FARM_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": "3",
        "FARM_STORE": str(stored.store),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=stored.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [offered, "[]"]


def test_a_shell_can_be_told_to_ask(tmp_path: Path) -> None:
    command = shlex.join([sys.executable, str(ROOT / "cli.py"), "--show-completion", "bash"])
    script = subprocess.run(  # by a shell, which it looks for among its parents
        ["bash", "-c", f"{command}; exit $?"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "complete -o default -F _farm_completion farm" in script


def test_environments(complete: Complete, farm: Command) -> None:
    assert complete("farm devices install onnx") == ["onnxruntime-1.24"]
    assert complete("farm devices remove ") == []
    place = farm.folder / "data" / "farm" / "environments" / "onnxruntime-1.24"
    place.mkdir(parents=True)
    write_record(place, load_environments()["onnxruntime-1.24"], {})
    assert complete("farm devices install onnx") == []
    assert complete("farm devices remove o") == ["onnxruntime-1.24"]


def test_cases_of_the_suite_that_is_named(complete: Complete, farm: Command) -> None:
    cases = ("first", "second")
    text = "".join(f'[[case]]\nname = "{name}"\nmodel = "model.onnx"\n' for name in cases)
    (farm.folder / "suite.toml").write_text(f'name = "shop"\n{text}')
    assert complete("farm nightly run suite.toml --case ") == ["first", "second"]
    assert complete("farm nightly run suite.toml --case first --case ") == ["second"]
    assert complete("farm nightly run suite.toml --accept s") == ["second"]
    assert complete("farm nightly bisect --suite suite.toml f") == ["first"]


def test_places_of_the_plan_that_is_named(complete: Complete, farm: Command) -> None:
    (farm.folder / "plan.json").write_text(plan_text(split_plan()))
    assert complete("farm plan apply plan.json --avoid d") == ["dsp", "dsp/cpackage-emulated"]
    assert complete("farm plan apply plan.json --prefer cpu/") == ["cpu/onnxruntime-cpu"]
    assert complete("farm plan placement m.onnx --objective ") == list(PlacementObjective)


def test_suites(complete: Complete, farm: Command) -> None:
    (farm.folder / "suites" / "old").mkdir(parents=True)
    (farm.folder / ".hidden.toml").touch()
    for name in ("suite.toml", "suites/nightly.toml", "suites/notes.txt"):
        (farm.folder / name).touch()
    assert complete("farm nightly schedule su") == ["suites/", "suite.toml"]
    assert complete("farm nightly schedule suites/") == ["suites/old/", "suites/nightly.toml"]
    assert complete("farm nightly schedule nowhere/") == []
    assert ".hidden.toml" not in complete("farm nightly schedule ")
