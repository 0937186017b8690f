"""Fixtures of the worker tests: workers that are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farm.devices.profile import DeviceProfile
from tests.workers import samples
from workers.trials.worker import Worker

MakeWorker = Callable[..., Worker]


@pytest.fixture
def make_worker(tmp_path: Path) -> Iterator[MakeWorker]:
    """Workers of a profile (cpu by default) on one cache; closed at the end."""
    made: list[Worker] = []

    def make(profile: DeviceProfile | None = None) -> Worker:
        made.append(Worker(profile or samples.cpu_profile(), tmp_path / "cache"))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make_worker: MakeWorker) -> Worker:
    """A worker of the cpu device."""
    return make_worker()


@pytest.fixture
def fake_worker(make_worker: MakeWorker) -> Worker:
    """A worker of the fake device."""
    return make_worker(samples.fake_profile())
