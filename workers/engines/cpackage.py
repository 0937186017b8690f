"""Compiled packages: on this machine's processor, or on a Hexagon that is emulated.

Only the standard library, numpy and what knows no compiler is imported, because a child may run
in an interpreter that has no more than an engine installed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.codegen.arithmetic import dequantize, quantize_port
from farm.codegen.build.compilers import Target, find_emulator
from farm.codegen.program import Quantization
from workers.engines.runner import Counters, RunnerProcess
from workers.engines.session import Array, EngineError, Feeds, Session
from workers.protocol import Counted, PackageDescription

_HOST_RUNNER = "runner"  # names as in ``farm.codegen.package.compiled``
_EMULATED = "model.elf"
_RECORD = "package.json"
_COMPARED = 4  # first runs of an emulated package that are compared with the host's


class Ports:
    """The inputs and outputs of a package, as its record describes them."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._inputs: list[dict[str, Any]] = record["inputs"]
        self._outputs: list[dict[str, Any]] = record["outputs"]

    def arrays(self, feeds: Feeds) -> list[Array]:
        """The inputs in the package's order and types, from the model's own."""
        return [_elements(feeds[port["name"]], port) for port in self._inputs]

    def as_they_are(self, feeds: Feeds) -> list[Array]:
        """The inputs in the package's order, in its types already."""
        return [feeds[port["name"]] for port in self._inputs]

    def outputs(self, contents: Sequence[NDArray[np.uint8]]) -> list[Array]:
        """The model's outputs from those of the package."""
        return [_real(c, port) for c, port in zip(contents, self._outputs, strict=True)]


class CPackageSession(Session):
    """A package for this machine's processor, in a runner of its own that is timed from inside.

    Raises EngineError when the runner does not start.
    """

    def __init__(self, program: Path, inputs: Sequence[Array] = ()) -> None:
        self._program = program
        record = _read_record(program.parent)
        self._ports = Ports(record)
        self._inputs = list(inputs)
        self._runner = RunnerProcess(program, Target.PORTABLE)
        if inputs:
            self._runner.run(inputs)
        self.assignment = {"cpackage": int(record["operators"])}
        self.processes = (self._runner.pid,)

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once."""
        return self._ports.outputs(self._runner.run(self._ports.arrays(feeds)))

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs; the runner keeps its last one."""
        self._inputs = self._ports.arrays(feeds)
        self._runner.run(self._inputs)

    def timed(self, loops: int) -> int:
        """Call ``loops`` times; nanoseconds by the runner's own clock, its pipes not included."""
        return self._runner.count(loops).nanoseconds

    @contextmanager
    def callers(self, count: int) -> Iterator[Sequence[Session]]:
        """Runners with memory of their own: an instance of a package serves one caller."""
        with ExitStack() as stack:
            sessions: list[Session] = [self]
            while len(sessions) < count:
                session = CPackageSession(self._program, self._inputs)
                stack.callback(session.close)
                sessions.append(session)
            yield sessions

    def close(self) -> None:
        """End the runner."""
        self._runner.close()


class EmulatedPackageSession(Session):
    """A package for a Hexagon: its packets are counted, seconds follow from them.

    Outputs come from the same code compiled for the host, which gives the same bits thousands of
    times faster; the first runs are compared. Without the emulator nothing is counted here, and
    packets are those that the record modelled.

    Raises EngineError when a runner does not start.
    """

    def __init__(self, program: Path, description: PackageDescription) -> None:
        folder = program.parent
        record = _read_record(folder)
        self._ports = Ports(record)
        self._target = Target(record["target"])
        self._description = description
        self._modelled = record["modelled"]
        self._host = RunnerProcess(folder / _HOST_RUNNER, Target.PORTABLE)
        self._emulated = self._start_emulated(folder / _EMULATED)
        self._inputs: list[Array] = []
        self._compared = 0
        self._counted: Counted | None = None
        self.assignment = {"cpackage": int(record["operators"])}
        self.planned_bytes = sum(
            int(record[name]) for name in ("arena_bytes", "scratch_bytes", "weight_bytes")
        )

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once on the host, the first times under the emulator, too.

        Raises EngineError when the two differ in a single bit.
        """
        return self._ports.outputs(self._contents(self._ports.arrays(feeds)))

    def bound(self, inputs: Feeds, outputs: Sequence[Array]) -> Callable[[], None]:
        """What runs once as ``run`` does, with the integers that the package takes and gives.

        Its input is the one whose run is counted from now on.
        """
        self._inputs, self._counted = self._ports.as_they_are(inputs), None

        def once() -> None:
            self._counted = None
            for place, content in zip(outputs, self._contents(self._inputs), strict=True):
                np.copyto(place, content.view(place.dtype).reshape(place.shape))

        return once

    def _contents(self, inputs: Sequence[Array]) -> list[NDArray[np.uint8]]:
        """The bytes of the outputs. Raises EngineError as ``run`` does."""
        contents = self._host.run(inputs)
        if self._emulated is not None and self._compared < _COMPARED:
            self._compared += 1
            for index, (ours, theirs) in enumerate(
                zip(contents, self._emulated.run(inputs), strict=True)
            ):
                if not np.array_equal(ours, theirs):
                    raise EngineError(
                        f"The code compiled for {self._target} gives other bits in output {index} "
                        "than the same code compiled for the host."
                    )
        return contents

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input whose run is counted."""
        self._inputs = self._ports.arrays(feeds)
        self._counted = None

    def timed(self, loops: int) -> int:
        """Nanoseconds that ``loops`` runs take by the device's clock.

        An emulator executes the same instructions every time: one run is counted and multiplied.
        A run of empty tensors may have none; it is taken for one, as time is never zero.
        """
        packets = loops * max(1, self.counted().packets)
        return max(1, math.ceil(packets * self._description.seconds_per_packet * 1e9))

    def counted(self) -> Counted:
        """Packets of one run on the chosen input."""
        if self._counted is None:
            self._counted = self._count()
        return self._counted

    def close(self) -> None:
        """End the runners."""
        self._host.close()
        if self._emulated is not None:
            self._emulated.close()

    def _count(self) -> Counted:
        if self._emulated is None:
            modelled = self._modelled
            return Counted(modelled["all"], modelled["vector"], method="modelled")
        self._emulated.run(self._inputs)
        found: Counters = self._emulated.count(1)
        return Counted(found.packets, found.vector_instructions, method="emulated")

    def _start_emulated(self, program: Path) -> RunnerProcess | None:
        return RunnerProcess(program, self._target) if find_emulator() else None


def _elements(array: Array, port: dict[str, Any]) -> Array:
    """What a package is given for an input of the model."""
    found = _quantization(port)
    return array if found is None else quantize_port(array, found, port["dtype"])


def _real(content: NDArray[np.uint8], port: dict[str, Any]) -> Array:
    """An output of the model from the bytes that a package gave."""
    array, found = content.view(port["dtype"]).reshape(port["shape"]), _quantization(port)
    return array if found is None else dequantize(array, found)


def _quantization(port: dict[str, Any]) -> Quantization | None:
    scale = port.get("scale")
    return None if scale is None else Quantization(scale, port["zero_point"])


def _read_record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    return record
