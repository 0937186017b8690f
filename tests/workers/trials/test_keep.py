"""Kept artifacts: whole or not there, and never taken for what they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farm.errors import InfrastructureError
from tests.workers.processes import small_disk
from workers.trials.stored.keep import keep, kept, kept_folder, kept_size

FILES = {"model.onnx": b"a model", "artifact.json": b"{}"}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def test_it_is_found_by_its_content() -> None:
    place = keep(FILES)
    assert place.parent == kept_folder()
    assert {name: (place / name).read_bytes() for name in FILES} == FILES
    assert kept(place.name) == place
    assert keep(dict(reversed(FILES.items()))) == place, "once"
    assert keep({**FILES, "artifact.json": b"[]"}) != place
    assert keep({"model.onnx": b"{}", "artifact.json": b"a model"}) != place
    assert len(list(kept_folder().iterdir())) == 3
    assert kept_size() > 0


def test_what_was_never_kept() -> None:
    assert kept("0" * 64) is None
    assert kept_size() == 0


def test_programs_can_be_run() -> None:
    place = keep({"runner": b"\x7fELF", "package.json": b"{}"})
    assert os.access(place / "runner", os.X_OK)
    assert not os.access(place / "package.json", os.X_OK)


def test_parts_of_a_pipeline_have_their_folders() -> None:
    place = keep({"pipeline.json": b"{}", "part-1/runner": b"\x7fELF"})
    assert os.access(place / "part-1" / "runner", os.X_OK)
    assert kept(place.name) == place


def test_one_that_is_damaged_is_not_there_until_it_is_kept_again() -> None:
    place = keep(FILES)
    (place / "model.onnx").write_bytes(b"another")
    assert kept(place.name) is None
    assert keep(FILES) == place
    assert kept(place.name) == place


def test_what_a_killed_process_left_is_removed() -> None:
    (kept_folder() / ".draft-12345678").mkdir(parents=True)
    place = keep(FILES)
    assert list(kept_folder().iterdir()) == [place]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path) as small:
        monkeypatch.setenv("XDG_DATA_HOME", str(small))
        with pytest.raises(InfrastructureError) as caught:
            keep({"model.onnx": bytes(2 << 20)})
        assert str(caught.value) == (
            f"An artifact cannot be kept in {kept_folder()}: the disk is full; make room there."
        )
        assert list(kept_folder().iterdir()) == []


def test_a_place_that_is_none(data: Path) -> None:
    data.mkdir()
    (data / "farm").write_text("a file")
    with pytest.raises(InfrastructureError, match="Not a directory"):
        keep(FILES)
