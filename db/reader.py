"""Reading a store. A reader works while a writer does, and never changes or creates a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from sqlalchemy import ColumnElement, Engine, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.connection.address import Address, parse_address
from db.connection.engine import (
    LOCK_TIMEOUT,
    closed_on_error,
    open_engine,
    translated,
    undo_half_done,
)
from db.connection.upgrade import HEAD, current_revision, ensure_schema
from db.records import (
    Block,
    BlockSample,
    CandidateRecord,
    Machine,
    Model,
    Phase,
    Run,
    RunKind,
    RunLease,
    RunStatus,
    Software,
    Trial,
    utc_now,
)
from db.schema import (
    Base,
    BlockRow,
    BlockSampleRow,
    CandidateRow,
    MachineRow,
    MeasurementRow,
    ModelRow,
    OperatorProfileRow,
    RunLeaseRow,
    RunRow,
    SoftwareRow,
    TrialRow,
)
from farm.errors import NotInStore, OptionError, StoreError
from farm.host.closing import Closing
from farm.measurement import Measurement, Outcome
from farm.profile.kernels import OperatorProfile
from farm.text import did_you_mean

Record = TypeVar("Record", Block, CandidateRecord, Machine, Model, Run, Software, Trial)

_NAMED_MATCHES = 4
_NEAREST_OF = 1000  # names of runs, the newest


class StoreReader(Closing):
    """A store, open for reading. Every method is one transaction.

    Every method raises StoreError when the database fails, and NotInStore when it is asked for
    a record by its name or id and there is none.
    """

    def __init__(self, engine: Engine, address: Address) -> None:
        self._engine = engine
        self._address = address

    @classmethod
    def open(cls, url: str | None = None, *, timeout: float = LOCK_TIMEOUT) -> Self:
        """Open a store that exists; one with an older schema is upgraded first.

        url: a path, a SQLAlchemy URL, or None for the default place (``db.connection.address``).
        timeout: seconds to wait for a writer's lock, or for a server to answer.

        Raises StoreError: there is no store, or it cannot be read. Raises OptionError: the URL
        cannot be understood.
        """
        address = parse_address(url)
        engine = open_existing(address, timeout)
        return cls(engine, address)

    def close(self) -> None:
        """Close every connection. The store may not be used after that."""
        self._engine.dispose()

    @property
    def place(self) -> str:
        """The file's path, or the URL without its password, for messages."""
        return str(self._address)

    def machine(self, machine_id: str) -> Machine:
        """The machine with this id."""
        return self._one(Machine, MachineRow, MachineRow.id == machine_id, machine_id)

    def software(self, software_id: str) -> Software:
        """The software record with this id."""
        return self._one(Software, SoftwareRow, SoftwareRow.id == software_id, software_id)

    def model(self, sha256: str) -> Model:
        """The model with this SHA-256."""
        return self._one(Model, ModelRow, ModelRow.sha256 == sha256, sha256)

    def candidate(self, candidate_id: str) -> CandidateRecord:
        """The candidate with this id."""
        condition = CandidateRow.id == candidate_id
        return self._one(CandidateRecord, CandidateRow, condition, candidate_id)

    def run(self, name: str) -> Run:
        """The run with this name."""
        return self._one(Run, RunRow, RunRow.name == name, name)

    def run_called(self, name: str, kind: RunKind | None = None) -> Run:
        """The run with this name, or the only one whose name begins so.

        kind: of runs that may be called by a beginning; by its whole name any may.

        Raises NotInStore. Raises OptionError: several names begin so.
        """
        begins = begins_with(RunRow.name, name)
        if kind is not None:
            begins &= (RunRow.kind == kind) | (RunRow.name == name)
        query = columns(RunRow, Run).where(begins).order_by(RunRow.name)
        with self.reading() as session:
            found = [Run(*row) for row in session.execute(query.limit(_NAMED_MATCHES + 1))]
        what = "run" if kind is None else f"{kind} run"
        return found[self._only(what, "name", name, [run.name for run in found])]

    def runs(
        self,
        *,
        model: str | None = None,
        status: RunStatus | None = None,
        limit: int | None = None,
    ) -> tuple[Run, ...]:
        """Runs, newest first. model: its name, its SHA-256, or the beginning of that."""
        query = columns(RunRow, Run).order_by(RunRow.created_at.desc(), RunRow.name)
        if model is not None:
            query = query.where(RunRow.model_sha256.in_(models_called(model)))
        if status is not None:
            query = query.where(RunRow.status == status)
        with self.reading() as session:
            return tuple(Run(*row) for row in session.execute(query.limit(limit)))

    def trial(self, trial_id: str) -> Trial:
        """The trial with this id, or the only one whose id begins so.

        Raises NotInStore. Raises OptionError: several ids begin so.
        """
        trial_id = trial_id.lower()
        begins = TrialRow.id.startswith(trial_id, autoescape=True)
        query = columns(TrialRow, Trial).where(begins).order_by(TrialRow.id)
        with self.reading() as session:
            found = [Trial(*row) for row in session.execute(query.limit(_NAMED_MATCHES + 1))]
        return found[self._only("trial", "id", trial_id, [trial.id for trial in found])]

    def trials(
        self,
        *,
        run: str | None = None,
        device: str | None = None,
        model: str | None = None,
        outcome: Outcome | None = None,
        phase: Phase | None = None,
        limit: int | None = None,
    ) -> tuple[Trial, ...]:
        """Trials, oldest first. model: its name, its SHA-256, or the beginning of that."""
        query = columns(TrialRow, Trial).order_by(TrialRow.created_at, TrialRow.id)
        query = query.where(*trial_conditions(run, device, model, outcome, phase))
        with self.reading() as session:
            return tuple(Trial(*row) for row in session.execute(query.limit(limit)))

    def measurements(self, trial_id: str) -> tuple[Measurement, ...]:
        """What was measured in a trial, with samples, by metric; empty for an unknown trial."""
        query = (
            columns(MeasurementRow, Measurement)
            .where(MeasurementRow.trial_id == trial_id)
            .order_by(MeasurementRow.metric, MeasurementRow.method)
        )
        with self.reading() as session:
            return tuple(Measurement(*row) for row in session.execute(query))

    def profile(self, trial_id: str) -> tuple[OperatorProfile, ...]:
        """The kernels of a trial's candidate in their order; empty where it was not profiled."""
        query = (
            columns(OperatorProfileRow, OperatorProfile)
            .where(OperatorProfileRow.trial_id == trial_id)
            .order_by(OperatorProfileRow.position)
        )
        with self.reading() as session:
            return tuple(OperatorProfile(*row) for row in session.execute(query))

    def blocks(self, run: str, device: str, race: int | None = None) -> tuple[Block, ...]:
        """Blocks of one race, or of all, in the order they ran, discarded ones included."""
        conditions = [BlockRow.run == run, BlockRow.device == device]
        if race is not None:
            conditions.append(BlockRow.race == race)
        with self.reading() as session:
            rows = session.scalars(
                select(BlockRow).where(*conditions).order_by(BlockRow.race, BlockRow.index)
            ).all()
            samples = _samples_by_block(session, conditions)
            return tuple(_block(row, samples.get(row.id, ())) for row in rows)

    def leases(self) -> dict[str, RunLease]:
        """The lease on each run that has one, whether its holder still lives or not."""
        with self.reading() as session:
            found = [RunLease(*row) for row in session.execute(columns(RunLeaseRow, RunLease))]
        return {lease.run: lease for lease in found}

    def time(self) -> datetime:
        """The time by which leases are taken and renewed."""
        with self.reading() as session:
            return store_time(session)

    @property
    def in_memory(self) -> bool:
        """Whether no other process can see the store."""
        return self._address.is_sqlite and self._address.path is None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One read transaction, for other modules of ``db``."""
        with translated(self._address), Session(self._engine) as session:
            yield session

    def _one(
        self, record: type[Record], row: type[Base], condition: ColumnElement[bool], key: str
    ) -> Record:
        with self.reading() as session:
            found = session.execute(columns(row, record).where(condition)).first()
        if found is None:
            what = row.__tablename__
            raise NotInStore(self._missing(what, key, self._nearest(what, key)))
        return record(*found)

    def _only(self, what: str, key: str, text: str, found: Sequence[str]) -> int:
        """The place of the only one among those that begin with a text, in their order.

        Raises NotInStore: there is none. Raises OptionError: there are several, or no text.
        """
        if not text.strip():
            raise OptionError(f"The {key} of a {what} is empty; give it, or its beginning.")
        # A whole name sorts before the longer ones that begin with it.
        if len(found) == 1 or text in found[:1]:
            return 0
        if not found:
            raise NotInStore(self._missing(what, text, self._nearest(what, text)))
        names = ", ".join(found[:_NAMED_MATCHES])
        more = " and others" if len(found) > _NAMED_MATCHES else ""
        raise OptionError(
            f"The {what} {key} {text!r} is ambiguous: it may be {names}{more}. "
            "Give more of its characters."
        )

    def _nearest(self, what: str, name: str) -> str:
        """Names of runs that are like this one, as a question; empty of what has no names."""
        if not _is_run(what):
            return ""
        newest = select(RunRow.name).order_by(RunRow.created_at.desc()).limit(_NEAREST_OF)
        with self.reading() as session:
            return did_you_mean(name, session.scalars(newest))

    def _missing(self, what: str, key: str, near: str = "") -> str:
        return (
            f"There is no {what} {key!r} in the store at {self._address}. {near}"
            f"`farm {'runs' if _is_run(what) else 'results'}` lists what there is."
        )


def open_existing(address: Address, timeout: float) -> Engine:
    """A read-only engine for a store that exists and has the newest schema.

    Raises StoreError: there is no store, or it cannot be read.
    """
    if address.path is not None and not address.path.exists():
        raise StoreError(_no_store(address))
    undo_half_done(address, timeout)
    engine = open_engine(address, timeout=timeout, read_only=True)
    with closed_on_error(engine):
        revision = current_revision(engine, address)
        if revision is None:
            raise StoreError(_no_store(address))
        if revision != HEAD:
            _upgrade(address, timeout)
    return engine


def store_time(session: Session) -> datetime:
    """The time by the one clock that all who use the store share; of SQLite, this machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return utc_now()
    now = session.scalar(select(func.clock_timestamp()))
    assert isinstance(now, datetime)
    return now.astimezone(UTC)


