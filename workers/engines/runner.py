"""A compiled package in its runner: a process of its own that is asked over two pipes.

The other side, and what requests and replies look like, is ``farm/codegen/runtime/runner.c``.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from farm.codegen.build.compilers import Target, find_emulator
from farm.host.closing import Closing
from workers.engines.session import Array, EngineError, KilledError

_START_SECONDS = 60.0
_CHUNK = 1 << 16
_MOST_LOOPS = (1 << 32) - 1
_WROTE_OUTSIDE = b"e"


@dataclass(frozen=True, slots=True)
class Counters:
    """What a number of calls of a package cost together; what does not apply is 0.

    nanoseconds: wall time, on the host.
    packets, instructions, vector_instructions: what the Hexagon executed, counted exactly by the
    emulator. A packet is what is issued in one cycle, one to four instructions.
    """

    nanoseconds: int
    packets: int
    instructions: int
    vector_instructions: int


def runner_command(program: Path, target: Target) -> tuple[str, ...]:
    """How a runner that was built for this target is started here.

    Raises EngineError when it needs the emulator and there is none.
    """
    if not target.is_hexagon:
        return (str(program),)
    emulator = find_emulator()
    if emulator is None:
        raise EngineError(
            "Binaries for the Hexagon run here in qemu-hexagon only, which is not installed; "
            "on Debian and Ubuntu: apt-get install qemu-user."
        )
    return emulator, str(program)


class RunnerProcess(Closing):
    """One running package.

    program: a runner that ``farm.codegen.build.toolchain.build_runner`` made, for ``target``.
    deadline: seconds that one request may take.

    Its process is in the group of the process that starts it, and ends with it.

    Raises EngineError when it does not start.
    """

    input_bytes: tuple[int, ...]
    output_bytes: tuple[int, ...]

    def __init__(self, program: Path, target: Target, deadline: float = 600.0) -> None:
        self._target = target
        self._deadline = deadline
        self._process = _started(runner_command(program, target))
        try:
            self.input_bytes, self.output_bytes = self._sizes()
        except EngineError:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    def run(self, inputs: Sequence[Array]) -> list[NDArray[np.uint8]]:
        """Run once.

        inputs: in the model's order, of the types and shapes that the package was made for.
        Returns the bytes of each output.

        Raises EngineError: wrong number or size of inputs, or the package crashed, hung, or wrote
        outside its memory; in the last three cases the process is gone.
        """
        contents = [np.ascontiguousarray(each).tobytes() for each in inputs]
        sizes = tuple(len(content) for content in contents)
        if sizes != self.input_bytes:
            raise EngineError(
                f"The package takes inputs of {_listed(self.input_bytes)} bytes, and was given "
                f"{_listed(sizes)}."
            )
        reply = self._ask("r", b"".join(contents), sum(self.output_bytes))
        ends = np.cumsum(self.output_bytes)[:-1]
        return np.split(np.frombuffer(bytearray(reply), np.uint8), ends)

    def count(self, loops: int) -> Counters:
        """Call the package ``loops`` times, on the last inputs, and count what that cost.

        Before the first :meth:`run` the inputs are zeros. Raises EngineError as that does.
        """
        if not 0 < loops <= _MOST_LOOPS:
            raise EngineError(f"Loops must be from 1 to {_MOST_LOOPS}, not {loops}.")
        reply = self._ask("t", struct.pack("<I", loops), 24)
        first, second, third = struct.unpack("<QQQ", reply)
        if self._target.is_hexagon:
            return Counters(0, first, second, third)
        return Counters(first, 0, 0, 0)

    def close(self) -> None:
        """End the process; again does nothing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        end = time.monotonic() + min(_START_SECONDS, self._deadline)
        self._send(b"i", "start", end)
        self._check_letter(b"i", "start", end)
        return self._numbers(end), self._numbers(end)

    def _numbers(self, end: float) -> tuple[int, ...]:
        (count,) = struct.unpack("<I", self._receive(4, "start", end))
        return struct.unpack(f"<{count}I", self._receive(4 * count, "start", end))

    def _ask(self, letter: str, content: bytes, reply_bytes: int) -> bytes:
        what = {"r": "run", "t": "count"}[letter]
        end = time.monotonic() + self._deadline
        self._send(letter.encode() + content, what, end)
        self._check_letter(letter.encode(), what, end)
        return self._receive(reply_bytes, what, end)

    def _check_letter(self, expected: bytes, what: str, end: float) -> None:
        letter = self._receive(1, what, end)
        if letter == _WROTE_OUTSIDE:
            self.close()
            raise EngineError(
                f"The package wrote outside its memory or its outputs in '{what}'; ended."
            )
        if letter != expected:
            self.close()
            raise EngineError(f"The package answered '{what}' with {letter!r}; ended.")

    def _send(self, content: bytes, what: str, end: float) -> None:
        pipe = _pipe(self._process.stdin)
        left = memoryview(content)
        while left:
            self._wait_for(pipe, what, end, writing=True)
            try:
                left = left[os.write(pipe.fileno(), left[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._death(what) from None

    def _receive(self, size: int, what: str, end: float) -> bytes:
        pipe = _pipe(self._process.stdout)
        content = bytearray()
        while len(content) < size:
            self._wait_for(pipe, what, end)
            chunk = os.read(pipe.fileno(), min(_CHUNK, size - len(content)))
            if not chunk:
                raise self._death(what)
            content += chunk
        return bytes(content)

    def _wait_for(self, pipe: IO[bytes], what: str, end: float, *, writing: bool = False) -> None:
        left = max(0.0, end - time.monotonic())
        readable, writable, _ = select.select(
            [] if writing else [pipe], [pipe] if writing else [], [], left
        )
        if not readable and not writable:
            self.close()
            raise EngineError(
                f"The package did not answer '{what}' within {self._deadline:.3g} s; ended."
            )

    def _death(self, what: str) -> EngineError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1.0)
        self.close()
        code = self._process.returncode
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        # No package sends itself this signal: somebody else did, or the system was out of memory.
        kind = KilledError if code == -signal.SIGKILL else EngineError
        return kind(f"The package ended {how} in '{what}'.")


def _started(command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
    except OSError as error:
        raise EngineError(f"The runner {command[-1]} cannot be started: {error}.") from None
    os.set_blocking(_pipe(process.stdin).fileno(), False)
    return process


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # Popen was given PIPE
    return pipe


def _listed(sizes: tuple[int, ...]) -> str:
    return " and ".join(str(size) for size in sizes) or "no"
