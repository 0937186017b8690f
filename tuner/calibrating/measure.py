"""Measuring the kernels and the borders of a device's places, within a budget of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from farm.costs.borders import Run
from farm.costs.calibration import CostPlace
from farm.costs.probes.borders import Border
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError, InfrastructureError
from farm.profile.kernels import OperatorProfile
from tuner.calibrating.places import MeasuredPlace
from tuner.calibrating.points import Found, in_seconds, points_of
from tuner.calibrating.workloads import Probed
from tuner.events import Listener, StageStarted, Ticked
from tuner.runs.clock import Budget
from workers.executor import Executor
from workers.jobs import BlockJob, Limits, ProfileJob, TrialJob
from workers.trials.process import ChildError

_PROFILE_SECONDS = 0.3  # that a model of many kernels is run for
_TURNS = 5  # samples of each border, in turns
_LEAST_LIMIT = 5.0  # seconds that a step may take, however little is left
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

    def kernels(
        self, places: Sequence[MeasuredPlace], probes: Iterable[Probed]
    ) -> dict[CostPlace, list[Found]]:
        """What every place shows of every probe, as far as there is time for it.

        A probe is measured at all places before the next one is: where time runs out, all places
        lack the same kernels.
        """
        found: dict[CostPlace, list[Found]] = {place.place: [] for place in places}
        for probe in probes:
            suited = [p for p in places if not probe.weighs or _takes_weights(p)]
            if not self._budget.left:
                self.notes.append(f"There was no time for {probe.name}: give a longer --budget.")
                continue
            self._stage(probe.name)
            self._executor.prepare(self._profile.name, probe.workload)
            for place in suited:
                if rows := self._profiled(place, probe):
                    found[place.place].append(points_of(rows, probe, place.place.precision))
        return found

    def borders(
        self, places: Sequence[MeasuredPlace], probes: Mapping[Border, Probed]
    ) -> dict[CostPlace, dict[Border, Run]]:
        """Runs of every border model at each of the places, all of them in turns."""
        self._stage("borders")
        for probe in probes.values():
            self._executor.prepare(self._profile.name, probe.workload)
        jobs = {
            (place.place, border): self._job(place, probe)
            for place in places
            for border, probe in probes.items()
        }
        members = tuple(jobs.values())
        report = self._executor.run_block(self._profile.name, BlockJob(members, turns=_TURNS))
        self._executor.release(self._profile.name, [job.trial_id for job in members])
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

    def _runs(
        self,
        place: MeasuredPlace,
        probes: Mapping[Border, Probed],
        seconds: Mapping[tuple[CostPlace, Border], float],
    ) -> Iterator[tuple[Border, Run]]:
        """What the caller waits, and what the kernels take of it."""
        for border, probe in probes.items():
            if (place.place, border) in seconds and (rows := self._profiled(place, probe)):
                kernels = sum(row.seconds or 0.0 for row in rows)
                yield border, Run(seconds[place.place, border], kernels)

    def _profiled(self, place: MeasuredPlace, probe: Probed) -> tuple[OperatorProfile, ...]:
        """The kernels of a probe in seconds; none where it cannot run, which is noted."""
        job = ProfileJob(self._job(place, probe), _PROFILE_SECONDS)
        try:
            rows = self._executor.run_profile(self._profile.name, job)
        except _Faults as error:
            reason = str(error) or type(error).__name__
            self.notes.append(f"{place.place} has no kernels of {probe.name}: {reason}")
            return ()
        finally:
            self._listen(Ticked(self._profile.name, self._budget.used))
        return in_seconds(rows, self._profile)

    def _job(self, place: MeasuredPlace, probe: Probed) -> TrialJob:
        trial_id = f"calibration-{place.candidate.id}-{probe.workload.key[:12]}"
        most = max(_LEAST_LIMIT, self._budget.left)
        limits = Limits(most, most, most, self._profile.memory_bytes, most)
        return TrialJob(trial_id, probe.workload.key, place.candidate, limits=limits)

    def _stage(self, what: str) -> None:
        self._listen(StageStarted(self._profile.name, what))
        self._listen(Ticked(self._profile.name, self._budget.used))


def _takes_weights(place: MeasuredPlace) -> bool:
    """Whether large models are worth it there: C with many weights takes long to compile."""
    return place.place.engine not in ("cpackage", "cpackage-emulated")