def columns(row: type[Base], record: type[Any]) -> Select[Any]:
    """Select the columns of a row class in the order of a record's fields."""
    attributes: Sequence[InstrumentedAttribute[Any]] = [
        getattr(row, field.name) for field in fields(record)
    ]
    return select(*attributes)


def begins_with(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """Whether a text begins so, in the same case: LIKE is deaf to it on SQLite alone."""
    return func.substr(column, 1, len(text)) == text


def models_called(text: str) -> Select[str]:
    """The SHA-256 of every model that has this name, or whose SHA-256 begins so."""
    begins = ModelRow.sha256.startswith(text.lower(), autoescape=True)
    return select(ModelRow.sha256).where((ModelRow.name == text) | begins)


def trial_conditions(
    run: str | None,
    device: str | None,
    model: str | None,
    outcome: Outcome | None,
    phase: Phase | None = None,
) -> list[ColumnElement[bool]]:
    """What a trial must fulfil; None leaves a thing open."""
    runs = select(RunRow.name).where(RunRow.model_sha256.in_(models_called(model or "")))
    wanted = (
        (run, TrialRow.run == run),
        (device, TrialRow.device == device),
        (model, TrialRow.run.in_(runs)),
        (outcome, TrialRow.outcome == outcome),
        (phase, TrialRow.phase == phase),
    )
    return [condition for value, condition in wanted if value is not None]


def _is_run(what: str) -> bool:
    """Whether that is what a message calls a run, or one of a kind."""
    return what.endswith(RunRow.__tablename__)


def _upgrade(address: Address, timeout: float) -> None:
    engine = open_engine(address, timeout=timeout, read_only=False)
    try:
        ensure_schema(engine, address)
    finally:
        engine.dispose()


def _no_store(address: Address) -> str:
    return (
        f"There is no store yet at {address}. `farm tune`, `farm bench`, `farm devices calibrate` "
        "and `farm nightly run` create it; run one of them first, or give another --store."
    )


def _samples_by_block(
    session: Session, conditions: Sequence[ColumnElement[bool]]
) -> dict[int, tuple[BlockSample, ...]]:
    query = (
        columns(BlockSampleRow, BlockSample)
        .add_columns(BlockSampleRow.block_id)
        .join(BlockRow, BlockRow.id == BlockSampleRow.block_id)
        .where(*conditions)
        .order_by(BlockSampleRow.block_id, BlockSampleRow.order)
    )
    found: dict[int, tuple[BlockSample, ...]] = {}
    for *values, block_id in session.execute(query):
        found[block_id] = (*found.get(block_id, ()), BlockSample(*values))
    return found


def _block(row: BlockRow, samples: tuple[BlockSample, ...]) -> Block:
    return Block(
        run=row.run,
        device=row.device,
        race=row.race,
        index=row.index,
        started_at=row.started_at,
        kept=row.kept,
        samples=samples,
        reason=row.reason,
        sentinel_seconds=row.sentinel_seconds,
    )
