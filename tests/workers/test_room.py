"""A look for room before a run starts: one sentence where there is none, and no waiting."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from farm.errors import InfrastructureError, OptionError
from farm.host.temporary import OwnedFolder
from tests.tools.command import Command
from tests.workers.processes import small_disk
from workers.room import make_room


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of the test's own."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_with_room_nothing_is_said_and_nothing_is_made(tmp_path, place):
    make_room(tmp_path / "cache" / "farm")
    assert not (tmp_path / "cache").exists()
    assert list(place.iterdir()) == []


def test_a_full_temporary_folder(tmp_path, monkeypatch):
    with small_disk(tmp_path) as disk:
        monkeypatch.setenv("TMPDIR", str(disk))
        with pytest.raises(InfrastructureError) as caught:
            make_room(tmp_path / "cache")
    assert str(caught.value) == (
        f"The temporary folder {disk} has 1.00 MiB left on its disk, and 64.0 MiB are needed; "
        "make room there, or name another one by TMPDIR."
    )


def test_a_full_disk_under_the_cache(tmp_path):
    with small_disk(tmp_path, "70m") as disk:
        make_room(disk / "cache")
        model = tmp_path / "model.onnx"
        model.touch()
        os.truncate(model, 4 << 20)
        told = r"cache folder .* 70\.0 MiB left on its disk, and 76\.0 MiB are needed; .* by XDG_"
        with pytest.raises(InfrastructureError, match=told):
            make_room(disk / "cache", model)


def test_a_disk_without_room_for_files(tmp_path, monkeypatch):
    with small_disk(tmp_path, "100m,nr_inodes=3") as disk:
        for name in "ab":
            (disk / name).touch()
        monkeypatch.setenv("TMPDIR", str(disk))
        with pytest.raises(InfrastructureError, match="on a disk that can take no more files"):
            make_room(tmp_path / "cache")


def test_a_temporary_folder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with pytest.raises(
        InfrastructureError, match=r"temporary folder .*/none does not exist; make"
    ):
        make_room(tmp_path / "cache")


def test_a_file_where_the_cache_should_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match=r"cache folder .*/file/farm cannot be written"):
        make_room(tmp_path / "file" / "farm")


def test_a_limit_that_is_no_size(tmp_path, monkeypatch):
    monkeypatch.setenv("FARM_CACHE_LIMIT", "plenty")
    with pytest.raises(OptionError, match="FARM_CACHE_LIMIT: 'plenty' is not a size"):
        make_room(tmp_path / "cache")


def test_leftovers_are_cleared_on_the_way(tmp_path, place):
    folder = OwnedFolder("package")
    folder._lock.release()  # as the system does when a process is killed
    living, mine = OwnedFolder("compile"), place / "farm-notes"
    mine.mkdir()
    make_room(tmp_path / "cache")
    assert sorted(place.iterdir()) == sorted([living.path, mine])


@pytest.mark.parametrize("command", ["tune", "bench"])
def test_the_command_says_it_at_once(farm: Command, monkeypatch, command):
    with small_disk(farm.folder) as disk:
        monkeypatch.setenv("TMPDIR", str(disk))
        begin = time.process_time()
        sentence = farm.refused(command, "model.onnx")
        assert time.process_time() - begin < 5.0
        assert sentence.startswith(f"The temporary folder {disk} has 1.00 MiB left on its disk")
    assert not (farm.folder / "farm.db").exists(), "nothing was written"
