"""The cache: what is in it is whole, whoever else writes to it at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from farm.errors import InfrastructureError
from tests import models
from tests.workers import samples
from workers.jobs import Part
from workers.trials.cache import Cache, default_folder


def test_a_workload_has_its_files(tmp_path):
    cache = Cache(tmp_path)
    given = samples.workload(models.mlp(), labels=np.arange(samples.SAMPLES))
    cache.add_workload(given)
    assert cache.model("w").read_bytes() == given.model
    assert cache.inputs("w", Part.SEARCH).read_bytes() == given.parts[Part.SEARCH]
    assert np.load(cache.labels("w", Part.CONFIRMATION)).tolist() == [0, 1, 2, 3, 4, 5]
    assert not cache.reference("w", Part.SEARCH).exists()


def test_a_folder_is_not_seen_before_it_is_complete(tmp_path):
    cache = Cache(tmp_path)
    target = cache.artifact("key")
    with cache.complete(target) as folder:
        assert folder is not None
        (folder / "model.onnx").write_bytes(b"half")
        assert not target.exists()
        assert folder.name.startswith(".draft-")
    assert (target / "model.onnx").read_bytes() == b"half"
    assert [path.name for path in target.parent.iterdir()] == ["key"]


def test_a_failure_leaves_nothing(tmp_path):
    cache = Cache(tmp_path)

    def fail() -> None:
        with cache.complete(cache.artifact("key")) as folder:
            assert folder is not None
            (folder / "model.onnx").write_bytes(b"half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_what_is_there_is_not_written_again(tmp_path):
    cache = Cache(tmp_path)
    with cache.complete(cache.artifact("key")):
        pass
    with cache.complete(cache.artifact("key")) as folder:
        assert folder is None


def test_a_race_has_one_winner_and_no_loser(tmp_path):
    """Both begin before either has finished."""
    cache, together = Cache(tmp_path), threading.Barrier(4)

    def write(name: str) -> None:
        with cache.complete(cache.artifact("key")) as folder:
            together.wait(5)
            assert folder is not None
            (folder / "model.onnx").write_text(name)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, "abcd"))
    assert (cache.artifact("key") / "model.onnx").read_text() in set("abcd")
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["key"]


def test_workers_may_take_the_same_workload_at_once(tmp_path):
    given = samples.workload(models.mlp())
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: Cache(tmp_path).add_workload(given), range(8)))
    assert [path.name for path in (tmp_path / "workloads").iterdir()] == ["w"]


def test_a_file_is_not_seen_before_it_is_complete(tmp_path):
    cache = Cache(tmp_path)
    cache.add_workload(samples.workload(models.mlp()))
    target = cache.reference("w", Part.SEARCH)
    with cache.complete_file(target) as draft:
        draft.write_bytes(b"outputs")
        assert not target.exists()
    assert target.read_bytes() == b"outputs"


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file")
    with pytest.raises(InfrastructureError) as caught:
        cache.add_workload(samples.workload(models.mlp()))
    assert str(caught.value) == (
        f"The cache folder {tmp_path / 'file'} cannot be written: Not a directory. Make room, or "
        "name another folder by XDG_CACHE_HOME."
    )


def test_the_default_folder_is_the_users(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert default_folder() == Path("/elsewhere/farm")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "farm"
