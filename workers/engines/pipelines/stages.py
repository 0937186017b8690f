"""Parts of a pipeline that have processes of their own, seen from the process that runs it.

A slot of shared memory travels: who has its number may read and write its tensors. It comes to a
stage through a pipe and leaves it through the next one, so that nothing but the number is copied.
The other side is ``workers/child/stage.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from farm.host.closing import Closing
from workers.engines.pipelines.slots import Layout
from workers.engines.session import EngineError, KilledError, NotAsPlannedError
from workers.protocol import PartDescription

FAILED = 255
"""In place of a slot's number: a stage could not run."""
MOST_SLOTS = FAILED
_DEATH_SECONDS = 1.0
_SCRIPT = Path(__file__).parents[2] / "child" / "stage.py"


@dataclass(frozen=True, slots=True)
class Passed:
    """What travels: the number of a slot, and the nanoseconds of each stage."""

    slot: int
    nanoseconds: tuple[int, ...]

    @staticmethod
    def size(stages: int) -> int:
        """Bytes of a message between so many stages."""
        return struct.calcsize(f"<B{stages}Q")

    @classmethod
    def parse(cls, message: bytes) -> Passed:
        """What :meth:`message` wrote."""
        count = (len(message) - 1) // 8
        slot, *nanoseconds = struct.unpack(f"<B{count}Q", message)
        return cls(slot, tuple(nanoseconds))

    def message(self) -> bytes:
        """The bytes of it."""
        return struct.pack(f"<B{len(self.nanoseconds)}Q", self.slot, *self.nanoseconds)


def read_exactly(descriptor: int, size: int) -> bytes:
    """So many bytes of a pipe; fewer where nobody writes to it any more."""
    found = os.read(descriptor, size)
    while found and len(found) < size and (more := os.read(descriptor, size - len(found))):
        found += more
    return found


class StageChain(Closing):
    """Stages in a row, each in its process: what comes out of one goes into the next.

    layout: of a slot. memory: the file that is shared, with so many slots.

    Raises EngineError, NotAsPlannedError: a part cannot be loaded as it is described.
    """

    def __init__(
        self, parts: Sequence[PartDescription], layout: Layout, memory: Path, slots: int
    ) -> None:
        self._parts = parts
        self._processes: list[subprocess.Popen[bytes]] = []
        ends = [os.pipe() for _ in range(len(parts) + 1)]
        self._into, self._from = ends[0][1], ends[-1][0]
        self._message = Passed.size(len(parts))
        self.assignment: dict[str, int] = {}
        try:
            for index, part in enumerate(parts):
                passed = (ends[index][0], ends[index + 1][1])
                self._processes.append(_started(part, passed))
            self._load(layout, memory, slots)
        except BaseException:
            self.close()
            raise
        finally:
            for index in range(len(parts)):
                os.close(ends[index][0])
                os.close(ends[index + 1][1])

    @property
    def processes(self) -> tuple[int, ...]:
        """Their ids."""
        return tuple(process.pid for process in self._processes)

    def send(self, slot: int) -> None:
        """Have the first stage run on a slot. Raises EngineError: it is gone."""
        try:
            os.write(self._into, Passed(slot, (0,) * len(self._parts)).message())
        except BrokenPipeError:
            raise self._death() from None

    def receive(self) -> Passed:
        """The next slot that all stages ran on. Raises EngineError: one failed, or is gone."""
        message = read_exactly(self._from, self._message)
        if len(message) < self._message:
            raise self._death()
        passed = Passed.parse(message)
        if passed.slot == FAILED:
            raise self._failure(passed.nanoseconds[0])
        return passed

    def close(self) -> None:
        """End the processes; again does nothing."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        for descriptor in (self._into, self._from):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._processes, self._into, self._from = [], -1, -1

    def _load(self, layout: Layout, memory: Path, slots: int) -> None:
        """Have all load at the same time."""
        tensors = [asdict(tensor) for tensor in layout.tensors]
        for index, (part, process) in enumerate(zip(self._parts, self._processes, strict=True)):
            told = {"part": asdict(part), "index": index, "stages": len(self._parts)}
            told |= {"tensors": tensors, "memory": str(memory), "slots": slots}
            assert process.stdin is not None  # Popen was given PIPE
            with contextlib.suppress(BrokenPipeError):  # what it printed says why
                process.stdin.write(json.dumps(told).encode() + b"\n")
                process.stdin.flush()
        for part, process in zip(self._parts, self._processes, strict=True):
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise self._death()
            reply = json.loads(line)
            if "error" in reply:
                kind = NotAsPlannedError if reply["kind"] == "not-as-planned" else EngineError
                raise kind(f"The part at {part.place} cannot be loaded: {reply['error']}")
            for provider, count in reply["ok"].items():
                name = f"{part.place}: {provider}"
                self.assignment[name] = self.assignment.get(name, 0) + count

    def _failure(self, index: int) -> EngineError:
        """Why a stage could not run: it says so before it passes the slot on."""
        pipe = self._processes[index].stdout
        assert pipe is not None  # as in _load
        why = str(json.loads(pipe.readline())["error"]).rstrip(".")
        return EngineError(f"The part at {self._parts[index].place} failed in a run: {why}.")

    def _death(self) -> EngineError:
        """Which process ended, and how; others end in turn, of themselves."""
        deadline = time.monotonic() + _DEATH_SECONDS
        while time.monotonic() < deadline:
            for part, process in zip(self._parts, self._processes, strict=True):
                if code := process.poll():
                    died = signal.Signals(-code).name if code < 0 else ""
                    how = f"by {died}" if died else f"with exit code {code}"
                    kind = KilledError if code == -signal.SIGKILL else EngineError
                    return kind(f"The process of the part at {part.place} ended {how}.")
            time.sleep(_DEATH_SECONDS / 100)
        return EngineError("A process of the pipeline ended.")


def _started(part: PartDescription, tokens: tuple[int, int]) -> subprocess.Popen[bytes]:
    """Raises EngineError: its interpreter cannot be started."""
    command = [part.interpreter or sys.executable, "-P", str(_SCRIPT), *map(str, tokens)]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=tokens,
            env=os.environ | part.variables,
        )
    except OSError as error:
        raise EngineError(
            f"The process of the part at {part.place} cannot be started: {error}."
        ) from None
