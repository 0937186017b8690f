"""A worker: carries out jobs for one device profile with child processes that it owns.

It knows nothing of Ray and can be used directly. Children that were loaded stay alive until they
are released, because interleaving needs several loaded sessions at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from farm.accuracy.damage import Damage
from farm.codegen.package.manifest import Manifest
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.profile.kernels import OperatorProfile
from workers.environments.interpreters import Interpreters
from workers.facts import facts_with
from workers.gpus.numbers import seen_variables
from workers.jobs import (
    BlockJob,
    BlockReport,
    DetailJob,
    DetailReport,
    DeviceFacts,
    Failure,
    ProfileJob,
    TrialJob,
    TrialReport,
    Workload,
)
from workers.meters.disturbance import Reading
from workers.meters.energy import without_idle
from workers.nvidia.throttling import SlowedBefore, ThrottleWatch, watched
from workers.protocol import EnergyReading, Sample
from workers.trials.artifacts import Artifacts
from workers.trials.checking import Checker
from workers.trials.children import Children, LoadedChild
from workers.trials.energy import energy_of, odd_idle
from workers.trials.places import Places
from workers.trials.process import ChildError
from workers.trials.profiler import Profiler
from workers.trials.sentinel import Sentinel
from workers.trials.stored.cache import Cache, default_folder
from workers.trials.trial import TrialRunner, failure_of

NO_OTHERS: Mapping[str, DeviceProfile] = MappingProxyType({})
_ATTEMPTS = 3
_THROUGHPUT_SECONDS = 0.5
_ENERGY_SECONDS = 1.0
_T = TypeVar("_T")


class Worker:
    """Runs trial and block jobs of one device, one at a time.

    cache: where artifacts are kept, by default this machine's ``default_folder``. Children's logs
    go to a temporary folder.
    others: profiles of devices that parts of a pipeline may be at, by name.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        cache: Path | None,
        others: Mapping[str, DeviceProfile] = NO_OTHERS,
    ) -> None:
        self.profile = profile
        self._cache = Cache(cache or default_folder())
        self._interpreters = Interpreters(profile)
        variables = seen_variables(profile)
        self._children = Children(self._interpreters, profile.processors, variables)
        self._artifacts = Artifacts(self._cache, self._children)
        self._checker = Checker(self._cache, self._children)
        self._places = Places(profile, self._interpreters, others)
        self._trials = TrialRunner(
            profile, self._cache, self._children, self._artifacts, self._checker, self._places
        )
        self._profiler = Profiler(self._children, self._artifacts, self._trials)
        self._sentinel = Sentinel(self._children)
        self._slowed_before = SlowedBefore()

    def prepare(self, workload: Workload) -> None:
        """Take a workload into the cache; jobs refer to it by its key.

        The cache is brought within its limit first.

        Raises InfrastructureError when the cache cannot be written.
        """
        self._cache.keep_limit()
        self._cache.add_workload(workload)
        self._checker.use(workload)

    def holds(self, key: str) -> bool:
        """Whether a workload's files are in the cache, so that they need not be sent."""
        return self._cache.workload(key).exists()

    def run_trial(self, job: TrialJob) -> TrialReport:
        """Compile, load, check and first measure a candidate; its child stays alive if it is ok.

        What the candidate does wrong is in the report's outcome. An infrastructure error says
        nothing about the candidate, and is tried again before it is reported.

        Raises InfrastructureError when nothing can be run here, as with a full disk.
        """
        return _tried_again(
            lambda: self._trials.run(job), lambda r: r.outcome is Outcome.INFRASTRUCTURE_ERROR
        )

    def run_block(self, job: BlockJob) -> BlockReport:
        """Run every member once, in the given order. A member that fails is in ``failures``.

        A block in which a child was killed from outside is run again before that is reported.

        Raises InfrastructureError when nothing can be run here.
        """
        if job.restart:
            self.release(member.trial_id for member in job.members)
        return _tried_again(lambda: self._block(job), _hit_from_outside)

    def run_detail(self, job: DetailJob) -> DetailReport:
        """Distribution of single runs, throughput and energy. Raises ChildError, CompileError.

        Single runs and energy are measured again where a GPU was slowed down meanwhile, by the
        rule of blocks; after three times the last ones stay, and a note says why.
        """
        return _tried_again(lambda: self._detail(job))

    def run_profile(self, job: ProfileJob) -> tuple[OperatorProfile, ...]:
        """What each kernel takes, in a child of its own. Raises ChildError, CompileError."""
        return _tried_again(lambda: self._profiler.run(job))

    def describe(self) -> DeviceFacts:
        """What this worker's machine is and offers."""
        return facts_with(self.profile, self._interpreters)

    def quantizable(self, job: TrialJob) -> dict[str, tuple[str, ...]]:
        """Names of the operators that each kind of quantisation applies to. Raises ChildError."""
        return _tried_again(lambda: self._artifacts.quantizable(job))

    def rank_sensitivity(self, job: TrialJob) -> Damage:
        """What quantising each operator of a candidate alone does. Raises ChildError."""
        return _tried_again(lambda: self._artifacts.rank_sensitivity(job))

    def artifact_files(self, job: TrialJob) -> dict[str, bytes]:
        """The files of an artifact by name, to be delivered; see ``Artifacts.files``."""
        return _tried_again(lambda: self._artifacts.files(job))

    def complete_package(self, job: TrialJob, manifest: Manifest) -> dict[str, bytes]:
        """The files of a package to be delivered. Raises ChildError, InfrastructureError."""
        return _tried_again(lambda: self._artifacts.complete_package(job, manifest))

    def take_remarks(self) -> tuple[str, ...]:
        """What is to be said of this machine since this was asked last, one sentence each."""
        return (*self._cache.take_remarks(), *self._slowed_before.take_remarks())

    def release(self, trial_ids: Iterable[str]) -> None:
        """End the children of these trials."""
        self._children.release(trial_ids)

    def close(self) -> None:
        """End all children and remove temporary files."""
        self._artifacts.close()
        self._sentinel.close()
        self._children.close()
        self._places.close()
        self._interpreters.close()
        self._cache.close()

    def _block(self, job: BlockJob) -> BlockReport:
        with watched(self._places.gpus(member.candidate for member in job.members)) as gpus:
            return self._watched_block(job, gpus)

    def _watched_block(self, job: BlockJob, gpus: Sequence[ThrottleWatch]) -> BlockReport:
        """All loading comes first, so that samples follow each other closely."""
        members = _Members(job.members, self._children)
        before_loading = Reading.now(gpus)
        live = members.each(lambda m: self._trials.ready(m, job.sample_seconds))
        self._sentinel.ready(job.sample_seconds / 2)
        started_at, before = time.time(), Reading.now(gpus)
        sentinel_seconds = self._sentinel.seconds(job.sample_seconds / 2)
        sampled = _in_turns(members, live, job)
        energies, odd = self._energies(members, live) if job.counts_energy else ({}, "")
        counted = all(member.candidate.is_counted for member in job.members)
        begun = before_loading if job.loads else before
        now = Reading.now(gpus)
        disturbed = "" if counted else now.disturbed_since(begun) or odd
        lasts = self._slowed_before.lasts(now.slowed_since(begun))
        peaks = members.each(lambda m: live[m.trial_id].peak_memory())
        loads = members.each(lambda m: live[m.trial_id].take_load_seconds())
        return BlockReport(
            started_at,
            {i: sample for i, (sample, _) in sampled.items() if i not in members.failures},
            peaks,
            members.failures,
            sentinel_seconds,
            disturbed,
            {trial_id: longest for trial_id, (_, longest) in sampled.items() if longest},
            {trial_id: seconds for trial_id, seconds in loads.items() if seconds is not None},
            energies,
            lasts=lasts and not (odd or now.machine.disturbed_since(begun.machine)),
        )

    def _energies(
        self, members: _Members, live: Mapping[str, LoadedChild]
    ) -> tuple[dict[str, EnergyReading], str]:
        """Of the members that a counter tells of, one after the other, between idle powers.

        And why these are not to be trusted, "" where they are.
        """
        told = members.each(lambda m: self._places.counted_window(m.candidate))
        windows = {trial_id: window for trial_id, window in told.items() if window is not None}

        def idle_watts() -> float | None:
            return members.first(
                lambda m: live[m.trial_id].idle_watts(windows[m.trial_id] / 2), among=windows
            )

        before = idle_watts()
        counts = members.each(lambda m: live[m.trial_id].energy(windows[m.trial_id]), windows)
        after = idle_watts()
        if before is None or after is None:
            return {}, ""
        return {i: without_idle(c, before, after) for i, c in counts.items()}, odd_idle(
            before, after
        )

    def _detail(self, job: DetailJob) -> DetailReport:
        child = self._trials.ready(job.trial, 0.01)
        if job.trial.candidate.is_modelled:  # what this machine takes says nothing of a device
            per_second = 1.0 / child.sample().seconds
            return DetailReport((Measurement(Metric.THROUGHPUT, per_second, Method.MODELLED),))
        singles, why = self._at_full_clock(
            job.trial, lambda: child.single_runs(job.single_runs, job.seconds)
        )
        median, in_flight = float(np.median(singles)), job.trial.candidate.in_flight
        if in_flight > 1:  # it has a stream of samples already, and needs no second caller
            per_second = in_flight / child.sample().seconds
        else:
            per_second = child.throughput(_THROUGHPUT_SECONDS)
        window = self._places.energy_window(job.trial.candidate) if job.counts_energy else None
        (energy, notes), noise = self._at_full_clock(
            job.trial, lambda: energy_of(child, window and max(_ENERGY_SECONDS, window))
        )
        measured = [
            Measurement(Metric.LATENCY_P50, median, Method.MEASURED, samples=tuple(singles)),
            Measurement(Metric.THROUGHPUT, per_second, Method.MEASURED),
        ]
        slowed = [(why, "Single runs were"), *([(noise, "Energy was")] if energy else [])]
        told = [f"{what} measured while {reason}." for reason, what in slowed if reason]
        return DetailReport((*measured, *energy), (*notes, *told))

    def _at_full_clock(self, job: TrialJob, action: Callable[[], _T]) -> tuple[_T, str]:
        """What an action gives, once more while a GPU was slowed down, and why it still was."""
        with watched(self._places.gpus([job.candidate])) as gpus:
            for _ in range(_ATTEMPTS):
                before = Reading.now(gpus)
                result = action()
                slowed = Reading.now(gpus).slowed_since(before)
                if not slowed:
                    return result, ""
        return result, str(slowed[0])


