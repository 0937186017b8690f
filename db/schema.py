"""The tables of the store, as SQLAlchemy models.

A row class has the attributes of its record, under the same names; column names differ where the
attribute is a reserved word of SQL. A change here needs a migration.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import (
    BigInteger,
    Double,
    Enum,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.column_types import Float64Samples, Message, NameList, UtcDateTime
from db.night_records import ChangeState
from db.records import Phase, RunKind, RunStatus
from farm.measurement import Method, Metric, Outcome
from farm.prediction import Basis

VERSION_TABLE = "farm_schema_version"


def _enum(kind: type[StrEnum]) -> Enum:
    values = [str(member) for member in kind]
    return Enum(kind, native_enum=False, length=32, values_callable=lambda _: values)


class Base(DeclarativeBase):
    """The tables' common types and naming rules."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        str: Text,
        float: Double,
        datetime: UtcDateTime,
        RunKind: _enum(RunKind),
        RunStatus: _enum(RunStatus),
        Phase: _enum(Phase),
        ChangeState: _enum(ChangeState),
        Outcome: _enum(Outcome),
        Metric: _enum(Metric),
        Method: _enum(Method),
        Basis: _enum(Basis),
    }


class MachineRow(Base):
    """A computer on which something was measured."""

    __tablename__ = "machine"
    id: Mapped[str] = mapped_column(primary_key=True)
    hostname: Mapped[str]
    cpu: Mapped[str]
    cores: Mapped[int]
    memory_bytes: Mapped[int] = mapped_column(BigInteger)
    details: Mapped[str]


class SoftwareRow(Base):
    """A set of software versions."""

    __tablename__ = "software"
    id: Mapped[str] = mapped_column(primary_key=True)
    versions: Mapped[str]


class ModelRow(Base):
    """An ONNX model."""

    __tablename__ = "model"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    opset: Mapped[int]
    operators: Mapped[int]
    parameters: Mapped[int] = mapped_column(BigInteger)
    macs: Mapped[int] = mapped_column(BigInteger)
    details: Mapped[str]


class CandidateRow(Base):
    """A candidate, as canonical JSON."""

    __tablename__ = "candidate"
    id: Mapped[str] = mapped_column(primary_key=True)
    json: Mapped[str]
    label: Mapped[str]


class ArtifactRow(Base):
    """A compiled candidate."""

    __tablename__ = "artifact"
    key: Mapped[str] = mapped_column(primary_key=True)
    model_sha256: Mapped[str] = mapped_column(ForeignKey("model.sha256"))
    kind: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)


class RunRow(Base):
    """One invocation of tune, bench or nightly."""

    __tablename__ = "run"
    __table_args__ = (Index(None, "model_sha256", "created_at"),)
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[RunKind]
    model_sha256: Mapped[str] = mapped_column(ForeignKey("model.sha256"))
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id"))
    software_id: Mapped[str] = mapped_column(ForeignKey("software.id"))
    seed: Mapped[int] = mapped_column(BigInteger)
    request: Mapped[str]
    status: Mapped[RunStatus]
    created_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]
    active_seconds: Mapped[float]
    summary: Mapped[str | None]


class RunLeaseRow(Base):
    """The process that works on a run; no row where none does."""

    __tablename__ = "run_lease"
    run: Mapped[str] = mapped_column(ForeignKey("run.name"), primary_key=True)
    token: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int] = mapped_column(BigInteger)
    process: Mapped[str]
    taken_at: Mapped[datetime]
    renewed_at: Mapped[datetime]


class TrialRow(Base):
    """One candidate on one device in one run."""

    __tablename__ = "trial"
    __table_args__ = (Index(None, "run", "device"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("run.name"))
    device: Mapped[str]
    candidate_id: Mapped[str] = mapped_column(ForeignKey("candidate.id"), index=True)
    phase: Mapped[Phase]
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id"))
    software_id: Mapped[str] = mapped_column(ForeignKey("software.id"))
    outcome: Mapped[Outcome | None]
    message: Mapped[str] = mapped_column(Message)
    attempts: Mapped[int]
    artifact_key: Mapped[str | None] = mapped_column(ForeignKey("artifact.key"))
    created_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]
    details: Mapped[str]


