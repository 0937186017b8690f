"""What a worker and its child process say to each other: JSON lines over the child's pipes.

A request is ``{"command": NAME, ...}``; the reply is ``{"ok": {...}}`` or
``{"error": {"outcome": ..., "message": ...}}``. Only the standard library is imported here,
because a child may run in an interpreter that has no more than an engine installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FakeDescription:
    """What the fake engine pretends; see ``farm.candidate.Fake``."""

    seconds: float
    noise: float
    fault: Literal["none", "crash", "hang", "out-of-memory", "error", "wrong-engine"]
    serial: int


@dataclass(frozen=True, slots=True)
class PackageDescription:
    """How a compiled package is run.

    seconds_per_packet: of the device whose packets an emulator counts; 0 on the host, where
    runs are timed.
    """

    seconds_per_packet: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """Reply to ``load``.

    seconds: of creating the session. run_seconds: of its first run, most often the slowest.
    assignment: operators per execution provider.
    """

    seconds: float
    run_seconds: float
    assignment: dict[str, int]


@dataclass(frozen=True, slots=True)
class Counted:
    """Reply to ``counted``: packets of one run, and how they were found."""

    packets: int
    vector_instructions: int
    method: Literal["emulated", "modelled"]


@dataclass(frozen=True, slots=True)
class Warmup:
    """Reply to ``warm-up``: how many values were thrown away, and whether it became steady."""

    values: int
    steady: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """Reply to ``sample``: seconds and processor seconds per run, averaged over ``loops``."""

    seconds: float
    loops: int
    cpu_seconds: float
    involuntary_switches: int


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """Reply to ``energy``, where the machine has a counter.

    joules: of one run, idle power subtracted. window_seconds: how long runs were counted.
    idle_watts: of the machine, measured just before.
    """

    joules: float
    window_seconds: float
    idle_watts: float


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Reply to ``evaluate``: outputs were written for this many samples."""

    samples: int
