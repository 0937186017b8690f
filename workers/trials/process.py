"""A child process seen from its worker: start, ask with a deadline, watch its memory, kill.

A child has its own process group, so that a kill reaches everything it started. It is spawned,
never forked.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import psutil

from farm.errors import FarmError, InfrastructureError
from farm.measurement import Outcome

_SCRIPT = Path(__file__).parents[1] / "child" / "main.py"
_POLL_SECONDS = 0.05
_START_SECONDS = 60.0
_LOG_TAIL = 300
_OUT_OF_MEMORY_SHARE = 0.8
_KERNEL_COUNTERS = Path("/proc/vmstat")
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class ChildError(FarmError):
    """The child failed; ``outcome`` says what that makes of its trial."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message

    def __reduce__(self) -> tuple[type[ChildError], tuple[Outcome, str]]:
        """Errors travel between actors and the driver; both arguments are needed to rebuild."""
        return type(self), (self.outcome, self.message)


class Child:
    """One living child process.

    interpreter: Python to run it with. log: file that takes what it prints.
    memory_limit: bytes of resident memory above which it is killed; 0 for none.
    processors: logical processors that it runs on; empty for all.
    variables: of its environment, beside those of this process.

    Raises ChildError when it does not start.
    """

    def __init__(
        self,
        interpreter: str,
        log: Path,
        memory_limit: int = 0,
        processors: Iterable[int] = (),
        variables: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        self._memory_limit = memory_limit
        self._log = log
        self._highest_resident = 0
        self._pending = b""
        self._ended = False
        self._kernel_kills = _out_of_memory_kills()
        arguments = [interpreter or sys.executable, "-P", str(_SCRIPT), f"--parent={os.getpid()}"]
        if memory_limit:
            arguments.append(f"--data-limit={2 * memory_limit + (2 << 30)}")
        if named := ",".join(map(str, processors)):
            arguments.append(f"--processors={named}")
        self._process = _started(arguments, log, variables)
        try:
            self._read_reply("start", _START_SECONDS)
        except ChildError as error:
            if error.outcome is Outcome.OUT_OF_MEMORY:
                raise
            # It was not given anything of a candidate yet.
            raise ChildError(Outcome.INFRASTRUCTURE_ERROR, error.message) from None

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its process group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def request(self, command: str, deadline: float, **arguments: Any) -> Any:  # noqa: ANN401
        """Send one request and return what is under ``ok`` in its reply.

        deadline: seconds after which the child is killed.

        Raises ChildError when it reports an error, dies, hangs or outgrows its memory; except
        after a reported error it is dead then. Raises InfrastructureError when it reports that
        something is wrong with the machine, like a full disk.
        """
        line = json.dumps({"command": command, **arguments}).encode() + b"\n"
        try:
            self._pipe(self._process.stdin).write(line)
            self._pipe(self._process.stdin).flush()
        except BrokenPipeError:
            raise self._death(command) from None
        reply = json.loads(self._read_reply(command, deadline))
        if error := reply.get("error"):
            outcome = Outcome(error["outcome"])
            if outcome is Outcome.INFRASTRUCTURE_ERROR:
                raise InfrastructureError(
                    f"'{command}' failed on this machine: {error['message']}"
                )
            raise ChildError(outcome, error["message"])
        return reply["ok"]

    def kill(self) -> None:
        """End the process group at once and reap the child; again does nothing."""
        if self._ended:  # its id may be another process's by now
            return
        self._ended = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _read_reply(self, command: str, deadline: float) -> bytes:
        end = time.monotonic() + deadline
        pipe = self._pipe(self._process.stdout)
        while b"\n" not in self._pending:
            ready, _, _ = select.select([pipe], [], [], _POLL_SECONDS)
            if ready:
                chunk = os.read(pipe.fileno(), 1 << 16)
                if not chunk:
                    raise self._death(command)
                self._pending += chunk
            else:
                self._check(command, end, deadline)
        line, self._pending = self._pending.split(b"\n", 1)
        return line

    def _check(self, command: str, end: float, deadline: float) -> None:
        self._watch_memory(command)
        if time.monotonic() > end:
            self.kill()
            raise ChildError(
                Outcome.TIMEOUT, f"no answer to '{command}' within {deadline:.3g} s; ended."
            )

    def _watch_memory(self, command: str) -> None:
        with contextlib.suppress(psutil.Error):
            resident = sum(
                psutil.Process(process).memory_info().rss for process in _family(self.pid)
            )
            self._highest_resident = max(self._highest_resident, resident)
        if self._memory_limit and self._highest_resident > self._memory_limit:
            self.kill()
            raise ChildError(
                Outcome.OUT_OF_MEMORY,
                f"used {self._highest_resident} bytes during '{command}', above the limit of "
                f"{self._memory_limit}; ended.",
            )

    def _death(self, command: str) -> ChildError:
        """What the end of the process means.

        SIGKILL is the kernel's answer to memory running out if the kernel says that it killed, or
        if the child was near its limit; otherwise somebody else did it, which says nothing about
        the candidate.
        """
        self.kill()
        code = self._process.returncode
        if code == -signal.SIGKILL:
            near_limit = self._highest_resident > _OUT_OF_MEMORY_SHARE * self._memory_limit > 0
            if near_limit or _out_of_memory_kills() > self._kernel_kills:
                return ChildError(Outcome.OUT_OF_MEMORY, f"killed by the system in '{command}'.")
            return ChildError(
                Outcome.INFRASTRUCTURE_ERROR, f"the child was killed from outside in '{command}'."
            )
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return ChildError(
            Outcome.RUN_ERROR,
            f"the child ended {how} in '{command}'. {self._last_words()}".strip(),
        )

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            text = self._log.read_text(encoding="utf-8", errors="replace").strip()
            return " ".join(text.split())[-_LOG_TAIL:]
        return ""

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None  # Popen was given PIPE
        return pipe


def _started(
    arguments: list[str], log: Path, variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    try:
        with log.open("wb") as errors:
            return subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env=_environment() | dict(variables),
            )
    except OSError as error:
        raise ChildError(
            Outcome.INFRASTRUCTURE_ERROR, f"the child {arguments[0]} cannot be started: {error}."
        ) from None


def _family(process: int) -> list[int]:
    """A process and those that its main thread started; a look that costs next to nothing."""
    family = [process]
    for member in family:
        with contextlib.suppress(OSError):
            started = Path(f"/proc/{member}/task/{member}/children").read_text(encoding="ascii")
            family += [int(child) for child in started.split()]
    return family


def _out_of_memory_kills() -> int:
    """Processes that the kernel has killed for want of memory; 0 where it does not count them."""
    with contextlib.suppress(OSError):
        for line in _KERNEL_COUNTERS.read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _environment() -> dict[str, str]:
    """The parent's environment without variables that would choose the thread counts.

    Ray sets OMP_NUM_THREADS to an actor's number of CPUs: a silent confounder.
    """
    confounders = {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
    kept = {k: v for k, v in os.environ.items() if k not in confounders}
    # The sentinel's matrix product shall use one thread; no engine here reads this variable.
    return kept | {"OPENBLAS_NUM_THREADS": "1"}
