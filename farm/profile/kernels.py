"""Profiles as values: what an engine tells of its kernels, and what is kept of it.

This module imports nothing but the standard library, because children may run in interpreters
that have no more than an engine installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from farm.measurement import Method

MODEL_FILE, CHAIN_FILE, OPTIMISED_FILE = "model.onnx", "chain.onnx", "optimised.onnx"
"""What is profiled, what the profiler is calibrated with, what the engine made of the first."""

CHAIN_INPUT, CHAIN_VALUES = "x", 1024
"""The input of the model that profilers are calibrated with, float32; see ``chain``."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What an engine runs as one, as the engine tells it.

    name: unlike those of all other kernels of the profile. kind: by the engine's own word.
    precision: what it computes in, by the farm's word; "" where the engine does not say.
    seconds: of one run, without what the profiler itself took.
    reads: names of the kernels whose results it reads, where the engine says so.
    told: names in the profiled model of what it stands for, where the engine says so.
    """

    name: str
    kind: str
    precision: str
    seconds: float
    reads: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """The kernels of one run, in the order in which they ran.

    latency: seconds of one run without the profiler, measured in turns with the profiled ones.
    overhead: seconds of the profiler that were subtracted from each kernel.
    """

    kernels: tuple[Kernel, ...]
    latency: float
    overhead: float = 0.0


@dataclass(frozen=True, slots=True)
class OperatorProfile:
    """One kernel of a trial, with the operators of the user's model that it stands for.

    operators: names, in the model's order; empty where it could not be mapped.
    seconds, packets: of one run, one of the two; ``method`` says how they were found.
    """

    kernel: str
    kind: str
    operators: tuple[str, ...]
    precision: str
    seconds: float | None
    packets: int | None
    method: Method

    @property
    def cost(self) -> float:
        """Seconds or packets."""
        return self.seconds if self.seconds is not None else float(self.packets or 0)


def unmapped_share(profile: Iterable[OperatorProfile]) -> float:
    """The share of seconds or packets in kernels that could not be mapped; 0 of nothing."""
    rows = tuple(profile)
    whole = sum(row.cost for row in rows)
    return sum(row.cost for row in rows if not row.operators) / whole if whole else 0.0


def measured_profile(
    kernels: Sequence[Kernel], operators: Sequence[tuple[str, ...]]
) -> tuple[OperatorProfile, ...]:
    """Kernels that a clock timed, with their operators."""
    return tuple(
        OperatorProfile(k.name, k.kind, found, k.precision, k.seconds, None, Method.MEASURED)
        for k, found in zip(kernels, operators, strict=True)
    )
