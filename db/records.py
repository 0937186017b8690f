"""The records that go into the store and come out of it, as frozen values.

Times are UTC and aware. Fields called ``details``, ``request``, ``versions`` and ``summary``
are JSON texts: the store keeps them and does not look inside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from farm.measurement import Measurement, Metric, Outcome
from farm.prediction import Prediction

if TYPE_CHECKING:
    from farm.candidate import Candidate


class RunKind(StrEnum):
    """Which command a run is an invocation of."""

    TUNE = "tune"
    BENCH = "bench"
    NIGHTLY = "nightly"


class RunStatus(StrEnum):
    """How far a run came.

    A run that was killed keeps ``running`` until it is resumed; whether a process works on it
    says its lease.
    """

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Phase(StrEnum):
    """What a trial is for."""

    SEARCH = "search"
    CONFIRM = "confirm"
    BENCH = "bench"


def content_id(*parts: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the parts, which may not be reordered."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def utc_now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Machine:
    """A computer. id: hash of the other fields up to ``memory_bytes``; see ``identify``."""

    id: str
    hostname: str
    cpu: str
    cores: int
    memory_bytes: int
    details: str = "{}"

    @classmethod
    def identify(
        cls, hostname: str, cpu: str, cores: int, memory_bytes: int, details: str = "{}"
    ) -> Machine:
        """A machine with the id that follows from what it is."""
        key = content_id(hostname, cpu, str(cores), str(memory_bytes))
        return cls(key, hostname, cpu, cores, memory_bytes, details)


@dataclass(frozen=True, slots=True)
class Software:
    """The versions that took part in a trial: python, onnxruntime, farm and others."""

    id: str
    versions: str

    @classmethod
    def identify(cls, versions: str) -> Software:
        """A software record with the id that follows from its versions, a canonical JSON text."""
        return cls(content_id(versions), versions)


@dataclass(frozen=True, slots=True)
class Model:
    """An ONNX model. sha256: of its content, weights included. macs: per inference."""

    sha256: str
    name: str
    opset: int
    operators: int
    parameters: int
    macs: int
    details: str = "{}"


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """A candidate as its canonical JSON text, with the short name that tables show."""

    id: str
    json: str
    label: str

    @classmethod
    def of(cls, candidate: Candidate) -> CandidateRecord:
        """The record of a candidate."""
        from farm.candidate import to_json  # noqa: PLC0415  (whoever only reads needs none)

        return cls(candidate.id, to_json(candidate), candidate.label())


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation of tune, bench or nightly.

    name: unique, for people: ``kws-20261121-065312``.
    request: what was asked for, enough to resume the run by its name.
    active_seconds: time spent working, over all the times that the run was resumed.
    summary: what came out of it, once it is finished.
    """

    name: str
    kind: RunKind
    model_sha256: str
    machine_id: str
    software_id: str
    seed: int
    request: str
    status: RunStatus = RunStatus.RUNNING
    created_at: datetime = field(default_factory=utc_now)
    finished_at: datetime | None = None
    active_seconds: float = 0.0
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class RunLease:
    """Which process works on a run.

    token: drawn anew each time a lease is taken; only who holds it writes to the run.
    process: what tells the process from later ones of the same pid (``tuner.runs.lease``).
    taken_at, renewed_at: by the store's clock; the holder renews it while it lives.
    """

    run: str
    token: str
    host: str
    pid: int
    process: str
    taken_at: datetime = field(default_factory=utc_now)
    renewed_at: datetime = field(default_factory=utc_now)


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate on one device in one run.

    id: given by the caller, the same each time the run is resumed.
    outcome: None while the trial is pending.
    attempts: how often the trial was leased to a worker.
    """

    id: str
    run: str
    device: str
    candidate_id: str
    phase: Phase
    machine_id: str
    software_id: str
    outcome: Outcome | None = None
    message: str = ""
    attempts: int = 0
    artifact_key: str | None = None
    created_at: datetime = field(default_factory=utc_now)
    finished_at: datetime | None = None
    details: str = "{}"


@dataclass(frozen=True, slots=True)
class BlockSample:
    """What one trial's candidate did in one block.

    seconds, cpu_seconds: wall and processor time per inference, the mean over ``loops``.
    order: place of the candidate in the block's random order, from 0.
    peak_bytes: highest resident memory of its process so far, above what it had at the start.
    longest_seconds: of its single runs in the block, where they were timed.
    load_seconds: from loading to the first outputs, where its process began in the block.
    joules: per inference, where a counter told them: it counted for ``energy_window`` seconds, and
    ``idle_watts``, which the block began with, were subtracted.
    """

    trial_id: str
    seconds: float
    cpu_seconds: float
    loops: int
    order: int
    peak_bytes: int | None = None
    longest_seconds: float | None = None
    load_seconds: float | None = None
    joules: float | None = None
    energy_window: float | None = None
    idle_watts: float | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One round of a race, in which every live candidate ran once.

    race: number of the race within run and device; index: number of the block within the race.
    A discarded block stays (``kept`` is false, ``reason`` says why), and the one that is run
    in its place has an index of its own.
    sentinel_seconds: time of the fixed sentinel workload, where it ran.
    """

    run: str
    device: str
    race: int
    index: int
    started_at: datetime
    kept: bool
    samples: tuple[BlockSample, ...]
    reason: str = ""
    sentinel_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled candidate. key: its content address; bytes: its size."""

    key: str
    model_sha256: str
    kind: str
    bytes: int


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """What a calibration of a device found out.

    seconds: how long it took. constants, borders: JSON texts, see ``farm.costs.calibration``.
    details: JSON text; what there was to note.
    """

    id: str
    device: str
    machine_id: str
    software_id: str
    created_at: datetime
    seconds: float
    constants: str
    borders: str
    details: str = "{}"


@dataclass(frozen=True, slots=True)
class Result:
    """One trial as ``farm results`` shows it; measurements come without their samples.

    candidate: its label, and what else it ran with than the software and compiler of its day.
    load: from the beginning of loading to the first outputs. energy_window, idle_power: of an
    energy that a counter told: how long it was read, and what was subtracted from it. predicted:
    before it was measured.
    """

    trial: str
    run: str
    created_at: datetime
    model: str
    device: str
    candidate: str
    candidate_id: str
    phase: Phase
    outcome: Outcome | None
    message: str
    latency: Measurement | None
    memory: Measurement | None
    energy: Measurement | None
    accuracy: Measurement | None
    cpu: Measurement | None = None
    throughput: Measurement | None = None
    load: Measurement | None = None
    energy_window: Measurement | None = None
    idle_power: Measurement | None = None
    predicted: Mapping[Metric, Prediction] = field(default_factory=dict)
