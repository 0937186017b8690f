"""What a killed run left is told from what a living one uses, and from what others have."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from farm.host.temporary import OwnedFolder
from workers.cluster.environment import Files
from workers.leftovers import clear_leftovers, find_leftovers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(name: str, folder: Path) -> Path:
    """A folder as a process makes it, which has been killed since."""
    path = folder / f"farm-{name}-{os.getuid()}-abcdefgh"
    (path / "s").mkdir(parents=True)
    return path


def test_what_a_killed_ray_left_is_cleared(folder):
    dead = left("ray", folder)
    assert dead in find_leftovers().sessions
    clear_leftovers()
    assert list(folder.iterdir()) == []


def test_the_files_of_a_living_process_stay(folder):
    living = [OwnedFolder("ray").path, OwnedFolder("worker").path]
    clear_leftovers()
    assert sorted(folder.iterdir()) == sorted(living)


def test_folders_of_others_are_left_alone(folder):
    for name in ("ray", f"farm-ray-{os.getuid() + 1}-abcdefgh", "farm-ray"):
        (folder / name).mkdir()
    clear_leftovers()
    assert len(list(folder.iterdir())) == 3


def test_links_to_the_farm_are_removed_and_not_followed(folder):
    files = Files()
    assert (files.shelter / "workers" / "leftovers.py").exists()
    files.remove()
    assert Path(find_leftovers.__code__.co_filename).exists()
    assert list(folder.iterdir()) == []