class RankingRow(Base):
    """What values can be compared in: one metric by one method of a model on a machine's device.

    unseen: of trials on data that no search saw: of confirmations and of ``farm bench``.
    """

    __tablename__ = "ranking"
    __table_args__ = (
        UniqueConstraint("model_sha256", "device", "machine_id", "unseen", "metric", "method"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    model_sha256: Mapped[str] = mapped_column(ForeignKey("model.sha256"))
    device: Mapped[str]
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id"))
    unseen: Mapped[bool]
    metric: Mapped[Metric]
    method: Mapped[Method]


class MeasurementRow(Base):
    """One value of one trial: summary columns, and the raw samples behind it.

    ranking_id: where the value takes part, which is only while its trial is ok (``db.ranking``).
    """

    __tablename__ = "measurement"
    __table_args__ = (Index(None, "ranking_id", "value", "trial_id"),)
    trial_id: Mapped[str] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    metric: Mapped[Metric] = mapped_column(primary_key=True)
    method: Mapped[Method] = mapped_column(primary_key=True)
    unit: Mapped[str]
    value: Mapped[float]
    low: Mapped[float | None]
    high: Mapped[float | None]
    sample_count: Mapped[int]
    samples: Mapped[tuple[float, ...]] = mapped_column(Float64Samples)
    ranking_id: Mapped[int | None] = mapped_column(ForeignKey("ranking.id"))


class PredictionRow(Base):
    """What was expected of one metric of a trial before it was measured.

    version: of the cost models; "" where the calibration was all there was.
    """

    __tablename__ = "prediction"
    trial_id: Mapped[str] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    metric: Mapped[Metric] = mapped_column(primary_key=True)
    value: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    unit: Mapped[str]
    basis: Mapped[Basis]
    rows: Mapped[int] = mapped_column("row_count")
    version: Mapped[str]


class OperatorProfileRow(Base):
    """One kernel of a trial's candidate, with the operators of the model that it stands for."""

    __tablename__ = "operator_profile"
    trial_id: Mapped[str] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    kernel: Mapped[str]
    kind: Mapped[str]
    operators: Mapped[tuple[str, ...]] = mapped_column(NameList)
    precision: Mapped[str]
    seconds: Mapped[float | None]
    packets: Mapped[int | None] = mapped_column(BigInteger)
    method: Mapped[Method]


class BlockRow(Base):
    """One round of a race."""

    __tablename__ = "block"
    __table_args__ = (UniqueConstraint("run", "device", "race", "block_index"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(ForeignKey("run.name"))
    device: Mapped[str]
    race: Mapped[int]
    index: Mapped[int] = mapped_column("block_index")
    started_at: Mapped[datetime]
    kept: Mapped[bool]
    reason: Mapped[str] = mapped_column(Message)
    sentinel_seconds: Mapped[float | None]


class BlockSampleRow(Base):
    """What one trial's candidate did in one block."""

    __tablename__ = "block_sample"
    block_id: Mapped[int] = mapped_column(ForeignKey("block.id"), primary_key=True)
    trial_id: Mapped[str] = mapped_column(ForeignKey("trial.id"), primary_key=True, index=True)
    seconds: Mapped[float]
    cpu_seconds: Mapped[float]
    loops: Mapped[int]
    order: Mapped[int] = mapped_column("run_order")
    peak_bytes: Mapped[int | None] = mapped_column(BigInteger)
    longest_seconds: Mapped[float | None]
    load_seconds: Mapped[float | None]
    joules: Mapped[float | None]
    energy_window: Mapped[float | None]
    idle_watts: Mapped[float | None]


class SeriesRow(Base):
    """One model x case x device x metric, followed over nights."""

    __tablename__ = "series"
    __table_args__ = (Index(None, "suite", "case_name"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    suite: Mapped[str]
    case: Mapped[str] = mapped_column("case_name")
    device: Mapped[str]
    metric: Mapped[Metric]
    environment: Mapped[str]
    model_sha256: Mapped[str] = mapped_column(ForeignKey("model.sha256"))
    good: Mapped[str]


class NightRow(Base):
    """One invocation of ``farm nightly run``, over all cases of a suite."""

    __tablename__ = "night"
    __table_args__ = (Index(None, "suite", "started_at"),)
    name: Mapped[str] = mapped_column(primary_key=True)
    suite: Mapped[str]
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id"))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    details: Mapped[str]


class NightValueRow(Base):
    """What one night says of one series. The run may be gone; the value stays."""

    __tablename__ = "night_value"
    __table_args__ = (Index(None, "series_id", "measured_at"),)
    series_id: Mapped[str] = mapped_column(ForeignKey("series.id"), primary_key=True)
    night: Mapped[str] = mapped_column(ForeignKey("night.name"), primary_key=True, index=True)
    measured_at: Mapped[datetime]
    run: Mapped[str]
    verdict: Mapped[str]
    value: Mapped[float | None]
    uncertainty: Mapped[float | None]
    seconds: Mapped[float | None]
    good_seconds: Mapped[float | None]
    p_value: Mapped[float | None]
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id"))
    software_id: Mapped[str] = mapped_column(ForeignKey("software.id"))
    details: Mapped[str]


class ChangePointRow(Base):
    """A place where a series changed its level."""

    __tablename__ = "change_point"
    __table_args__ = (Index(None, "series_id", "found_at"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    series_id: Mapped[str] = mapped_column(ForeignKey("series.id"))
    first_night: Mapped[str] = mapped_column(ForeignKey("night.name"))
    found_night: Mapped[str] = mapped_column(ForeignKey("night.name"))
    found_at: Mapped[datetime]
    ratio: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    state: Mapped[ChangeState]
    note: Mapped[str] = mapped_column(Message)
    triaged_at: Mapped[datetime | None]
    details: Mapped[str]


class CalibrationRow(Base):
    """What a calibration of a device found out: typed JSON, see ``farm.costs.calibration``."""

    __tablename__ = "calibration"
    __table_args__ = (Index(None, "device", "machine_id", "created_at"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id"))
    software_id: Mapped[str] = mapped_column(ForeignKey("software.id"))
    created_at: Mapped[datetime]
    seconds: Mapped[float]
    constants: Mapped[str]
    borders: Mapped[str]
    details: Mapped[str]


class CostModelRow(Base):
    """A version of a device's cost models. content: as the format says, see ``tuner.learning``."""

    __tablename__ = "cost_model"
    __table_args__ = (Index(None, "device", "machine_id", "created_at"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id"))
    software_id: Mapped[str] = mapped_column(ForeignKey("software.id"))
    created_at: Mapped[datetime]
    format: Mapped[str]
    trials: Mapped[int]
    kernels: Mapped[int]
    fitted_to: Mapped[str]
    report: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
