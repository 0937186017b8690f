"""Packages that a device has no room for, by the memory planner: they are not tried at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from onnx import ModelProto

from farm.candidate import Candidate, PackageEngine, Precision
from farm.devices.profile import PackageFigures
from farm.errors import CompileError
from farm.units import Bytes, counted, format_bytes

if TYPE_CHECKING:
    from farm.artifact.compiler import Compiler

_SURE = 4
"""Times the limit that an arena in int8 is above it for certain: its ranges are not known yet."""


class PackageRoom:
    """Lets candidates through for whose packages a device may have room.

    The arena is planned, each precision once, and nothing is compiled. figures: of the device;
    None lets everything through.
    """

    def __init__(self, model: ModelProto, figures: PackageFigures | None = None) -> None:
        self._limit = figures.arena_bytes if figures else 0
        self._model = model
        self._needed: dict[Precision, Bytes] = {}
        self._refused: dict[Candidate, Bytes] = {}

    def through(self, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Those that there may be room for, in their order."""
        return tuple(c for c in candidates if not self._limit or self._fits(c))

    def notes(self) -> Iterator[str]:
        """How many were refused, and why."""
        if self._refused:
            count, least = len(self._refused), min(self._refused.values())
            yield (
                f"{counted(count, 'package')} {'was' if count == 1 else 'were'} not tried: the "
                f"arena of each is planned to need {format_bytes(least)} or more, and the device "
                f"has {format_bytes(Bytes(self._limit))}."
            )

    def _fits(self, candidate: Candidate) -> bool:
        if not isinstance(candidate.engine, PackageEngine):
            return True
        needed = self._planned(candidate)
        sure = _SURE if candidate.precision.quantization is not None else 1
        if needed <= sure * self._limit:
            return True
        self._refused[candidate] = needed
        return False

    @cached_property
    def _compiler(self) -> Compiler:
        from farm.artifact.compiler import Compiler  # noqa: PLC0415  (few devices have a limit)

        return Compiler(self._model, [])

    def _planned(self, candidate: Candidate) -> Bytes:
        """What the arena needs; 0 where the generator has another reason to refuse it."""
        precision = candidate.precision
        if precision not in self._needed:
            try:
                self._needed[precision] = self._compiler.expected_bytes(candidate)
            except CompileError:
                self._needed[precision] = Bytes(0)  # its trial says why
        return self._needed[precision]
