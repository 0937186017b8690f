"""Control groups of made-up machines."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from farm.host.limits import memory_limit, processor_quota, processors

Machine = Callable[[str, Mapping[str, object]], Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A root with the groups of this process and the files below ``/sys/fs/cgroup``."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    def make(groups: str, files: Mapping[str, object]) -> Path:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
        for name, text in files.items():
            path = tmp_path / "sys" / "fs" / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return tmp_path

    return make


def test_a_machine_without_groups(machine: Machine) -> None:
    root = machine("", {})
    assert (processors(root), processor_quota(root), memory_limit(root)) == (8, None, None)
    assert memory_limit(root / "nowhere") is None


def test_version_2(machine: Machine) -> None:
    files = {"a/b/cpu.max": "250000 100000", "a/b/memory.max": 1 << 30}
    root = machine("0::/a/b\n", files)
    assert (processors(root), processor_quota(root), memory_limit(root)) == (2, 2.5, 1 << 30)


def test_a_group_above_limits_too(machine: Machine) -> None:
    above = {"a/cpu.max": "300000 100000", "a/memory.max": 1 << 20, "cpu.max": "max 100000"}
    root = machine("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/b/memory.max": "max"} | above)
    assert (processors(root), memory_limit(root)) == (3, 1 << 20)


@pytest.mark.parametrize("path", ["/", "/docker/0123", "/../../system.slice/0123"])
def test_a_container_sees_its_own_group_at_the_top(machine: Machine, path: str) -> None:
    root = machine(f"0::{path}\n", {"cpu.max": "400000 100000", "memory.max": 4096})
    assert (processors(root), memory_limit(root)) == (4, 4096)


def test_version_1(machine: Machine) -> None:
    groups = "5:memory:/m\n4:cpuacct,cpu:/c\n1:name=systemd:/\n0::/\n"
    cpu = {"cpu.cfs_quota_us": 200000, "cpu.cfs_period_us": 50000}
    files = {f"cpuacct,cpu/c/{name}": value for name, value in cpu.items()}
    root = machine(groups, {**files, "memory/m/memory.limit_in_bytes": 1 << 29})
    assert (processors(root), memory_limit(root)) == (4, 1 << 29)


def test_version_1_without_limits(machine: Machine) -> None:
    cpu = {"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000}
    root = machine(
        "2:cpu:/\n1:memory:/\n", {**cpu, "memory/memory.limit_in_bytes": 9223372036854771712}
    )
    assert (processors(root), processor_quota(root), memory_limit(root)) == (8, None, None)


@pytest.mark.parametrize(
    ("quota", "cores"), [("10000", 1), ("100000", 1), ("150000", 1), ("199999", 1), ("900000", 8)]
)
def test_whole_processors_of_a_quota_count(machine: Machine, quota: str, cores: int) -> None:
    assert processors(machine("0::/\n", {"cpu.max": f"{quota} 100000"})) == cores


@pytest.mark.parametrize("text", ["", "odd", "1", "5 0", "0 100000", "\u00b2 1"])
def test_what_cannot_be_read_limits_nothing(machine: Machine, text: str) -> None:
    root = machine("0::/\nodd\n", {"cpu.max": text, "memory.max": "odd"})
    assert (processors(root), memory_limit(root)) == (8, None)
