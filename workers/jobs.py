"""What a driver asks of a worker, and what it gets back. Everything here crosses process borders.

A request is complete in itself: a worker that was lost and started anew needs nothing else than
the workload, which the executor sends again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from farm.accuracy.result import AccuracyResult
from farm.candidate import Candidate, FloatType, PackageEngine
from farm.measurement import Measurement, Outcome
from workers.fingerprint import Fingerprint
from workers.protocol import EnergyReading, Sample, Split, Warmup


class Part(StrEnum):
    """A part of the data; the three are disjoint."""

    CALIBRATION = "calibration"
    SEARCH = "search"
    CONFIRMATION = "confirmation"


@dataclass(frozen=True, slots=True)
class Workload:
    """A model with its data: sent once to each worker and kept in its cache by ``key``.

    model: ONNX bytes with all shapes fixed. parts: npz bytes, one array per model input with a
    leading sample axis, and ``label`` under its own key in ``labels``.
    metric: ``module:function`` of the user's own metric, or empty. metric_source: text of its
    module, if that is a file.
    outputs: names of the model's outputs, in its order. random: operators that make it answer
    differently each time.
    """

    key: str
    model: bytes
    model_sha256: str
    parts: dict[Part, bytes]
    labels: dict[Part, bytes] = field(default_factory=dict)
    metric: str = ""
    metric_source: str = ""
    outputs: tuple[str, ...] = ()
    random: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may use. Seconds per request to a child, bytes of resident memory (0: any).

    load_seconds: to create the session and run it once. evaluate_seconds: to run every sample.
    measure_seconds: of one measuring request, beyond what the artifact's own speed explains.
    patient: running every sample may take what the artifact's own speed explains, too.
    """

    load_seconds: float = 60.0
    compile_seconds: float = 120.0
    evaluate_seconds: float = 120.0
    memory_bytes: int = 0
    measure_seconds: float = 30.0
    patient: bool = False


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a worker says of its machine.

    engines: usable kinds in the profile's order, without those whose latency is unknown.
    openvino_float_types: see ``discovery``.
    packages: engines that run compiled packages, the most promising first.
    energy_window: seconds for which the device's energy counter counts runs at least; None where
    it has none.
    environments: that are installed, by name, with what is in each: see ``Installed``.
    processors: that its profile names; 0 where it names none, and uses all of the machine.
    webgpu_float16: whether ONNX Runtime's WebGPU provider runs there, and in float16, too.
    """

    machine: Fingerprint
    software: dict[str, str]
    engines: tuple[str, ...]
    openvino_float_types: tuple[FloatType, ...] = ()
    packages: tuple[PackageEngine, ...] = ()
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    processors: int = 0
    webgpu_float16: bool = False
    energy_window: float | None = None

    @property
    def cores(self) -> int:
        """Of the machine, as far as its profile uses them."""
        return self.processors or self.machine.cores


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a candidate runs with, where that is not what it would run with today.

    environment: name of an installed environment, whose Python runs it; "" for today's.
    artifact: a folder with an artifact that is run as it lies there; "" to compile it.
    """

    environment: str = ""
    artifact: str = ""


TODAY = Pinned()
"""Nothing: the software of today, and an artifact that is compiled from the model."""


@dataclass(frozen=True, slots=True)
class TrialJob:
    """One candidate to be loaded, checked and first measured on one part of the data.

    counts_energy: its energy is to be measured at first, too, where a counter tells it.
    """

    trial_id: str
    workload_key: str
    candidate: Candidate
    part: Part = Part.SEARCH
    limits: Limits = field(default_factory=Limits)
    pinned: Pinned = TODAY
    counts_energy: bool = False


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What became of a trial job.

    message: why it is not ok, one sentence. assignment: operators per execution provider.
    accuracy: what the check of the outputs said; None where nothing was computed.
    worker_seconds: what the worker spent on it, all included; child_seconds: what its child
    processes spent; the difference is the farm's own overhead.
    split: of a pipeline: what each part takes, and the transfers.
    """

    trial_id: str
    outcome: Outcome
    message: str = ""
    artifact_key: str = ""
    measurements: tuple[Measurement, ...] = ()
    assignment: dict[str, int] = field(default_factory=dict)
    warmup: Warmup | None = None
    notes: tuple[str, ...] = ()
    accuracy: AccuracyResult | None = None
    worker_seconds: float = 0.0
    child_seconds: float = 0.0
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class BlockJob:
    """One block: every member runs once, in this order.

    restart: begin with fresh child processes. sample_seconds: least length of one sample.
    single_runs: so many of each member are timed one by one, too. turns: how often each member is
    sampled, all of them in turns: its sample is the geometric mean of these, so that the machine's
    drift during the block is in all members alike. loads: how long loading takes is
    what matters, so that the machine is to be quiet meanwhile, too. counts_energy: of each member
    that a counter tells of; idle power is measured once, before the first.
    """

    members: tuple[TrialJob, ...]
    restart: bool = False
    sample_seconds: float = 0.01
    single_runs: int = 0
    loads: bool = False
    turns: int = 1
    counts_energy: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """How a member of a block failed."""

    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True)
class BlockReport:
    """One block as it was measured.

    longest: the longest of each member's single runs in seconds, where any were asked for.
    loads: seconds from loading to the first outputs, of members whose process began in this block.
    energies: of members whose energy was counted.
    peaks: peak memory of each member's process in bytes above its start, so far.
    sentinel_seconds: latency of the fixed workload. disturbed: why the block is to be discarded,
    by a rule that does not look at the samples; empty if it is kept. lasts: nothing but what
    slowed a GPU in the block before, too, so that it is kept in spite of that.
    """

    started_at: float
    samples: dict[str, Sample]
    peaks: dict[str, int]
    failures: dict[str, Failure]
    sentinel_seconds: float
    disturbed: str = ""
    longest: dict[str, float] = field(default_factory=dict)
    loads: dict[str, float] = field(default_factory=dict)
    energies: dict[str, EnergyReading] = field(default_factory=dict)
    lasts: bool = False


@dataclass(frozen=True, slots=True)
class ProfileJob:
    """What each kernel of one candidate takes. seconds: about so long it is run for that."""

    trial: TrialJob
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class DetailJob:
    """The distribution of single runs, throughput and energy of one candidate.

    counts_energy: where a counter tells it.
    """

    trial: TrialJob
    single_runs: int = 1000
    seconds: float = 2.0
    counts_energy: bool = True


@dataclass(frozen=True, slots=True)
class DetailReport:
    """What was measured in detail. notes: what could not be, or was disturbed, in sentences."""

    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...] = ()
