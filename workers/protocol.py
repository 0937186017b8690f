"""What a worker and its child process say to each other: JSON lines over the child's pipes.

A request is ``{"command": NAME, ...}``; the reply is ``{"ok": {...}}`` or
``{"error": {"outcome": ..., "message": ...}}``. Only the standard library is imported here,
because a child may run in an interpreter that has no more than an engine installed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

_TOLD = 3.0  # a ratio of energies that are each off by as much is not off by more than two


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
class PartDescription:
    """How one part of a pipeline is run.

    engine, spec: as for ``load``. model: what the engine loads. inputs, outputs: names of tensors,
    in its own order. is_remote: it has a process of its own. interpreter: Python of that process;
    "" for that of the child. processors: logical ones that the process stays on; () for any.
    variables: of the environment of that process.
    """

    place: str
    engine: str
    spec: dict[str, Any]
    model: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_remote: bool = False
    interpreter: str = ""
    processors: tuple[int, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def is_emulated(self) -> bool:
        """Whether its seconds follow from packets."""
        return bool(self.spec.get("seconds_per_packet"))


@dataclass(frozen=True, slots=True)
class PipelineDescription:
    """How a pipeline is run: its parts in order. in_flight: samples that are under way at once."""

    parts: tuple[PartDescription, ...]
    in_flight: int = 1


@dataclass(frozen=True, slots=True)
class Loaded:
    """Reply to ``load``.

    seconds: of creating the session. run_seconds: of its first run, most often the slowest.
    assignment: operators per execution provider. runs: that all samples take.
    """

    seconds: float
    run_seconds: float
    assignment: dict[str, int]
    runs: int = 1


@dataclass(frozen=True, slots=True)
class Counted:
    """Reply to ``counted``: packets of one run, and how they were found."""

    packets: int
    vector_instructions: int
    method: Literal["emulated", "modelled"]


@dataclass(frozen=True, slots=True)
class PartSeconds:
    """What one part of a pipeline takes of a run.

    method: of the seconds. packets: that they follow from, where they are modelled;
    packets_method: how these were found.
    """

    place: str
    seconds: float
    method: Literal["measured", "modelled"]
    packets: int = 0
    packets_method: Literal["", "emulated", "modelled"] = ""


@dataclass(frozen=True, slots=True)
class Split:
    """Reply to ``split``: what each part of a pipeline takes of a run, the medians of so many.

    transfer_seconds: measured: what goes between parts and from and to the caller, with whatever
    else is none of the parts'.
    """

    parts: tuple[PartSeconds, ...]
    transfer_seconds: float
    runs: int


@dataclass(frozen=True, slots=True)
class Warmup:
    """Reply to ``warm-up``: how many values were thrown away, and whether it became steady.

    at_pace: whether the clock of its GPU was steady at the end; True where none is known.
    """

    values: int
    steady: bool
    at_pace: bool = True


@dataclass(frozen=True, slots=True)
class Sample:
    """Reply to ``sample``: seconds and processor seconds per run, averaged over ``loops``."""

    seconds: float
    loops: int
    cpu_seconds: float
    involuntary_switches: int


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """Reply to ``device``, of what computes in the memory of a device of its own.

    transfer_ratio: how many times as long a run takes whose inputs come from the host's memory and
    whose outputs go there, measured side by side; None where all timed runs are such.
    kept_off: why they are: what was to stay in the device's memory could not.
    memory_bytes: that the process has in the device's memory; None where nothing tells that.
    is_growth: that is by how much more all processes have there since this one began to load.
    clock: hertz, right after those runs; None where nothing tells that.
    """

    transfer_ratio: float | None
    memory_bytes: int | None
    is_growth: bool = False
    clock: float | None = None
    kept_off: str = ""


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Reply to ``energy`` and ``idle-power`` where the counter cannot be read. why: a sentence."""

    why: str


@dataclass(frozen=True, slots=True)
class EnergyCount:
    """Reply to ``energy``: what a counter told of runs that followed each other.

    joules: of all of them, with what the machine draws anyway. runs: at least 1. seconds: that
    they took. update_seconds: between two counts of the counter.
    """

    joules: float
    runs: int
    seconds: float
    update_seconds: float


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """Energy of one run, idle power subtracted: by chance also below 0.

    joules: of one run. window_seconds: how long runs were counted. idle_watts: of what the counter
    counts, measured before and after. error: joules of one run that it may be wrong by.
    """

    joules: float
    window_seconds: float
    idle_watts: float
    error: float = 0.0

    @property
    def least_joules(self) -> float:
        """What the counter tells from idling: three times what may be wrong."""
        return _TOLD * self.error

    @property
    def is_told(self) -> bool:
        """Whether the counter tells it from idling."""
        return self.joules > self.least_joules


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Reply to ``evaluate``: outputs were written for this many samples."""

    samples: int
