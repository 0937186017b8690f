"""What a killed run left of Ray is told from what a living one uses, and from other Rays."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

import pytest

from workers.leftovers import clear_leftovers, find_leftovers

_NOBODY = 1 << 22  # above every process id


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the farm lets Ray keep its files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = tmp_path / f"farm-ray-{os.getuid()}"
    made.mkdir()
    return made


def session(folder: Path, pid: int, began: float | None = None) -> Path:
    """A session of a driver, as Ray names it; with a socket that nobody serves."""
    at = time.localtime(time.time() if began is None else began)
    made = folder / f"session_{time.strftime('%Y-%m-%d_%H-%M-%S', at)}_123456_{pid}"
    (made / "sockets").mkdir(parents=True)
    (made / "logs").mkdir()
    (made / "sockets" / "raylet").touch()
    return made


def ours(folder: Path) -> list[Path]:
    return [path for path in find_leftovers().sessions if path.is_relative_to(folder)]


def test_a_session_whose_driver_is_gone_is_cleared(folder):
    dead = session(folder, _NOBODY)
    assert ours(folder) == [dead]
    clear_leftovers()
    assert list(folder.iterdir()) == []


def test_a_session_of_a_living_driver_stays(folder):
    session(folder, os.getpid())
    assert ours(folder) == []


def test_an_id_that_is_another_process_by_now_protects_nothing(folder):
    old = session(folder, os.getpid(), began=1e9)
    assert ours(folder) == [old]


def test_a_session_that_answers_stays(folder, monkeypatch):
    served = session(folder, _NOBODY)
    (served / "sockets" / "raylet").unlink()
    monkeypatch.chdir(served / "sockets")  # paths of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("raylet")
        server.listen()
        monkeypatch.setattr("workers.leftovers._answers", lambda path: _answers_here(path.name))
        assert ours(folder) == []
    assert ours(folder) == [served]


def _answers_here(name: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(name) == 0


def test_a_session_that_is_just_starting_stays(folder):
    starting = session(folder, _NOBODY)
    (starting / "sockets" / "raylet").unlink()
    assert ours(folder) == []
    os.utime(starting, (1e9, 1e9))
    assert ours(folder) == [starting]


def test_what_starts_left_goes_when_no_session_lives(folder):
    shelter = folder / "modules-abcdefgh"
    shelter.mkdir()
    assert ours(folder) == [], "a start may be on its way"
    os.utime(shelter, (1e9, 1e9))
    assert ours(folder) == [shelter]
    session(folder, os.getpid())
    assert ours(folder) == []


def test_other_rays_are_left_alone(tmp_path, folder):
    other = tmp_path / "ray"
    other.mkdir()
    session(other, _NOBODY)
    (folder / "session_latest").symlink_to(session(folder, os.getpid()))
    (folder / "prom_metrics_service_discovery.json").touch()
    assert find_leftovers().folders == ()
    assert ours(folder) == []
    clear_leftovers()
    assert len(list(other.iterdir())) == 1
