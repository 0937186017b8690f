"""Measuring the kernels and the borders of a device's places, within a budget of time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from farm.candidate import Candidate, Pipeline, PipelinePart
from farm.costs.borders import Run
from farm.costs.calibration import CostPlace
from farm.costs.kernels import in_seconds
from farm.costs.probes.borders import Border
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError, InfrastructureError
from farm.profile.kernels import OperatorProfile
from farm.units import Seconds
from tuner.calibrating.places import MeasuredPlace
from tuner.calibrating.points import Found, points_of
from tuner.calibrating.workloads import Probed
from tuner.events import Listener, StageStarted, Ticked
from tuner.runs.clock import Budget
from workers.executor import Executor
from workers.jobs import BlockJob, Limits, ProfileJob, TrialJob
from workers.protocol import Split
from workers.trials.process import ChildError

_PASSES = 2
_TURNS = 5  # samples of each border, in turns
_LEAST_LIMIT = 30.0  # seconds that a step may take, however little is left
_Faults = (ChildError, CompileError, InfrastructureError)


class Bench:
    """Runs probes on the places of one device.

    notes: what could not be measured, a sentence each.
    """

    def __init__(
        self, executor: Executor, profile: DeviceProfile, budget: Budget, listen: Listener
    ) -> None:
        self._executor = executor
        self._profile = profile
        self._budget = budget
        self._listen = listen
        self.notes: list[str] = []
        self._lasts: dict[str, float] = {}  # seconds of each probe at all places

    @property
    def used(self) -> float:
        """Seconds of the budget."""
        return self._budget.used

    def kernels(
        self, places: Sequence[MeasuredPlace], probes: Sequence[Probed], until: float = math.inf
    ) -> dict[CostPlace, list[Found]]:
        """What every place shows of every probe, as far as there is time for it.

        A probe is measured at all places before the next one is: where time runs out, all places
        lack the same kernels. The first one is measured however short the time is. Where time is
        left all of it is done again, and of every kernel the least counts: whatever else the
        machine does makes kernels slower, never faster. Packets are the same every time.

        until: seconds of the budget that it may use.
        """
        rows: dict[tuple[CostPlace, str], tuple[OperatorProfile, ...]] = {}
        failed: set[tuple[CostPlace, str]] = set()
        for number in range(_PASSES):
            for at, probe in enumerate(probes):
                always = at == number == 0
                begin = self._budget.used
                for place in (p for p in places if not probe.weighs or _takes_weights(p)):
                    key = place.place, probe.name
                    if number and place.candidate.is_counted:
                        continue
                    if key in failed:
                        continue
                    if not (always or self._is_time(probe, until, first=number == 0)):
                        continue
                    found = self._measured(place, probe)
                    if found is None:
                        failed.add(key)
                    else:
                        rows[key] = least(rows.get(key, ()), found)
                self._lasts[probe.name] = self._budget.used - begin
        named = {probe.name: probe for probe in probes}
        shown: dict[CostPlace, list[Found]] = {place.place: [] for place in places}
        for (place_, name), kernels in rows.items():
            shown[place_].append(points_of(kernels, named[name], place_.precision))
        return shown

    def networks(
        self, places: Sequence[MeasuredPlace], probes: Iterable[Probed]
    ) -> Iterator[tuple[MeasuredPlace, Probed, tuple[OperatorProfile, ...]]]:
        """The kernels of networks in seconds, of each at all places, until the time is over."""
        last = 0.0
        for probe in probes:
            begin = self.used
            if self._budget.left <= last:
                return
            for place in (p for p in places if not probe.weighs or _takes_weights(p)):
                known = len(self.notes)
                found = self._measured(place, probe)
                if found is None:
                    del self.notes[known:]  # nobody misses one network at one place
                else:
                    yield place, probe, found
            last = self.used - begin

    def _is_time(self, probe: Probed, until: float, *, first: bool) -> bool:
        """Whether there is time for a probe; a first time that there is not is noted."""
        left = min(self._budget.left, until - self.used)
        if first:
            if left <= 0.0:
                self.notes.append(
                    f"There was no time for all {probe.name}: give a longer --budget."
                )
            return left > 0.0
        return left > self._lasts.get(probe.name, 0.0)

    def _measured(self, place: MeasuredPlace, probe: Probed) -> tuple[OperatorProfile, ...] | None:
        self._stage(f"{probe.name}, {place.place}")
        self._executor.prepare(self._profile.name, probe.workload)
        return self.profiled(place, probe)

    def borders(
        self, places: Sequence[MeasuredPlace], probes: Mapping[Border, Probed]
    ) -> dict[CostPlace, dict[Border, Run]]:
        """Runs of every border model at each of the places, all of them in turns.

        Engines are called as pipelines call them: with memory that they are bound to.
        """
        self._stage("borders")
        for probe in probes.values():
            self._executor.prepare(self._profile.name, probe.workload)
        jobs = {
            (place.place, border): self._trial(alone(place, probe), probe)
            for place in places
            for border, probe in probes.items()
        }
        members = tuple(jobs.values())
        report = self._executor.run_block(self._profile.name, BlockJob(members, turns=_TURNS))
        self._executor.release(self._profile.name, [job.trial_id for job in members])
        if report.disturbed:
            self.notes.append(
                f"While borders were measured, {report.disturbed}: they may be off. Calibrate "
                "again when nothing else runs."
            )
        for failure in dict.fromkeys(f.message for f in report.failures.values()):
            self.notes.append(f"A border cannot be measured: {failure}")
        seconds = {
            key: report.samples[job.trial_id].seconds
            for key, job in jobs.items()
            if job.trial_id in report.samples
        }
        found: dict[CostPlace, dict[Border, Run]] = {}
        for place in places:
            runs = dict(self._runs(place, probes, seconds))
            if len(runs) == len(probes):
                found[place.place] = runs
        return found

    def in_turns(self, probe: Probed, candidate: Candidate) -> Split | None:
        """What each part of a pipeline takes; None where it cannot run, which is noted."""
        self._stage(probe.name)
        self._executor.prepare(self._profile.name, probe.workload)
        job = self._trial(candidate, probe)
        (report,) = self._executor.run_trials(self._profile.name, [job])
        self._executor.release(self._profile.name, [job.trial_id])
        if report.split is None:
            self.notes.append(f"Borders in place cannot be measured: {report.message}")
        return report.split

    def _runs(
        self,
        place: MeasuredPlace,
        probes: Mapping[Border, Probed],
        seconds: Mapping[tuple[CostPlace, Border], float],
    ) -> Iterator[tuple[Border, Run]]:
        """What the caller waits, and what the kernels take of it."""
        for border, probe in probes.items():
            if (place.place, border) not in seconds:
                continue
            rows = self.profiled(place, probe)
            if rows is not None:
                kernels = Seconds(sum(row.seconds or 0.0 for row in rows))
                yield border, Run(Seconds(seconds[place.place, border]), kernels)

    def profiled(self, place: MeasuredPlace, probe: Probed) -> tuple[OperatorProfile, ...] | None:
        """The kernels of a probe in seconds; None where it cannot run, which is noted."""
        job = ProfileJob(self._job(place, probe), probe.seconds)
        try:
            rows = self._executor.run_profile(self._profile.name, job)
        except _Faults as error:
            reason = str(error) or type(error).__name__
            self.notes.append(f"{place.place} cannot run {probe.name}: {reason}")
            return None
        finally:
            self._listen(Ticked(self._profile.name, self._budget.used))
        return in_seconds(rows, self._profile)

    def _job(self, place: MeasuredPlace, probe: Probed) -> TrialJob:
        return self._trial(place.candidate, probe)

    def _trial(self, candidate: Candidate, probe: Probed) -> TrialJob:
        trial_id = f"calibration-{candidate.id}-{probe.workload.key[:12]}"
        most = max(_LEAST_LIMIT, self._budget.left)
        limits = Limits(most, most, most, self._profile.memory_bytes, most)
        return TrialJob(trial_id, probe.workload.key, candidate, limits=limits)

    def _stage(self, what: str) -> None:
        self._listen(StageStarted(self._profile.name, what))
        self._listen(Ticked(self._profile.name, self._budget.used))


def least(
    one: Sequence[OperatorProfile], other: Sequence[OperatorProfile]
) -> tuple[OperatorProfile, ...]:
    """The kernels of two profiles of one artifact, each as fast as it was in either."""
    before = {(row.kernel, row.operators): row for row in one}
    pairs = ((before.get((row.kernel, row.operators), row), row) for row in other)
    return tuple(min(pair, key=lambda row: row.cost) for pair in pairs)


def alone(place: MeasuredPlace, probe: Probed) -> Candidate:
    """A pipeline whose only part has the whole model."""
    part = PipelinePart(place.place.device, place.candidate.engine, tuple(probe.operators))  # type: ignore[arg-type]
    return Candidate(Pipeline((part,)))


def _takes_weights(place: MeasuredPlace) -> bool:
    """Whether large models are worth it there: C with many weights takes long to compile."""
    return place.place.engine not in ("cpackage", "cpackage-emulated")
