"""What a cache keeps when it must make room: what is used, and what was used last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farm.artifact.folder import HASHES_FILE
from farm.errors import OptionError
from farm.units import Bytes
from tests.tools.command import ROOT
from workers.trials.stored.cache import Cache
from workers.trials.stored.usage import cache_limit, drafts, entries, evict, in_use

SIZE = 64 << 10
_OTHER = """
import pathlib, sys
from workers.trials.stored.cache import Cache
cache = Cache(pathlib.Path(sys.argv[1]))
with cache.complete(cache.artifact("b")) as folder:
    assert folder is None
half = cache.complete(cache.artifact("half"))
half.__enter__()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Artifacts a, b and c, used in this order by a process that has ended."""
    cache = Cache(tmp_path)
    for age, name in enumerate("cba"):
        with cache.complete(cache.artifact(name)) as folder:
            assert folder is not None
            (folder / "model.onnx").write_bytes(bytes(SIZE))
        os.utime(cache.artifact(name) / HASHES_FILE, (1e9 - age, 1e9 - age))
    cache.close()
    return tmp_path


@pytest.fixture
def other(root: Path):
    """Another process that uses b and has a draft."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def names(root: Path) -> list[str]:
    return [entry.path.name for entry in entries(root)]


def test_entries_come_with_sizes_the_longest_unused_first(root):
    assert names(root) == ["a", "b", "c"]
    assert all(SIZE <= entry.size < 2 * SIZE for entry in entries(root))


def test_the_longest_unused_go_first_and_no_more_than_needed(root):
    freed = evict(root, Bytes(5 * SIZE // 2))
    assert names(root) == ["b", "c"]
    assert SIZE <= freed < 2 * SIZE


def test_what_is_taken_counts_as_used(root):
    cache = Cache(root)
    with cache.complete(cache.artifact("a")) as folder:
        assert folder is None
    cache.close()
    evict(root, Bytes(5 * SIZE // 2))
    assert names(root) == ["c", "a"]


def test_within_the_limit_nothing_goes(root):
    assert evict(root, Bytes(4 * SIZE)) == 0
    assert names(root) == ["a", "b", "c"]


def test_what_a_living_process_uses_stays(root, other):
    assert in_use(root) == {root / "artifacts" / "b", root / "artifacts" / "half"}
    evict(root, Bytes(0))
    assert names(root) == ["b"]
    assert len(list((root / "artifacts").glob(".draft-*"))) == 1, "its draft stays, too"


def test_what_a_killed_process_used_may_go(root, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    ((_, lock),) = drafts(root)
    lock.release()
    evict(root, Bytes(0))
    assert list((root / "artifacts").iterdir()) == []
    assert list((root / "users").iterdir()) == []


def test_a_run_keeps_the_limit_at_its_start(root, monkeypatch):
    monkeypatch.setenv("FARM_CACHE_LIMIT", "100KiB")
    Cache(root).keep_limit()
    assert names(root) == ["c"]


def test_a_cache_that_is_not_there_is_not_made(tmp_path):
    Cache(tmp_path / "none").keep_limit()
    assert entries(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_the_limit_is_a_size(monkeypatch):
    monkeypatch.delenv("FARM_CACHE_LIMIT", raising=False)
    assert cache_limit() == 20 << 30
    monkeypatch.setenv("FARM_CACHE_LIMIT", "2GiB")
    assert cache_limit() == 2 << 30
    monkeypatch.setenv("FARM_CACHE_LIMIT", "much")
    with pytest.raises(OptionError, match="FARM_CACHE_LIMIT: 'much' is not a size"):
        cache_limit()


def test_eviction_never_disturbs_who_takes_entries(tmp_path):
    """Many times over, because each of the moments that matter is short."""
    done = threading.Event()

    def take(name: str) -> int:
        for _ in range(60):
            cache = Cache(tmp_path)
            target = cache.artifact(name)
            with cache.complete(target) as folder:
                if folder is not None:
                    (folder / "model.onnx").write_text(name)
            assert (target / "model.onnx").read_text() == name
            cache.close()
        return 60

    def evict_all() -> None:
        while not done.is_set():
            evict(tmp_path, Bytes(0))

    with ThreadPoolExecutor(4) as threads:
        evictor = threads.submit(evict_all)
        try:
            assert sum(threads.map(take, "abb")) == 180
        finally:
            done.set()
        evictor.result()
