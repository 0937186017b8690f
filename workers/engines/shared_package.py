"""Compiled packages as shared libraries, called in the process itself.

A package in a process of its own gets its inputs through a pipe: beside other parts of a pipeline
that would be most of its time. A package that crashes ends this process, and its trial.
"""

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workers.engines.session import Array, EngineError, Feeds, Session

_RECORD = "package.json"  # as in ``farm.codegen.package.compiled``
_ALIGNMENT = 128  # of the memory that a package works in
_POINTER = ctypes.POINTER(ctypes.c_void_p)


class SharedPackageSession(Session):
    """A package for this machine's processor. It serves one caller.

    Raises EngineError when the library cannot be loaded.
    """

    def __init__(self, library: Path) -> None:
        record: dict[str, Any] = json.loads((library.parent / _RECORD).read_text("utf-8"))
        try:
            self._call = getattr(ctypes.CDLL(str(library)), f"{record['name']}_call")
        except (OSError, AttributeError) as error:
            raise EngineError(f"The package cannot be loaded: {error}.") from None
        self._call.argtypes, self._call.restype = [ctypes.c_void_p, _POINTER, _POINTER], None
        self._inputs: list[dict[str, Any]] = record["inputs"]
        self._outputs: list[dict[str, Any]] = record["outputs"]
        self._block = np.zeros(int(record["memory_bytes"]) + _ALIGNMENT, np.uint8)
        self._memory = -(-self._block.ctypes.data // _ALIGNMENT) * _ALIGNMENT
        self._once: Callable[[], None] = lambda: None
        self.assignment = {"cpackage": int(record["operators"])}

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once; quantised outputs are the integers that the package gives."""
        outputs: list[Array] = [np.zeros(p["shape"], p["dtype"]) for p in self._outputs]
        self.bound(feeds, outputs)()
        return outputs

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs."""
        outputs: list[Array] = [np.zeros(p["shape"], p["dtype"]) for p in self._outputs]
        self._once = self.bound(feeds, outputs)

    def timed(self, loops: int) -> int:
        """Run ``loops`` times; nanoseconds."""
        once, start = self._once, time.perf_counter_ns()
        for _ in range(loops):
            once()
        return time.perf_counter_ns() - start

    def bound(self, inputs: Feeds, outputs: Sequence[Array]) -> Callable[[], None]:
        """What runs once from arrays into other ones; nothing is copied."""
        given = [np.asarray(inputs[port["name"]], order="C") for port in self._inputs]
        for array, port in zip((*given, *outputs), (*self._inputs, *self._outputs), strict=True):
            found, wanted = (array.dtype.name, list(array.shape)), (port["dtype"], port["shape"])
            if array.nbytes and found != wanted and not _is_alike(array, port):
                raise EngineError(
                    f"The package takes or gives {port['name']!r} as {wanted[0]} {wanted[1]}, and "
                    f"the pipeline has it as {found[0]} {found[1]}."
                )
        call, memory = self._call, self._memory
        arrays = (_pointers(given), _pointers(outputs))

        def once(_kept: object = (self, given, outputs)) -> None:  # C knows addresses alone
            call(memory, *arrays)

        return once


def _is_alike(array: Array, port: dict[str, Any]) -> bool:
    """Truth values are bytes to a package."""
    is_byte = array.dtype == np.bool_ and port["dtype"] in ("bool", "uint8")
    return is_byte and list(array.shape) == port["shape"]


def _pointers(arrays: Sequence[Array]) -> Any:  # noqa: ANN401  (an array type of ctypes)
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
