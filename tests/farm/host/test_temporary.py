"""Temporary folders: gone at the end, found by the next program where there was none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from farm.host import temporary
from farm.host.temporary import OwnedFolder, leftovers, temporary_folder
from tests.tools.command import ROOT

_OTHER = """
import os, sys
from farm.host.temporary import OwnedFolder
folder = OwnedFolder("compile")
(folder.path / "file").write_text("x")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of the test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "_SHORT", tmp_path)
    return tmp_path


@pytest.fixture
def other():
    """Another process with a temporary folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OTHER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    yield process
    process.kill()
    process.communicate()


def found(*, kept: bool = False) -> list[Path]:
    paths = []
    for path, lock in leftovers(kept=kept):
        lock.release()
        paths.append(path)
    return paths


def test_a_folder_is_there_until_the_end(place):
    with temporary_folder("compile") as folder:
        assert folder.parent == place
        assert folder.name.startswith(f"farm-compile-{os.getuid()}-")
        assert found() == [], "it is in use"
    assert list(place.iterdir()) == []


def test_that_of_a_living_process_is_no_leftover(place, other):
    assert Path(other.stdout.readline().strip()).is_dir()
    assert found() == []


def test_that_of_a_killed_process_is_a_leftover(place, other):
    folder = Path(other.stdout.readline().strip())
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert found() == [folder]


def test_what_was_kept_is_found_on_demand(place):
    folder = OwnedFolder("compile")
    (folder.path / "model.c").write_text("int x")
    kept = folder.keep()
    assert (kept / "model.c").read_text() == "int x"
    assert found() == []
    assert found(kept=True) == [kept]


@pytest.mark.parametrize(
    "name",
    ["farm-compile-mine", "farm-data", f"farm-compile-{os.getuid() + 1}-abcdefgh", "other"],
)
def test_what_is_not_the_farms_is_left_alone(place, name):
    (place / name).mkdir()
    assert found(kept=True) == []


def test_a_link_is_left_alone(place):
    (place / "target").mkdir()
    (place / f"farm-compile-{os.getuid()}-abcdefgh").symlink_to(place / "target")
    assert found() == []
