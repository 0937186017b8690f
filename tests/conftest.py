"""What tests of the whole command share."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from farm.codegen.build.compilers import find_emulator
from farm.host.folders import cache_folder
from tests.models import conv_net, save
from tests.tools.command import Command

if TYPE_CHECKING:
    from tests.nvidia.pretended import PretendedGpus
    from tests.rapl import FakeRapl

_LONGEST = (
    "tests/test_docs.py",
    "tests/commands/test_endings.py",
    "tests/farm/codegen/ops/test_convolution.py",
    "tests/workers/cluster/test_several_machines.py",
    "tests/commands/test_cli.py",
    "tests/workers/trials/test_worker.py",
    "tests/browser/test_report_in_browser.py",
    "tests/commands/test_package.py",
    "tests/workers/engines/test_webgpu.py",
    "tests/commands/machines/test_gpu_software.py",
    "tests/workers/gpus/test_gpu_trials.py",
    "tests/workers/test_packages.py",
    "tests/farm/codegen/ops/test_float.py",
    "tests/commands/test_api.py",
    "tests/workers/test_executors.py",
    "tests/workers/environments/test_resolve.py",
    "tests/commands/test_clean.py",
    "tests/workers/trials/test_pinned.py",
    "tests/workers/test_profiles.py",
    "tests/workers/engines/test_qnn.py",
    "tests/commands/nightly/test_bisect.py",
)

# Property tests try the same examples on every machine and every day, however slow it is.
settings.register_profile(
    "same-everywhere",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("same-everywhere")


def pytest_configure(config: pytest.Config) -> None:
    """Tests that run at the same time have folders for temporary files of their own.

    Some look whether anything was left there. No test runs in an environment of the developer's.
    What Zig builds once for a machine, which takes it seconds, is kept: most tests have a cache
    folder of their own. So is Python's bytecode, also where the developer's environment says
    otherwise: the hundreds of processes that tests start would each compile the whole farm.
    Linear algebra has one thread: several that wait for each other on processors that other tests
    use take seven times as long. (In this process it was loaded already; those of xdist follow.)
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.pop("PYTHONUNBUFFERED", None)  # users have it seldom, and it hides faults
    sys.dont_write_bytecode = False
    os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(cache_folder() / "zig"))
    data = tempfile.mkdtemp(prefix="data-")
    os.environ["XDG_DATA_HOME"] = data
    config.add_cleanup(lambda: shutil.rmtree(data, ignore_errors=True))
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        folder = tempfile.mkdtemp(prefix=f"{worker}-")
        Path(folder).chmod(0o755)  # PostgreSQL's server is another user
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest go first: the last ones are shared evenly among processes then."""
    rank = {name: at for at, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


def pytest_collection_finish() -> None:
    """What was collected stays: the collector of garbage need not look through it ever again."""
    gc.freeze()


@pytest.fixture
def farm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in an empty folder with ``model.onnx`` and ``data.npz``."""
    furnish(tmp_path)
    return Command(tmp_path, capsys)


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PretendedGpus:
    """One GPU, by stand-ins, until told otherwise."""
    from tests.nvidia.pretended import PretendedGpus

    return PretendedGpus(tmp_path, monkeypatch)


@pytest.fixture
def rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRapl:
    """RAPL, by a stand-in, for this process and its children."""
    from tests.rapl import FakeRapl

    monkeypatch.setenv("FARM_POWERCAP", str(tmp_path / "powercap"))
    return FakeRapl(tmp_path / "powercap")


@pytest.fixture
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process measure as few blocks as can be judged."""
    from tests.tools.few_blocks import measure_few

    measure_few(monkeypatch)


@pytest.fixture
def emulator() -> str:
    """The Hexagon's emulator. Without it the test is skipped, or fails where it is required."""
    found = find_emulator()
    if found is None:
        message = "qemu-hexagon is not installed (apt-get install qemu-user)"
        if os.environ.get("FARM_REQUIRE_EMULATOR"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def furnish(folder: Path, samples: int = 24) -> None:
    """A small model and labelled data for it; `label` is what the model is trained to say."""
    save(conv_net(), folder)
    random = np.random.default_rng(1)
    images = random.standard_normal((samples, 3, 16, 16)).astype(np.float32)
    np.savez(folder / "data.npz", image=images)
