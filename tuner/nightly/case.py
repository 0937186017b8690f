"""One case on one night: what is measured side by side, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from db.night_records import Series
from db.records import Phase, RunKind, RunStatus
from db.store import Store
from farm.candidate import Candidate, check_timed, read_candidate, to_json
from farm.devices.profile import DeviceProfile, select_profiles
from farm.errors import InfrastructureError, NotInStore, OptionError, StoreError
from farm.measurement import Metric
from farm.model.formats import given_format
from tuner.bench import check_device, check_threads
from tuner.events import Listener
from tuner.nightly.details import Details, Failed
from tuner.nightly.states.good import GoodState, changed_versions, engine_versions, read_good
from tuner.nightly.states.members import Measured, Member, measure_side_by_side, require_counter
from tuner.nightly.states.software import environment_gives
from tuner.nightly.suites.suite import Case
from tuner.nightly.tonight import Tonight, compare_tonight, of_sample
from tuner.racing.statistics import FloatArray
from tuner.request import TuneRequest
from tuner.runs.clock import Budget
from tuner.runs.life import living
from tuner.runs.record.journal import Journal
from tuner.runs.start import Checked, OpenRun, check_request, open_journal, start_run
from tuner.runs.winner import winner_of
from tuner.search.baseline import find_baseline
from tuner.search.space import space_of
from workers.executor import Executor
from workers.jobs import TODAY as TODAYS
from workers.jobs import DeviceFacts, Pinned
from workers.trials.stored.keep import keep, kept

TODAY, GOOD = "today", "the last good state"
LEAST_BLOCKS, MOST_BLOCKS = 8, 60
_WINNER = "winner of "

Environments = Mapping[str, str]
"""Of a suite, by name: the name of the installed environment."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where nights are measured and what they are kept in.

    environment_of: an installed environment in which a kind of engine has these versions. gives:
    whether an installed environment, by its name, is one that a kind of engine can run in.
    """

    store: Store
    profiles: Mapping[str, DeviceProfile]
    executors: Callable[[DeviceProfile], Executor]
    environment_of: Callable[[str, Mapping[str, str]], str]
    listen: Listener
    gives: Callable[[str, str], bool] = environment_gives


@dataclass(frozen=True, slots=True)
class Compared:
    """One series on one night, as measured.

    tonight: None on a first night, which has nothing to compare with. now: what was measured.
    good: what it was compared with: the last good state; of an environment, today's. environment:
    the installed one that it ran in, "" for today's software. run: has the blocks. value: median,
    in the metric's unit. machine: the fingerprint's id. seconds: that the case took.
    """

    series: Series
    tonight: Tonight | None
    now: GoodState
    good: GoodState
    environment: str
    run: str
    value: float
    machine_id: str
    software_id: str
    machine: str
    seconds: float
    label: str
    notes: tuple[str, ...] = ()


@dataclass
class OpenCase:
    """A run of a case that is being measured."""

    opened: OpenRun
    executor: Executor
    journal: Journal
    facts: DeviceFacts
    budget: Budget
    notes: list[str] = field(default_factory=list)


class CaseNight:
    """Measures one case of a suite.

    known: the suite's series of this case so far. failed: environments that could not run it.

    Each method raises FarmError where it cannot be measured; the message says why.
    """

    def __init__(self, place: Place, suite: str, case: Case, known: Sequence[Series]) -> None:
        self._place = place
        self._suite = suite
        self._case = case
        self._known = list(known)
        self.failed: list[Failed] = []

    def measure(self, environments: Environments, *, accept: bool = False) -> tuple[Compared, ...]:
        """Measure today's state beside the last good one and the environments.

        accept: what is measured is the good state from now on, whatever was before, and the model
        may be another one.
        """
        checked = self._checked()
        if accept:
            self._known = [replace(series, good="") for series in self._known]
        else:
            self._check_model(checked)
        with self._running(checked) as run:
            candidate = self._candidate(run)
            check_threads(checked.request, [candidate])
            check_device(self._profile, [candidate], self._place.profiles)
            # What a candidate's engine does not run in changes nothing for it.
            kind, gives = candidate.engine.kind, self._place.gives
            environments = {n: name for n, name in environments.items() if gives(name, kind)}
            series = self._series(checked, environments)
            goods = self._goods(series.values(), run)
            members = [
                Member(TODAY, candidate),
                *(Member(key, c, pinned) for key, (c, pinned) in goods.items()),
                *(Member(name, candidate, Pinned(name)) for name in environments.values()),
            ]
            measured = self._measured(run, members, self._until_budget(run.budget))
            self._check(measured, environments)
            return tuple(self._compared(run, series, measured, environments))

    def confirm(self, series: Series, details: Details, pairs: int) -> Tonight:
        """Measure both states again, side by side, in another run with other processes."""
        with self._running(self._checked()) as run:
            now, against = details.now.read_candidate(), details.against.read_candidate()
            if series.environment:
                pinned = Pinned()
            else:
                pinned = self._pinned(details.against, against, run)
            found = self._measured(
                run,
                [Member(TODAY, now, Pinned(details.environment)), Member(GOOD, against, pinned)],
                lambda done, _: done < pairs,
            )
            self._check(found, {})
            return _tonight(series.metric, found[TODAY], found[GOOD])

    @contextmanager
    def opened(self) -> Iterator[tuple[OpenCase, Candidate]]:
        """A run of the case with its worker, and the candidate of today; ends with the block."""
        with self._running(self._checked()) as run:
            candidate = self._candidate(run)
            check_device(self._profile, [candidate], self._place.profiles)
            yield run, candidate

    @property
    def _profile(self) -> DeviceProfile:
        (profile,) = select_profiles((self._case.device,), dict(self._place.profiles))
        return profile

    def _checked(self) -> Checked:
        case = self._case
        request = TuneRequest(
            model=str(case.model),
            devices=(case.device,),
            data=str(case.data) if case.data else "",
            shapes=dict(case.shapes),
            objective=case.objective,
            budget_seconds=case.budget,
            threads=case.threads,
        )
        check_device(self._profile, [])
        if self._known and not case.model.exists():
            raise OptionError(
                f"There is no model {case.model}, which on the nights before had the SHA-256 "
                f"{self._known[-1].model_sha256[:12]}; restore it, or let the suite name its new "
                "place."
            )
        return check_request(request, self._place.profiles)

    def _check_model(self, checked: Checked) -> None:
        """Raise OptionError where the model is another one than on the nights before."""
        now = checked.subject.model.sha256
        before = {series.model_sha256 for series in self._known}
        if before and now not in before:
            raise OptionError(
                f"The model {self._case.model} is not the one of the nights before (SHA-256 "
                f"{now[:12]}, was {min(before)[:12]}): restore the file, or begin anew with "
                f"--accept {self._case.name}."
            )

    @contextmanager
    def _running(self, checked: Checked) -> Iterator[OpenCase]:
        """A run of the case with its worker, which ends with the block."""
        place, profile = self._place, self._profile
        opened = start_run(place.store, checked, RunKind.NIGHTLY)
        budget = Budget(self._case.budget)
        with living(place.store, opened) as life, place.executors(profile) as executor:
            try:
                executor.prepare(profile.name, opened.subject.workload)
                facts = executor.describe(profile.name)
                journal = open_journal(place.store, executor, opened, profile, facts)
                require_counter(journal, self._case.metrics)
                yield OpenCase(opened, executor, journal, facts, budget)
            finally:
                with suppress(StoreError):  # it would have said so before
                    place.store.update_run(opened.name, active_seconds=budget.used)
            life.status = RunStatus.FINISHED

    def _candidate(self, run: OpenCase) -> Candidate:
        """What the case names, or the baseline, or what takes its place."""
        text = self._case.candidate
        if text.startswith(_WINNER):
            try:
                return winner_of(self._place.store, text.removeprefix(_WINNER), self._case.device)
            except NotInStore as error:
                raise OptionError(
                    f"The candidate is the {text}, and there is none: {error}"
                ) from None
        if text != "baseline":
            candidate = read_candidate(Path(text))
            check_timed(candidate)
            return candidate
        given = given_format(run.opened.subject.model.proto)
        space = space_of(run.facts, given, run.opened.request.threads)
        found = find_baseline(
            [c for c in space.baselines() if c.keeps_precision],
            lambda candidate: next(iter(run.journal.run_trials([candidate], Phase.BENCH))),
        )
        run.notes += found.notes()
        return found.entry.candidate

    def _series(
        self, checked: Checked, environments: Environments
    ) -> dict[tuple[Metric, str], Series]:
        """The case's series by metric and environment, new ones where there are none."""
        case, model = self._case, checked.subject.model.sha256
        known = {series.id: series for series in self._known}
        found = {}
        for metric in case.metrics:
            for environment in ("", *environments):
                new = Series.identify(
                    self._suite, case.name, case.device, metric, environment, model
                )
                found[metric, environment] = known.get(new.id, new)
        return found

    def _goods(
        self, series: Iterable[Series], run: OpenCase
    ) -> dict[str, tuple[Candidate, Pinned]]:
        """The last good states of all series, by key, and what each runs with."""
        found = {}
        for state in (read_good(each.good) for each in series):
            if state is not None and state.key not in found:
                candidate = state.read_candidate()
                if (pinned := self._pinned(state, candidate, run)) != TODAYS:
                    found[state.key] = (candidate, pinned)
        return found

    def _pinned(self, state: GoodState, candidate: Candidate, run: OpenCase) -> Pinned:
        """What a good state runs with; what it would run with today where nothing is left of it.

        Raises DeviceError: its software cannot be had.
        """
        artifact = kept(state.artifact)
        if artifact is None:
            run.notes.append(
                "What was compiled for the last good state is not kept on this machine."
            )
        now = engine_versions(candidate, run.facts.software)
        changed = bool(changed_versions(state.versions, now))
        kind = candidate.engine.kind
        environment = self._place.environment_of(kind, state.versions) if changed else ""
        return Pinned(environment, str(artifact or ""))

    def _measured(
        self, run: OpenCase, members: Sequence[Member], wanted: Callable[[int, float], bool]
    ) -> dict[str, Measured]:
        place = self._place
        found = measure_side_by_side(
            place.store,
            run.executor,
            run.opened,
            self._profile,
            members,
            wanted,
            place.listen,
            journal=run.journal,
        )
        run.notes += run.executor.take_remarks(self._profile.name)
        return {each.member.name: each for each in found}

    def _check(self, measured: Mapping[str, Measured], environments: Environments) -> None:
        """Raise InfrastructureError where today's state or a good one cannot be run.

        What an environment cannot run is noted in ``failed``.
        """
        named = {installed: name for name, installed in environments.items()}
        for name, each in measured.items():
            why = each.failure.rstrip(".")
            if not why:
                continue
            what = each.member.candidate.label()
            if name in named:
                self.failed.append(
                    Failed(self._case.name, f"{what} cannot be run: {why}.", named[name])
                )
            elif name == TODAY:
                raise InfrastructureError(f"{what} cannot be run today: {why}.")
            else:
                raise InfrastructureError(
                    f"The last good state ({what}) cannot be run any more: {why}. With --accept "
                    f"{self._case.name} today's is the good one from now on."
                )

    @staticmethod
    def _until_budget(budget: Budget) -> Callable[[int, float], bool]:
        """Blocks as long as the budget lasts, 8 at least and 60 at most."""
        return lambda done, last: (
            done < MOST_BLOCKS and (done < LEAST_BLOCKS or budget.left > last)
        )

    def _compared(
        self,
        run: OpenCase,
        series: Mapping[tuple[Metric, str], Series],
        measured: Mapping[str, Measured],
        environments: Environments,
    ) -> Iterator[Compared]:
        today = self._state(run, measured[TODAY])
        for (metric, environment), each in series.items():
            installed = environments.get(environment, "")
            subject = measured[installed or TODAY]
            if subject.failure:
                continue
            good = today if installed else read_good(each.good) or today
            other = measured.get(TODAY if installed else good.key)
            trial = self._place.store.trial(subject.trial_id)
            now = today
            if installed:
                software = json.loads(self._place.store.software(trial.software_id).versions)
                now = replace(today, versions=engine_versions(subject.member.candidate, software))
            yield Compared(
                each,
                None if other is None else _tonight(metric, subject, other),
                now,
                good,
                installed,
                run.opened.name,
                float(np.median(_values(metric, subject))),
                trial.machine_id,
                trial.software_id,
                run.facts.machine.id,
                run.budget.used,
                subject.member.candidate.label(),
                tuple(run.notes),
            )

    def _state(self, run: OpenCase, today: Measured) -> GoodState:
        """What was measured as today's, with its artifact kept."""
        candidate, files = today.member.candidate, {}
        if today.entry.artifact_key:
            job = run.journal.job(candidate, Phase.BENCH)
            files = run.executor.artifact_files(self._profile.name, job)
        return GoodState(
            to_json(candidate),
            keep(files).name,
            engine_versions(candidate, run.facts.software),
            run.opened.name,
        )


def _tonight(metric: Metric, subject: Measured, other: Measured) -> Tonight:
    return compare_tonight(metric, _values(metric, subject), _values(metric, other))


def _values(metric: Metric, measured: Measured) -> FloatArray:
    """A metric's value in each block, [blocks]."""
    candidate = measured.member.candidate
    return np.array([of_sample(metric, candidate, sample) for sample in measured.samples])
