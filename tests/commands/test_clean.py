"""``farm clean``: what it finds, what it removes, and what it never does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from db.records import RunStatus, utc_now
from db.store import Store
from farm.host.temporary import OwnedFolder
from tests.db import samples
from tests.tools.command import Command
from tuner.runs.lease import is_gone, own_lease
from workers.trials.stored.cache import Cache
from workers.trials.stored.keep import keep, kept

YEAR = timedelta(days=365)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of the test's own, with what a killed run left."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    left = OwnedFolder("worker")
    (left.path / "compiler.log").write_bytes(bytes(8192))
    left._lock.release()  # as the system does when a process is killed
    return folder


@pytest.fixture
def used(farm: Command, place: Path) -> Command:
    """The command with an artifact in its cache and three runs: old, running and new."""
    cache = Cache(farm.folder / "cache" / "farm")
    with cache.complete(cache.artifact("abc")) as folder:
        assert folder is not None
        (folder / "model.onnx").write_bytes(bytes(1 << 20))
    cache.close()
    (cache.root / "zig").mkdir()
    (cache.root / "zig" / "crt1.o").write_bytes(bytes(4096))
    with Store.open(str(farm.store)) as store:
        samples.fill(store).take_lease(own_lease(samples.RUN.name), is_gone)  # it is running
        for name, age in (("old", YEAR), ("new", timedelta())):
            run = samples.RUN.__class__(
                name,
                samples.RUN.kind,
                samples.RUN.model_sha256,
                samples.RUN.machine_id,
                samples.RUN.software_id,
                7,
                "{}",
                status=RunStatus.FINISHED,
                created_at=utc_now() - age,
            )
            store.create_run(run)
    return farm


def runs(farm: Command) -> set[str]:
    with Store.open(str(farm.store)) as store:
        return {run.name for run in store.runs()}


def items(farm: Command, *options: str) -> dict[str, dict[str, object]]:
    ended = farm("clean", "--json", *options)
    assert ended.code == 0, ended.err
    return {item["what"]: item for item in json.loads(ended.out)["items"]}


def test_everything_that_is_not_needed_goes(used: Command, place: Path) -> None:
    ended = used("clean", "--yes")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1].endswith("MiB and 1 run removed.")
    assert list((used.folder / "cache" / "farm" / "artifacts").iterdir()) == []
    assert not (used.folder / "cache" / "farm" / "zig").exists()
    assert list(place.glob("farm-*")) == []
    assert runs(used) == {samples.RUN.name, "new"}
    assert used("clean", "--yes").out.splitlines()[-1] == "There is nothing to remove."


def test_sizes_are_shown_and_nothing_is_removed_in_a_dry_run(used: Command, place: Path) -> None:
    found = items(used, "--dry-run")
    assert found["artifacts"]["count"] == 1
    assert found["artifacts"]["bytes"] >= 1 << 20
    assert found["temporary folders"] == {
        "area": "temporary",
        "what": "temporary folders",
        "place": str(place),
        "count": 1,
        "bytes": 8192,
        "kept": 0,
    }
    assert found["runs"]["count"] == 1
    shown = used("clean", "--dry-run").out
    assert "artifacts" in shown
    assert "1.0" in shown
    assert items(used, "--dry-run") == found
    assert runs(used) == {samples.RUN.name, "old", "new"}


@pytest.mark.parametrize(
    ("option", "gone"),
    [
        ("--cache", {"artifacts", "compiler's"}),
        ("--temporary", {"temporary folders"}),
        ("--runs", {"runs"}),
    ],
)
def test_only_what_is_chosen_goes(used: Command, option: str, gone: set[str]) -> None:
    before = items(used, "--dry-run")
    items(used, option, "--yes")
    after = items(used, "--dry-run")
    assert {what for what in before if not after.get(what, {}).get("count")} >= gone
    assert all(after[what] == before[what] for what in before.keys() - gone)


def test_how_old_runs_must_be_can_be_said(used: Command) -> None:
    used("clean", "--runs", "--older-than", "2000d", "--yes")
    assert runs(used) == {samples.RUN.name, "old", "new"}
    used("clean", "--runs", "--older-than", "0s", "--yes")
    assert runs(used) == {samples.RUN.name}, "one that is running stays, however old"


def test_a_run_that_was_killed_can_be_removed(used: Command) -> None:
    killed = subprocess.Popen(["true"])  # a process that is gone
    killed.wait()
    with Store.open(str(used.store)) as store:
        store.take_lease(replace(own_lease(samples.RUN.name), pid=killed.pid), lambda *_: True)
    (row,) = [
        row for row in json.loads(used("runs", "--json").out) if row["run"] == samples.RUN.name
    ]
    assert row["status"] == "interrupted"
    used("clean", "--runs", "--yes")
    assert samples.RUN.name in runs(used), "it lived a moment ago"
    used("clean", "--runs", "--older-than", "0s", "--yes")
    assert runs(used) == set()


def test_it_does_not_remove_what_nobody_agreed_to(used: Command) -> None:
    sentence = used.refused("clean")
    assert sentence.startswith("farm clean asks before it removes anything")
    assert "--yes" in sentence
    assert "old" in runs(used)


def test_what_a_living_process_uses_stays(used: Command) -> None:
    cache = Cache(used.folder / "cache" / "farm")
    with cache.complete(cache.artifact("abc")):
        pass
    owned = OwnedFolder("compile")
    found = items(used, "--cache", "--temporary", "--yes")
    assert (found["artifacts"]["count"], found["artifacts"]["kept"]) == (0, 1)
    assert found["compiler's"]["kept"] == 1
    assert (cache.artifact("abc") / "model.onnx").exists()
    assert (cache.root / "zig").is_dir()
    assert owned.path.is_dir()
    cache.close()
    owned.remove()


def test_where_nothing_is_nothing_is_made(farm: Command, place: Path) -> None:
    shutil.rmtree(next(place.iterdir()))
    ended = farm("clean", "--yes")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == "There is nothing to remove."
    assert not farm.store.exists()
    assert not (farm.folder / "cache").exists()


@pytest.mark.usefixtures("few_blocks")
def test_a_finished_run_delivers_again_without_its_cache(farm: Command) -> None:
    arguments = ("model.onnx", "--local", "--trials", "2", "--budget", "10s", "--json")
    first = json.loads(farm("tune", *arguments, "--output", "first").out)
    (device,) = first["devices"]
    delivered = contents(farm.folder / "first" / "cpu")
    assert delivered
    farm("clean", "--cache", "--yes")
    assert not list((farm.folder / "cache" / "farm" / "artifacts").iterdir())
    ended = farm("tune", "--resume", first["run"], "--output", "again", "--local", "--json")
    assert ended.code == 0, ended.err
    (again,) = json.loads(ended.out)["devices"]
    assert again["winner"] == device["winner"]
    assert contents(farm.folder / "again" / "cpu") == delivered
    with Store.open(str(farm.store)) as store:
        assert store.run(first["run"]).status is RunStatus.FINISHED


def contents(folder: Path) -> dict[str, bytes]:
    """What a delivered folder holds, but for what says when it was made."""
    records = {"provenance.json", "SHA256SUMS"}
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in records)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.usefixtures("few_blocks")
def test_a_damaged_cache_is_mended_and_said(farm: Command) -> None:
    arguments = ("model.onnx", "--local", "--trials", "1", "--budget", "10s", "--json")
    first = json.loads(farm("tune", *arguments, "--output", "first").out)
    damaged = 0
    for file in (farm.folder / "cache" / "farm").rglob("*.onnx"):
        content = bytearray(file.read_bytes())
        content[-20:] = os.urandom(20)
        file.write_bytes(content)
        damaged += 1
    assert damaged >= 2, "a workload's and an artifact's"
    ended = farm("tune", *arguments, "--output", "second")
    assert ended.code == 0, ended.err
    (device,) = json.loads(ended.out)["devices"]
    assert device["trials"] == first["devices"][0]["trials"]
    mended = [note for note in device["notes"] if "was damaged and was made anew" in note]
    assert len(mended) == damaged


def test_kept_artifacts_stay_and_are_shown(
    used: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(used.folder / "data"))
    artifact = keep({"model.onnx": bytes(1 << 20)})
    assert "Artifacts that nights run again stay, 1." in used("clean", "--dry-run").out
    assert used("clean", "--yes").code == 0
    assert kept(artifact.name) == artifact
