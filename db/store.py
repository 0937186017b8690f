"""The store: everything the farm measured, also what failed, kept so that nothing is lost.

The driver of a run owns its store and is the only one that writes to it; readers may work at
the same time. Every method is one transaction: it happens as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Self

from sqlalchemy import delete, insert, or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.address import Address, parse_address
from db.engine import LOCK_TIMEOUT, closed_on_error, for_writing, open_engine, translated
from db.leases import lease_of, lock_run, require_lease
from db.profiles import put_profile
from db.reader import StoreReader, columns, store_time
from db.records import (
    Artifact,
    Block,
    CandidateRecord,
    Machine,
    Model,
    Run,
    RunLease,
    RunStatus,
    Software,
    Trial,
    utc_now,
)
from db.removal import living_lease, remove_run
from db.schema import (
    ArtifactRow,
    Base,
    BlockRow,
    BlockSampleRow,
    CandidateRow,
    MachineRow,
    MeasurementRow,
    ModelRow,
    RunLeaseRow,
    RunRow,
    SoftwareRow,
    TrialRow,
)
from db.upgrade import ensure_schema
from farm.errors import NotInStore, StoreError
from farm.measurement import Measurement, Outcome
from farm.profile.kernels import OperatorProfile

_IS_OPEN = or_(TrialRow.outcome.is_(None), TrialRow.outcome == Outcome.INFRASTRUCTURE_ERROR)


class Store(StoreReader):
    """A store, open for reading and writing; one in memory is for one thread.

    Every method raises StoreError when the store is locked by another writer for too long, is
    full or fails, or when a record points to one that is not there; LeaseLost when it holds the
    lease on a run (``take_lease``) and another process took that.
    """

    _lease: RunLease | None = None

    @classmethod
    def open(cls, url: str | None = None, *, timeout: float = LOCK_TIMEOUT) -> Self:
        """Open a store, creating it and its folder where there is none, and upgrade its schema.

        url: a path, a SQLAlchemy URL, or None for the default place (``db.address``).
        timeout: seconds to wait for another writer, or for a server to answer.

        Raises StoreError: not a store, newer than the program, locked, read-only, disk full,
        unreachable. Raises OptionError: the URL cannot be understood.
        """
        address = parse_address(url)
        _make_folder(address)
        engine = open_engine(address, timeout=timeout, read_only=False)
        with closed_on_error(engine):
            ensure_schema(engine, address)
        return cls(engine, address)

    def add_machine(self, machine: Machine) -> None:
        """Add a machine, or replace the one with this id."""
        self._put(MachineRow, machine)

    def add_software(self, software: Software) -> None:
        """Add a set of versions, or replace the one with this id."""
        self._put(SoftwareRow, software)

    def add_model(self, model: Model) -> None:
        """Add a model, or replace the one with this SHA-256: its latest name stays."""
        self._put(ModelRow, model)

    def add_candidate(self, candidate: CandidateRecord) -> None:
        """Add a candidate, or replace the one with this id."""
        self._put(CandidateRow, candidate)

    def add_artifact(self, artifact: Artifact) -> None:
        """Add an artifact of a model that is in the store, or replace the one with this key."""
        self._put(ArtifactRow, artifact)

    def create_run(self, run: Run) -> None:
        """Add a run; its model, machine and software must be in the store.

        Raises StoreError: there is a run of this name.
        """
        with self._writing() as session:
            if session.get(RunRow, run.name) is not None:
                raise StoreError(
                    f"There is already a run {run.name} in the store at {self._address}. "
                    f"Continue it with `farm tune --resume {run.name}`."
                )
            session.execute(insert(RunRow).values(_values(run)))

    def update_run(
        self,
        name: str,
        *,
        status: RunStatus | None = None,
        active_seconds: float | None = None,
        summary: str | None = None,
        request: str | None = None,
    ) -> None:
        """Change what is given. A status other than running sets the time the run finished.

        Raises NotInStore.
        """
        given = {
            "status": status,
            "active_seconds": active_seconds,
            "summary": summary,
            "request": request,
        }
        values: dict[str, object] = {key: it for key, it in given.items() if it is not None}
        if status is not None:
            values["finished_at"] = None if status is RunStatus.RUNNING else utc_now()
        with self._writing() as session:
            if session.get(RunRow, name) is None:
                raise NotInStore(self._missing("run", name))
            if values:
                session.execute(update(RunRow).where(RunRow.name == name).values(values))

    def take_lease(
        self, lease: RunLease, is_free: Callable[[RunLease, datetime], bool]
    ) -> RunLease:
        """Take the lease on a run, and return it; or the one of who holds it, which stays.

        From then on, until ``release_lease``, every method raises LeaseLost once another process
        has taken it. A store holds one lease at a time.

        is_free: whether the holder of a lease is gone, by the store's time. It is asked inside
        the transaction, so that of two who take a lease at the same moment one gets it.

        Raises NotInStore.
        """
        with self._writing() as session:
            if lock_run(session, lease.run) is None:
                raise NotInStore(self._missing("run", lease.run))
            held, now = lease_of(session, lease.run), store_time(session)
            if held is not None and not is_free(held, now):
                return held
            taken = replace(lease, taken_at=now, renewed_at=now)
            session.execute(
                self._insert(RunLeaseRow)
                .values(_values(taken))
                .on_conflict_do_update(index_elements=[RunLeaseRow.run], set_=_values(taken))
            )
        self._lease = taken
        return taken

    def renew_lease(self) -> None:
        """Give a sign of life. Raises LeaseLost."""
        assert self._lease is not None
        mine = RunLeaseRow.token == self._lease.token
        with self._writing() as session:
            session.execute(update(RunLeaseRow).where(mine).values(renewed_at=store_time(session)))

    def release_lease(self, status: RunStatus | None = None) -> None:
        """Give the lease back, and note how the run ended, both or neither. Raises LeaseLost."""
        lease = self._lease
        assert lease is not None
        ended = {"status": status, "finished_at": utc_now()}
        with self._writing() as session:
            if status is not None:
                session.execute(update(RunRow).where(RunRow.name == lease.run).values(ended))
            session.execute(delete(RunLeaseRow).where(RunLeaseRow.token == lease.token))
        self._lease = None

    def lease_trial(self, trial: Trial) -> Trial:
        """Note that a trial is handed to a worker, and return it as the store has it now.

        The trial is added where it is new. Where it is pending, or ended in an infrastructure
        error, it is pending again with one more attempt. A trial with any other outcome is
        returned as it is: it must not be repeated.
        """
        again = {"outcome": None, "message": "", "finished_at": None}
        again |= {"machine_id": trial.machine_id, "software_id": trial.software_id}
        with self._writing() as session:
            session.execute(
                self._insert(TrialRow)
                .values({**_values(trial), **again, "attempts": 1})
                .on_conflict_do_update(
                    index_elements=[TrialRow.id],
                    set_={**again, "attempts": TrialRow.attempts + 1},
                    where=_IS_OPEN,
                )
            )
            return _stored_trial(session, trial.id)

    def commit_trial(
        self,
        trial_id: str,
        outcome: Outcome,
        message: str = "",
        measurements: Sequence[Measurement] = (),
        artifact_key: str | None = None,
        details: str = "{}",
    ) -> bool:
        """Store what became of a leased trial: True, or False when it was committed before.

        A trial commits once; the first of several workers counts. An infrastructure error is
        not final: the trial stays open, and may be leased and committed again.
        An artifact must be in the store before the trial that has its key.

        Raises NotInStore: the trial was never leased.
        """
        result: dict[str, object] = {
            "outcome": outcome,
            "message": message,
            "artifact_key": artifact_key,
            "details": details,
            "finished_at": utc_now(),
        }
        query = update(TrialRow).where(TrialRow.id == trial_id, _IS_OPEN).values(result)
        with self._writing() as session:
            committed = session.scalar(query.returning(TrialRow.id)) is not None
            if committed:
                _put_measurements(session, trial_id, measurements)
            elif session.get(TrialRow, trial_id) is None:
                raise NotInStore(self._missing("trial", trial_id))
            return committed

    def amend_trial(
        self,
        trial_id: str,
        *,
        outcome: Outcome | None = None,
        message: str | None = None,
        measurements: Sequence[Measurement] = (),
    ) -> None:
        """Add to a committed trial what its race showed.

        outcome: what an ok trial turned out to be; a trial that failed cannot become ok.
        measurements: each replaces the one of the same metric and method, if there is one.

        Raises NotInStore. Raises StoreError: the trial is pending, or it is not ok and another
        outcome is given.
        """
        given = {"outcome": outcome, "message": message}
        values = {key: value for key, value in given.items() if value is not None}
        with self._writing() as session:
            row = session.get(TrialRow, trial_id)
            if row is None:
                raise NotInStore(self._missing("trial", trial_id))
            self._check_amendable(row, outcome)
            if values:
                session.execute(update(TrialRow).where(TrialRow.id == trial_id).values(values))
            _put_measurements(session, trial_id, measurements)

    def add_profile(self, trial_id: str, profile: Sequence[OperatorProfile]) -> None:
        """Add the kernels of a trial's candidate, or replace those that it has."""
        with self._writing() as session:
            put_profile(session, trial_id, profile)

    def reject_trial(self, trial_id: str, message: str) -> None:
        """Reject an ok trial that broke a limit later, at confirmation. See ``amend_trial``."""
        self.amend_trial(trial_id, outcome=Outcome.REJECTED, message=message)

    def add_block(self, block: Block) -> None:
        """Add one block of a race with all its samples; run and trials must be in the store.

        Raises StoreError: there is a block of this index in the race.
        """
        values = {key: it for key, it in _values(block).items() if key != "samples"}
        with self._writing() as session:
            block_id = session.scalar(insert(BlockRow).values(values).returning(BlockRow.id))
            samples = [{**_values(sample), "block_id": block_id} for sample in block.samples]
            if samples:
                session.execute(insert(BlockSampleRow), samples)

    def delete_run(self, name: str, is_gone: Callable[[RunLease, datetime], bool]) -> None:
        """Delete a run that has ended, with its trials, their measurements and its blocks.

        is_gone: whether the holder of a lease is gone, as in ``take_lease``.

        Raises NotInStore. Raises StoreError: a process works on the run.
        """
        with self._writing() as session:
            if lock_run(session, name) is None:
                raise NotInStore(self._missing("run", name))
            held = living_lease(session, name, is_gone)
            if held is not None:
                raise StoreError(
                    f"Run {name} in the store at {self._address} is being run by process "
                    f"{held.pid} on host {held.host}, and is not deleted."
                )
            remove_run(session, name)

    def compact(self) -> None:
        """Give the room of what was deleted back to the disk; a server does that by itself."""
        if self._address.path is None:
            return
        with translated(self._address), closing(self._engine.raw_connection()) as connection:
            connection.cursor().execute("VACUUM")
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with (
            translated(self._address),
            Session(for_writing(self._engine)) as session,
            session.begin(),
        ):
            if self._lease is not None:
                require_lease(session, self._lease)
            yield session

    def _put(self, row: type[Base], record: object) -> None:
        values = _values(record)
        keys = [column.name for column in row.__table__.primary_key]
        with self._writing() as session:
            session.execute(
                self._insert(row)
                .values(values)
                .on_conflict_do_update(index_elements=keys, set_=values)
            )

    def _insert(self, row: type[Base]) -> sqlite.Insert | postgresql.Insert:
        return sqlite.insert(row) if self._address.is_sqlite else postgresql.insert(row)

    def _check_amendable(self, row: TrialRow, outcome: Outcome | None) -> None:
        known = row.outcome
        pending = known is None or known is Outcome.INFRASTRUCTURE_ERROR
        changes = outcome is not None and outcome is not known
        if pending or (changes and known is not Outcome.OK):
            raise StoreError(
                f"Trial {row.id} is {known or 'pending'} in the store at {self._address} and "
                f"cannot become {outcome or 'more'}: only an ok trial changes its outcome."
            )


def _make_folder(address: Address) -> None:
    if address.path is None:
        return
    try:
        address.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {address.path.parent} of the store cannot be made: {error.strerror}. "
            "Give another --store."
        ) from None


def _values(record: object) -> dict[str, Any]:
    """The fields of a record by name, as a statement takes them."""
    return {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]


def _stored_trial(session: Session, trial_id: str) -> Trial:
    return Trial(*session.execute(columns(TrialRow, Trial).where(TrialRow.id == trial_id)).one())


def _put_measurements(
    session: Session, trial_id: str, measurements: Sequence[Measurement]
) -> None:
    for each in measurements:
        session.execute(
            delete(MeasurementRow).where(
                MeasurementRow.trial_id == trial_id,
                MeasurementRow.metric == each.metric,
                MeasurementRow.method == each.method,
            )
        )
    rows = [
        {
            **_values(each),
            "trial_id": trial_id,
            "unit": each.unit,
            "sample_count": len(each.samples),
        }
        for each in measurements
    ]
    if rows:
        session.execute(insert(MeasurementRow), rows)
