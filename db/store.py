"""The store: everything the farm measured, also what failed, kept so that nothing is lost.

The driver of a run owns its store and is the only one that writes to it; readers may work at
the same time. Every method is one transaction: it happens as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, insert, or_, update
from sqlalchemy.orm import Session

from db.connection.engine import insert_into
from db.costs.predictions import put_predictions
from db.costs.profiles import put_profile
from db.costs.versions import CostModelRecord, keep_newest
from db.leases import lock_run
from db.night_records import ChangePoint, Night, NightValue, Series
from db.ranking import rank_values
from db.reader import columns
from db.records import (
    Artifact,
    Block,
    CalibrationRecord,
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
    BlockRow,
    BlockSampleRow,
    CalibrationRow,
    CandidateRow,
    ChangePointRow,
    CostModelRow,
    MachineRow,
    MeasurementRow,
    ModelRow,
    NightRow,
    NightValueRow,
    RunRow,
    SeriesRow,
    SoftwareRow,
    TrialRow,
)
from db.writer import StoreWriter, fields_of
from farm.errors import NotInStore, StoreError
from farm.measurement import Measurement, Metric, Outcome
from farm.prediction import Prediction
from farm.profile.kernels import OperatorProfile

_IS_OPEN = or_(TrialRow.outcome.is_(None), TrialRow.outcome == Outcome.INFRASTRUCTURE_ERROR)


class Store(StoreWriter):
    """A store, open for reading and writing; one in memory is for one thread.

    Every method raises StoreError when the store is locked by another writer for too long, is
    full or fails, or when a record points to one that is not there; LeaseLost when it holds the
    lease on a run (``take_lease``) and another process took that.
    """

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
        with self.writing() as session:
            if session.get(RunRow, run.name) is not None:
                raise StoreError(
                    f"There is already a run {run.name} in the store at {self._address}. "
                    f"Continue it with `farm tune --resume {run.name}`."
                )
            session.execute(insert(RunRow).values(fields_of(run)))

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
        with self.writing() as session:
            if session.get(RunRow, name) is None:
                raise NotInStore(self._missing("run", name))
            if values:
                session.execute(update(RunRow).where(RunRow.name == name).values(values))

    def lease_trial(self, trial: Trial) -> Trial:
        """Note that a trial is handed to a worker, and return it as the store has it now.

        The trial is added where it is new. Where it is pending, or ended in an infrastructure
        error, it is pending again with one more attempt. A trial with any other outcome is
        returned as it is: it must not be repeated.
        """
        again = {"outcome": None, "message": "", "finished_at": None}
        again |= {"machine_id": trial.machine_id, "software_id": trial.software_id}
        with self.writing() as session:
            session.execute(
                insert_into(session, TrialRow)
                .values({**fields_of(trial), **again, "attempts": 1})
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
        with self.writing() as session:
            committed = session.scalar(query.returning(TrialRow.id)) is not None
            if committed:
                _put_measurements(session, trial_id, measurements)
                rank_values(session, trial_id)
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
        without: Collection[Metric] = (),
        details: str | None = None,
    ) -> None:
        """Add to a committed trial what was found out later, most often by its race.

        outcome: what an ok trial turned out to be; a trial that failed cannot become ok.
        measurements: each replaces the one of the same metric and method, if there is one.
        without: metrics of which no measurement holds any more.
        details: in place of those that it has.

        Raises NotInStore. Raises StoreError: the trial is pending, or it is not ok and another
        outcome is given.
        """
        given = {"outcome": outcome, "message": message, "details": details}
        values = {key: value for key, value in given.items() if value is not None}
        with self.writing() as session:
            row = session.get(TrialRow, trial_id)
            if row is None:
                raise NotInStore(self._missing("trial", trial_id))
            self._check_amendable(row, outcome)
            if values:
                session.execute(update(TrialRow).where(TrialRow.id == trial_id).values(values))
            if without:
                of_trial = MeasurementRow.trial_id == trial_id
                session.execute(
                    delete(MeasurementRow).where(of_trial, MeasurementRow.metric.in_(without))
                )
            _put_measurements(session, trial_id, measurements)
            rank_values(session, trial_id)

    def add_profile(self, trial_id: str, profile: Sequence[OperatorProfile]) -> None:
        """Add the kernels of a trial's candidate, or replace those that it has."""
        with self.writing() as session:
            put_profile(session, trial_id, profile)

    def add_predictions(
        self, trial_id: str, predictions: Mapping[Metric, Prediction], version: str = ""
    ) -> None:
        """Add what is expected of a trial that is in the store, or replace it.

        version: of the cost models that say it.
        """
        with self.writing() as session:
            put_predictions(session, trial_id, predictions, version)

    def reject_trial(self, trial_id: str, message: str) -> None:
        """Reject an ok trial that broke a limit later, at confirmation. See ``amend_trial``."""
        self.amend_trial(trial_id, outcome=Outcome.REJECTED, message=message)

    def add_block(self, block: Block) -> None:
        """Add one block of a race with all its samples; run and trials must be in the store.

        Raises StoreError: there is a block of this index in the race.
        """
        values = {key: it for key, it in fields_of(block).items() if key != "samples"}
        with self.writing() as session:
            block_id = session.scalar(insert(BlockRow).values(values).returning(BlockRow.id))
            samples = [{**fields_of(sample), "block_id": block_id} for sample in block.samples]
            if samples:
                session.execute(insert(BlockSampleRow), samples)

    def add_calibration(self, calibration: CalibrationRecord) -> None:
        """Add what a calibration found out; its machine and software must be in the store."""
        self._put(CalibrationRow, calibration)

    def add_cost_model(self, version: CostModelRecord, keep: int) -> None:
        """Add a version of a device's cost models; its machine and software must be there.

        keep: so many of its device, machine and format stay, the newest.
        """
        with self.writing() as session:
            session.execute(insert(CostModelRow).values(fields_of(version)))
            keep_newest(session, version, keep)

    def add_night(self, night: Night) -> None:
        """Add a night, or replace the one of this name: it ended since."""
        self._put(NightRow, night)

    def add_series(self, series: Series) -> None:
        """Add a series of a model that is in the store, or replace the one with this id."""
        self._put(SeriesRow, series)

    def add_night_value(self, value: NightValue) -> None:
        """Add what a night says of a series, or replace it; both must be in the store."""
        self._put(NightValueRow, value)

    def add_change(self, change: ChangePoint) -> None:
        """Add a change point of a series that is in the store, or replace the one with this id."""
        self._put(ChangePointRow, change)

    def delete_run(self, name: str, is_gone: Callable[[RunLease, datetime], bool]) -> None:
        """Delete a run that has ended, with its trials, their measurements and its blocks.

        is_gone: whether the holder of a lease is gone, as in ``take_lease``.

        Raises NotInStore. Raises StoreError: a process works on the run.
        """
        with self.writing() as session:
            if lock_run(session, name) is None:
                raise NotInStore(self._missing("run", name))
            held = living_lease(session, name, is_gone)
            if held is not None:
                raise StoreError(
                    f"Run {name} in the store at {self._address} is being run by process "
                    f"{held.pid} on host {held.host}, and is not deleted."
                )
            remove_run(session, name)

    def _check_amendable(self, row: TrialRow, outcome: Outcome | None) -> None:
        known = row.outcome
        pending = known is None or known is Outcome.INFRASTRUCTURE_ERROR
        changes = outcome is not None and outcome is not known
        if pending or (changes and known is not Outcome.OK):
            raise StoreError(
                f"Trial {row.id} is {known or 'pending'} in the store at {self._address} and "
                f"cannot become {outcome or 'more'}: only an ok trial changes its outcome."
            )


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
            **fields_of(each),
            "trial_id": trial_id,
            "unit": each.unit,
            "sample_count": len(each.samples),
        }
        for each in measurements
    ]
    if rows:
        session.execute(insert(MeasurementRow), rows)
