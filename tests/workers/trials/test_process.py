"""A child process under real faults: its worker survives, is told why, and leaves nothing."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest

from farm.errors import FarmError, InfrastructureError
from farm.measurement import Outcome
from farm.session.spec import SessionSpec
from tests.workers.processes import runs, wait_until
from workers.trials.process import Child, ChildError, _family

START = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[START]:
    started: list[Child] = []

    def make(interpreter: str = "", memory_limit: int = 0) -> Child:
        started.append(Child(interpreter, tmp_path / f"{len(started)}.log", memory_limit))
        return started[-1]

    yield make
    for child in started:
        child.kill()


def test_it_stays_on_its_processors(tmp_path: Path) -> None:
    last = max(os.sched_getaffinity(0))
    child = Child("", tmp_path / "log", processors=[last])
    try:
        assert os.sched_getaffinity(child.pid) == {last}
    finally:
        child.kill()


def load_fake(child: Child, fault: str = "none", deadline: float = 20.0) -> object:
    spec = {"seconds": 1e-3, "noise": 0.0, "fault": fault, "serial": 0}
    return child.request("load", deadline, engine="fake", spec=spec, model="", inputs="")


def load_plugin(child: Child, plugin: str, deadline: float = 20.0) -> object:
    """Load a session whose provider is the plugin of a Python package."""
    spec = asdict(SessionSpec(provider="Tested", plugin=plugin))
    return child.request("load", deadline, engine="onnxruntime", spec=spec, model="m", inputs="")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Make a Python package that children can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))

    return write


class TestInterpreter:
    def test_it_needs_nothing_but_numpy(self, start, tmp_path):
        """Of another virtual environment, which has an engine's packages and no others."""
        venv.create(tmp_path / "bare", symlinks=True)
        python = tmp_path / "bare" / "bin" / "python"
        (packages,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
        outer = Path(np.__file__).parents[1]
        for name in ("numpy", "numpy.libs"):
            if (outer / name).exists():
                (packages / name).symlink_to(outer / name)
        child = start(str(python))
        assert load_fake(child)["assignment"] == {"fake": 1}
        child.request("warm-up", 20.0, target=1e-3, cap=0.1)
        loops = child.request("calibrate", 20.0, target=1e-2)
        assert child.request("sample", 20.0, loops=loops)["seconds"] > 0
        assert child.request("peak-memory", 20.0) >= 0


class TestFaults:
    def test_a_crash_is_a_run_error_with_the_signal(self, start):
        child = start()
        with pytest.raises(ChildError) as caught:
            load_fake(child, "crash")
        assert caught.value.outcome is Outcome.RUN_ERROR
        assert "ended by SIGSEGV in 'load'" in caught.value.message
        assert not child.alive

    def test_a_hang_ends_within_its_deadline_and_two_seconds(self, start):
        child, began = start(), time.monotonic()
        with pytest.raises(ChildError) as caught:
            load_fake(child, "hang", deadline=0.5)
        assert 0.5 <= time.monotonic() - began < 2.5
        assert caught.value.outcome is Outcome.TIMEOUT
        assert caught.value.message == "no answer to 'load' within 0.5 s; ended."
        assert not psutil.pid_exists(child.pid)

    def test_a_leak_ends_at_the_memory_limit(self, start):
        child = start(memory_limit=200 << 20)
        with pytest.raises(ChildError) as caught:
            load_fake(child, "out-of-memory")
        assert caught.value.outcome is Outcome.OUT_OF_MEMORY
        assert "above the limit of 209715200" in caught.value.message
        assert not child.alive

    def test_an_exit_is_a_run_error_with_its_code_and_last_words(self, start, package):
        package("leaves", "import os, sys\nprint('good bye', file=sys.stderr)\nos._exit(3)")
        with pytest.raises(ChildError, match=r"ended with exit code 3 in 'load'\. good bye") as e:
            load_plugin(start(), "leaves")
        assert e.value.outcome is Outcome.RUN_ERROR

    def test_a_kill_from_outside_says_nothing_about_the_candidate(self, start):
        child = start()
        threading.Timer(0.3, os.kill, (child.pid, signal.SIGKILL)).start()
        with pytest.raises(ChildError, match="killed from outside in 'load'") as caught:
            load_fake(child, "hang")
        assert caught.value.outcome is Outcome.INFRASTRUCTURE_ERROR

    def test_a_dead_child_says_so_when_it_is_asked(self, start):
        child = start()
        os.kill(child.pid, signal.SIGKILL)
        assert wait_until(lambda: not child.alive)
        with pytest.raises(ChildError, match="killed from outside"):
            load_fake(child)

    def test_a_reported_error_leaves_the_child_alive(self, start):
        child = start()
        with pytest.raises(ChildError, match="the fake engine was told to fail"):
            load_fake(child, "error")
        load_fake(child)
        assert child.request("calibrate", 5.0, target=0.01) >= 10

    def test_an_unknown_command_is_an_error_not_a_death(self, start):
        child = start()
        with pytest.raises(ChildError, match="no_such"):
            child.request("no-such", 5.0)
        assert child.alive

    def test_a_full_disk_is_no_fault_of_a_candidate(self, start):
        child = start()
        child.request("load", 20.0, engine="sentinel", spec={}, model="", inputs="")
        with pytest.raises(
            InfrastructureError, match=r"'evaluate' failed on this machine: .*space"
        ):
            child.request("evaluate", 5.0, outputs="/dev/full")
        assert child.alive

    def test_an_interpreter_that_cannot_be_started_is_no_fault_of_a_candidate(self, start):
        with pytest.raises(ChildError, match="/nowhere/python cannot be started") as caught:
            start("/nowhere/python")
        assert caught.value.outcome is Outcome.INFRASTRUCTURE_ERROR

    def test_an_interpreter_that_ends_at_once_is_no_fault_of_a_candidate(self, start):
        with pytest.raises(ChildError, match="with exit code 1 in 'start'") as caught:
            start("/bin/false")
        assert caught.value.outcome is Outcome.INFRASTRUCTURE_ERROR


class TestIsolation:
    def test_prints_do_not_break_the_protocol(self, start, package, tmp_path):
        package(
            "noisy",
            """
            import os
            print("{\\"ok\\": 1}")
            os.write(1, b"noise\\n" * 1000)
            os.system("echo more noise")
            """,
        )
        child = start()
        with pytest.raises(ChildError, match="get_library_path"):
            load_plugin(child, "noisy")
        load_fake(child)
        assert "more noise" in (tmp_path / "0.log").read_text()

    def test_it_is_spawned_in_a_group_of_its_own(self, start):
        process = psutil.Process(start().pid)
        assert process.cmdline()[1:3] == ["-P", process.cmdline()[2]]
        assert process.cmdline()[2].endswith("child/main.py"), "a new interpreter, not a fork"
        assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
        assert os.getsid(process.pid) == process.pid

    def test_thread_counts_of_the_parent_do_not_reach_it(self, start, monkeypatch):
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            monkeypatch.setenv(name, "7")
        environment = psutil.Process(start().pid).environ()
        assert "OMP_NUM_THREADS" not in environment
        assert "MKL_NUM_THREADS" not in environment
        assert environment["OPENBLAS_NUM_THREADS"] == "1", "the sentinel uses one thread"

    def test_a_kill_reaches_what_it_started(self, start, package):
        package(
            "parent",
            """
            import subprocess
            subprocess.Popen(["sleep", "100"])
            raise ImportError
            """,
        )
        child = start()
        with pytest.raises(ChildError):
            load_plugin(child, "parent")
        (grandchild,) = psutil.Process(child.pid).children()
        child.kill()
        assert wait_until(lambda: not runs(grandchild.pid))

    def test_it_ends_with_its_parent_even_in_a_hang(self, tmp_path):
        script = tmp_path / "parent.py"
        script.write_text(_PARENT_SCRIPT)
        parent = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)  # let it get into the hang
        assert runs(pid)
        parent.kill()
        parent.wait()
        parent.stdout.close()
        assert wait_until(lambda: not runs(pid), 5.0), "an orphan is left"


class TestChildError:
    def test_it_travels(self):
        error = ChildError(Outcome.TIMEOUT, "too late.")
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.outcome, copy.message, str(copy)) == (
            Outcome.TIMEOUT,
            "too late.",
            "too late.",
        )

    def test_it_is_shown_as_one_sentence(self):
        assert isinstance(ChildError(Outcome.TIMEOUT, "too late."), FarmError)


_PARENT_SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from workers.trials.process import Child
child = Child("", Path(sys.argv[1]))
print(child.pid, flush=True)
spec = {{"seconds": 1.0, "noise": 0.0, "fault": "hang", "serial": 0}}
child.request("load", 60.0, engine="fake", spec=spec, model="", inputs="")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel lists children on Linux only")
def test_what_a_child_started_is_watched_with_it() -> None:
    script = "import subprocess; print(subprocess.Popen(['sleep', '30']).pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        started = int(parent.stdout.readline())
        try:
            assert _family(parent.pid) == [parent.pid, started]
        finally:
            os.kill(started, signal.SIGKILL)
            parent.kill()
