"""The reaper ends processes when their owner is gone, and only then."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil

from workers.cluster.reaper import end_with_me

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
OWNER = """
import sys, time
from workers.cluster.reaper import end_with_me
end_with_me([int(sys.argv[1])])
print("ready", flush=True)
time.sleep(60)
"""


def test_processes_end_when_their_owner_is_killed() -> None:
    sleeper = subprocess.Popen(SLEEPER)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(sleeper.pid)], stdout=subprocess.PIPE
    )
    owner.stdout.readline()
    (reaper,) = psutil.Process(owner.pid).children()
    assert sleeper.poll() is None

    owner.kill()
    owner.communicate()

    assert sleeper.wait(timeout=10) == -signal.SIGKILL
    psutil.wait_procs([reaper], timeout=10)
    assert not reaper.is_running() or reaper.status() == psutil.STATUS_ZOMBIE


def test_processes_end_when_the_input_is_closed() -> None:
    sleeper = subprocess.Popen(SLEEPER)
    reaper = end_with_me([sleeper.pid])
    time.sleep(0.2)
    assert sleeper.poll() is None

    reaper.communicate()

    assert sleeper.wait(timeout=10) == -signal.SIGKILL


def test_processes_that_are_gone_do_not_matter() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    reaper = end_with_me([gone.pid])
    reaper.communicate()
    assert reaper.returncode == 0