class _Members:
    """The members of a block, in order. One that fails in a step is released and left out."""

    def __init__(self, jobs: Sequence[TrialJob], children: Children) -> None:
        self._jobs = jobs
        self._children = children
        self.failures: dict[str, Failure] = {}

    def turn(self) -> None:
        """Go backwards from now on: what drifts evenly is in all members alike."""
        self._jobs = self._jobs[::-1]

    def each(
        self, step: Callable[[TrialJob], _T], among: Container[str] | None = None
    ) -> dict[str, _T]:
        """The step's results by trial id. among: ids of those that take it; None for all."""
        return dict(self._taking(step, among))

    def first(self, step: Callable[[TrialJob], _T], among: Container[str]) -> _T | None:
        """The result of the first that does not fail; None where all do."""
        return next((result for _, result in self._taking(step, among)), None)

    def _taking(
        self, step: Callable[[TrialJob], _T], among: Container[str] | None
    ) -> Iterator[tuple[str, _T]]:
        for job in self._jobs:
            if job.trial_id in self.failures or not (among is None or job.trial_id in among):
                continue
            try:
                result = step(job)
            except (ChildError, CompileError) as error:
                self.failures[job.trial_id] = failure_of(error)
                self._children.release([job.trial_id])
            else:
                yield job.trial_id, result


