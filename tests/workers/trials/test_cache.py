"""The cache: what is in it is whole, whoever else writes to it at the same time."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from farm.artifact.folder import HASHES_FILE
from farm.errors import InfrastructureError
from tests import models
from tests.workers import samples
from workers.jobs import Part
from workers.trials.stored.cache import Cache, default_folder
from workers.trials.stored.hashes import damage


def test_a_workload_has_its_files(tmp_path):
    cache = Cache(tmp_path)
    given = samples.workload(models.mlp(), labels=np.arange(samples.SAMPLES))
    cache.add_workload(given)
    assert cache.model("w").read_bytes() == given.model
    assert cache.inputs("w", Part.SEARCH).read_bytes() == given.parts[Part.SEARCH]
    assert np.load(cache.labels("w", Part.CONFIRMATION)).tolist() == [0, 1, 2, 3, 4, 5]
    assert not cache.references("w", Part.SEARCH).exists()


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


def written(cache: Cache, name: str = "key", content: bytes = b"content") -> Path:
    """An artifact of one file."""
    target = cache.artifact(name)
    with cache.complete(target) as folder:
        if folder is not None:
            (folder / "model.onnx").write_bytes(content)
    return target


def flipped(file: Path) -> None:
    """Change a bit, as a disk does: same size, same time."""
    before, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


class TestDamage:
    @pytest.mark.parametrize(
        ("harm", "told"),
        [
            (flipped, "its model.onnx is not what was written"),
            (lambda file: os.truncate(file, 0), "its model.onnx is not what was written"),
            (lambda file: file.chmod(0o755), "its model.onnx is not what was written"),
            (Path.unlink, "its model.onnx is gone"),
            (lambda file: flipped(file.with_name(HASHES_FILE)), ""),
        ],
    )
    def test_is_found_and_mended_by_the_next_process(self, tmp_path, harm, told):
        harm(written(Cache(tmp_path)) / "model.onnx")
        cache = Cache(tmp_path)
        target = written(cache)
        assert (target / "model.onnx").read_bytes() == b"content"
        assert damage(target) == ""
        (remark,) = cache.take_remarks()
        assert remark.startswith("The cache's artifacts/key was damaged and was made anew: its ")
        assert told in remark
        assert cache.take_remarks() == ()
        assert [path.name for path in target.parent.iterdir()] == ["key"]

    def test_is_found_in_the_process_that_wrote(self, tmp_path):
        cache = Cache(tmp_path)
        target = written(cache)
        (target / "model.onnx").write_bytes(b"other")
        written(cache)
        assert (target / "model.onnx").read_bytes() == b"content"

    def test_is_looked_for_once_in_a_process(self, tmp_path, monkeypatch):
        written(Cache(tmp_path))
        cache, asked = Cache(tmp_path), []
        monkeypatch.setattr(
            "workers.trials.stored.cache.damage", lambda f: asked.append(f) or damage(f)
        )
        for _ in range(3):
            written(cache)
        assert asked == [cache.artifact("key")]

    def test_what_an_earlier_version_wrote_is_replaced_without_a_word(self, tmp_path):
        target = Cache(tmp_path).artifact("key")
        target.mkdir(parents=True)
        (target / "model.onnx").write_bytes(b"without hashes")
        cache = Cache(tmp_path)
        assert (written(cache) / "model.onnx").read_bytes() == b"content"
        assert cache.take_remarks() == ()

    def test_a_file_in_the_way_is_replaced(self, tmp_path):
        target = Cache(tmp_path).artifact("key")
        target.parent.mkdir(parents=True)
        target.write_bytes(b"")
        assert (written(Cache(tmp_path)) / "model.onnx").read_bytes() == b"content"

    def test_of_a_workload_is_mended_when_it_is_given_again(self, tmp_path):
        given = samples.workload(models.mlp())
        Cache(tmp_path).add_workload(given)
        flipped(Cache(tmp_path).inputs("w", Part.SEARCH))
        cache = Cache(tmp_path)
        cache.add_workload(given)
        assert cache.inputs("w", Part.SEARCH).read_bytes() == given.parts[Part.SEARCH]
        cache.check_workload("w")

    def test_of_a_workload_in_use_is_no_fault_of_a_candidate(self, tmp_path):
        cache = Cache(tmp_path)
        cache.add_workload(samples.workload(models.mlp()))
        cache.model("w").unlink()
        with pytest.raises(
            InfrastructureError, match=r"of .*/workloads/w, its model.onnx is gone"
        ):
            cache.check_workload("w")

    def test_several_processes_may_find_it_at_once(self, tmp_path):
        flipped(written(Cache(tmp_path)) / "model.onnx")
        caches = [Cache(tmp_path) for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            targets = list(threads.map(written, caches))
        assert {(t / "model.onnx").read_bytes() for t in targets} == {b"content"}
        assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["key"]

    def test_files_that_are_open_stay_readable(self, tmp_path):
        target = written(Cache(tmp_path))
        with (target / "model.onnx").open("rb") as file:
            flipped(target / "model.onnx")
            written(Cache(tmp_path))
            assert len(file.read()) == len(b"content")
