"""What every engine offers to the meters: run once, and time a loop of runs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from farm.tool_messages import without_sources
from workers.nvidia.meter import GpuMeter

# As C++, ONNX Runtime, OpenVINO, TensorRT, WebGPU, Vulkan and the libraries of GPUs say that
# memory ran out, or that a device has no room for one buffer of that size.
_NO_MEMORY = (
    *("Exceeded max size of memory object allocation", "CL_MEM_OBJECT_ALLOCATION_FAILURE"),
    *("Requested amount of GPU memory",),
    *("bad_alloc", "Failed to allocate memory", "out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "OutOfMemory"),
    *("exceeds the max buffer size limit", "larger than the maximum storage buffer binding size"),
    *("VK_ERROR_OUT_OF_DEVICE_MEMORY", "VK_ERROR_OUT_OF_HOST_MEMORY"),
)

Array: TypeAlias = NDArray[Any]
Feeds: TypeAlias = Mapping[str, Array]


class EngineError(Exception):
    """The engine cannot load or run this artifact; the message is the trial's message."""


class KilledError(EngineError):
    """A process of the engine was killed from outside, which says nothing about the artifact."""


class NotAsPlannedError(EngineError):
    """Another engine than the one asked for would have run (part of) the model."""


def compact(error: Exception) -> str:
    """An engine's error as one line of at most 300 letters.

    Codes, and where in ONNX Runtime's or OpenVINO's source it came from, are left out.
    """
    return (without_sources(str(error)) or type(error).__name__)[:300]


def memory_ran_out(error: BaseException) -> bool:
    """Whether an engine says that there was no room; each words it in its own way."""
    return any(words in str(error) for words in _NO_MEMORY)


class Session(ABC):
    """One loaded artifact.

    assignment: number of operators per execution provider, as the engine reported it; there once
    it is verified.
    processes: ids of the processes that do the work in place of this one.
    planned_bytes: peak memory where it is known by construction, else 0.
    least_loops: fewer runs than these in a row say something else than how long one takes.
    untimed_runs: that ``timed`` adds around at least so many.
    on_device: inputs and outputs of timed runs are in the memory of a device of its own.
    kept_off: why they are not, where they were to be; else empty. Both hold from a timed run on.
    meter: counters of the GPU that it computes on, where there are any.
    """

    assignment: Mapping[str, int]
    processes: tuple[int, ...] = ()
    planned_bytes: int = 0
    least_loops: int = 1
    untimed_runs: int = 0
    on_device: bool = False
    kept_off: str = ""
    meter: GpuMeter | None = None

    def verify(self) -> None:  # noqa: B027  (most do as they are created)
        """Make sure that what runs is what was asked for; before that nothing is reported.

        What only this takes is no part of creating the session. Raises NotAsPlannedError,
        EngineError.
        """

    @abstractmethod
    def run(self, feeds: Feeds) -> list[Array]:
        """Run once and return the outputs in the model's order."""

    @abstractmethod
    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of :meth:`timed`."""

    @abstractmethod
    def timed(self, loops: int) -> int:
        """Run ``loops`` times on the chosen input; wall time in nanoseconds, of runs only."""

    def with_transfers(self, loops: int) -> int:
        """As :meth:`timed`, with inputs from the host's memory and outputs that go there."""
        return self.timed(loops)

    def is_at_pace(self) -> bool:
        """Whether the clock of its processor is steady, where that is known and not the host's."""
        return self.meter is None or self.meter.is_at_pace()

    def bound(self, inputs: Feeds, outputs: Sequence[Array]) -> Callable[[], None]:
        """What runs once from arrays into other ones, which stay where they are.

        It keeps the session and the arrays alive.

        inputs: contiguous, by the names of the artifact's own. outputs: in its order.
        """

        def run() -> None:
            for place, array in zip(outputs, self.run(inputs), strict=True):
                np.copyto(place, array, casting="no")

        return run

    def close(self) -> None:  # noqa: B027  (most have started nothing)
        """End what the session started; again does nothing."""

    @contextmanager
    def callers(self, count: int) -> Iterator[Sequence[Session]]:
        """As many sessions with the chosen input as callers want to use at the same time."""
        yield [self] * count


class SentinelSession(Session):
    """A fixed workload that is the same in every block, to show how the machine drifts.

    One float32 matrix product of 192 x 192 by one thread, about 0.1 ms.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._a = rng.standard_normal((192, 192), dtype=np.float32)
        self._out = np.empty_like(self._a)
        self.assignment = {"sentinel": 1}

    def run(self, feeds: Feeds) -> list[Array]:  # noqa: ARG002
        """Multiply once."""
        return [np.matmul(self._a, self._a, out=self._out)]

    def set_feeds(self, feeds: Feeds) -> None:
        """The workload has no input."""

    def timed(self, loops: int) -> int:
        """Multiply ``loops`` times."""
        start = time.perf_counter_ns()
        for _ in range(loops):
            np.matmul(self._a, self._a, out=self._out)
        return time.perf_counter_ns() - start