def _in_turns(
    members: _Members, live: Mapping[str, LoadedChild], job: BlockJob
) -> dict[str, tuple[Sample, float | None]]:
    """A sample of each member, and the longest of its single runs; every other turn backwards."""
    turns = []
    for _ in range(job.turns):
        turns.append(members.each(lambda m: _sampled(live[m.trial_id], job.single_runs)))
        members.turn()
    return {
        trial_id: (
            _mean([turn[trial_id][0] for turn in turns]),
            max((turn[trial_id][1] or 0.0 for turn in turns), default=0.0) or None,
        )
        for trial_id in turns[-1]
    }


def _mean(samples: Sequence[Sample]) -> Sample:
    """The geometric mean of times, of so many loops together."""
    if len(samples) == 1:
        return samples[0]
    seconds = [sample.seconds for sample in samples]
    return replace(
        samples[0],
        seconds=float(np.exp(np.mean(np.log(seconds)))),
        cpu_seconds=float(np.mean([sample.cpu_seconds for sample in samples])),
        loops=sum(sample.loops for sample in samples),
    )


def _sampled(child: LoadedChild, single_runs: int) -> tuple[Sample, float | None]:
    """A sample, and the longest of so many single runs."""
    return child.sample(), child.longest_run(single_runs) if single_runs else None


def _hit_from_outside(report: BlockReport) -> bool:
    outcomes = {failure.outcome for failure in report.failures.values()}
    return Outcome.INFRASTRUCTURE_ERROR in outcomes


def _tried_again(action: Callable[[], _T], is_lost: Callable[[_T], bool] = lambda _: False) -> _T:
    """Carry out an action, up to three times while children are killed from outside.

    is_lost: whether its result says so. Raises what the last attempt raises.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            result = action()
        except ChildError as error:
            if error.outcome is not Outcome.INFRASTRUCTURE_ERROR:
                raise
        else:
            if not is_lost(result):
                return result
    return action()
