"""The Ray executor: one actor per device profile, leases, and recovery from any loss.

Ray is given no retries of its own: a job that was running when its actor was lost may be the
reason for the loss, so the pool counts attempts and gives up on a job, never on the run.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import ray
from ray.exceptions import RayTaskError

from farm.accuracy.damage import Damage
from farm.codegen.package.manifest import Manifest
from farm.devices.profile import DeviceProfile
from farm.errors import InfrastructureError
from farm.host.closing import Closing
from farm.measurement import Outcome
from farm.profile.kernels import OperatorProfile
from workers.cluster.lifecycle import LOSSES, Cluster, OwnCluster, first_line
from workers.cluster.patience import Deadline, patiently
from workers.jobs import (
    BlockJob,
    BlockReport,
    DetailJob,
    DetailReport,
    DeviceFacts,
    ProfileJob,
    TrialJob,
    TrialReport,
    Workload,
)
from workers.trials.artifacts import cached_files
from workers.trials.stored.cache import Cache, default_folder
from workers.trials.worker import NO_OTHERS, Worker

MAX_ATTEMPTS = 3
MAX_IN_FLIGHT = 2
_POLL_SECONDS = 0.5
_START_SECONDS = 60.0
_CACHE_SECONDS = 10.0  # in which also a process starts
_SEND_SECONDS = 600.0  # gigabytes through a slow network
_T = TypeVar("_T")


@dataclass(slots=True)
class _Lease:
    """A job that an actor is working on."""

    job: TrialJob
    attempt: int
    reference: Any


class RayExecutor(Closing):
    """Workers as Ray actors.

    cache: folder of artifacts; None for the default one of each worker's machine.
    cluster: with the profiles' devices; None for one that this process starts.
    known: profiles of devices that parts of pipelines may be at, by name.
    """

    def __init__(
        self,
        profiles: Iterable[DeviceProfile],
        cache: Path | None,
        cluster: Cluster | None = None,
        known: Mapping[str, DeviceProfile] = NO_OTHERS,
    ) -> None:
        self._profiles = {profile.name: profile for profile in profiles}
        self._cache = cache
        self._known = dict(known)
        self._cluster = cluster or OwnCluster(self._profiles)
        self._workloads: dict[str, list[Workload]] = {}
        self._actors: dict[str, Any] = {}
        self._interrupted = Event()
        self._cluster.start()

    def machine(self, device: str) -> str:
        """The machine of a device, as the cluster knows it."""
        return self._cluster.machine(device)

    def interrupt(self) -> None:
        """Have what waits here in other threads raise KeyboardInterrupt."""
        self._interrupted.set()

    def prepare(self, device: str, workload: Workload) -> None:
        """Send a workload to the device's actor, and to every later one."""
        self._call(device, lambda actor: _send(actor, workload), fetch=False)
        self._workloads.setdefault(device, []).append(workload)

    def run_trials(self, device: str, jobs: Iterable[TrialJob]) -> Iterator[TrialReport]:
        """Keep at most two jobs with the actor, so that it never waits for the driver."""
        source = iter(jobs)
        waiting: deque[tuple[TrialJob, int]] = deque()
        leases: deque[_Lease] = deque()
        while True:
            while len(leases) < MAX_IN_FLIGHT:
                if not waiting:
                    job = next(source, None)
                    if job is None:
                        break
                    waiting.append((job, 1))
                leases.append(self._lease(device, *waiting.popleft()))
            if not leases:
                return
            try:
                report: TrialReport = self._result(leases[0].reference)
            except LOSSES as loss:
                waiting.extendleft(self._lost(device, leases))
                leases.clear()
                if waiting[0][1] > MAX_ATTEMPTS:
                    yield _given_up(waiting.popleft()[0], loss)
                continue
            leases.popleft()
            yield report

    def run_block(self, device: str, job: BlockJob) -> BlockReport:
        """Run one block, again if its worker is lost: the children are started anew."""
        report: BlockReport = self._call(device, lambda actor: actor.run_block.remote(job))
        return report

    def run_detail(self, device: str, job: DetailJob) -> DetailReport:
        """Measure one candidate in detail."""
        found: DetailReport = self._call(device, lambda actor: actor.run_detail.remote(job))
        return found

    def run_profile(self, device: str, job: ProfileJob) -> tuple[OperatorProfile, ...]:
        """Profile one candidate."""
        found: tuple[OperatorProfile, ...] = self._call(
            device, lambda actor: actor.run_profile.remote(job)
        )
        return found

    def describe(self, device: str) -> DeviceFacts:
        """What the device's machine is and offers."""
        facts: DeviceFacts = self._call(device, lambda actor: actor.describe.remote())
        return facts

    def quantizable(self, device: str, job: TrialJob) -> dict[str, tuple[str, ...]]:
        """Operators by kind of quantisation. Raises ChildError."""
        found: dict[str, tuple[str, ...]] = self._call(
            device, lambda actor: actor.quantizable.remote(job)
        )
        return found

    def rank_sensitivity(self, device: str, job: TrialJob) -> Damage:
        """What quantising each operator of a candidate alone does. Raises ChildError."""
        damage: Damage = self._call(device, lambda actor: actor.rank_sensitivity.remote(job))
        return damage

    def artifact_files(self, device: str, job: TrialJob) -> dict[str, bytes]:
        """The files of an artifact in the worker's cache. Raises ChildError, CompileError."""
        files: dict[str, bytes] = self._call(
            device, lambda actor: actor.artifact_files.remote(job)
        )
        return files

    def cached_files(self, device: str, artifact: str) -> dict[str, bytes]:
        """Read them beside the actor, which may be busy."""
        machine = self._cluster.machine(device)
        if not machine:  # this one
            return _cached_files(self._cache, artifact)
        # Ray has such a resource for every node.
        place = {f"node:{machine}": 0.001}
        read: Any = ray.remote(num_cpus=0, max_retries=0, resources=place)(_cached_files)
        with contextlib.suppress(*LOSSES, InfrastructureError, TimeoutError):
            self._cluster.check()
            files: dict[str, bytes] = patiently(
                lambda: ray.get(read.remote(self._cache, artifact)), Deadline(_CACHE_SECONDS)
            )
            return files
        return {}

    def complete_package(self, device: str, job: TrialJob, manifest: Manifest) -> dict[str, bytes]:
        """The files of a package to be delivered. Raises ChildError."""
        files: dict[str, bytes] = self._call(
            device, lambda actor: actor.complete_package.remote(job, manifest)
        )
        return files

    def take_remarks(self, device: str) -> tuple[str, ...]:
        """What the worker had to mend since this was asked last."""
        remarks: tuple[str, ...] = self._call(device, lambda actor: actor.take_remarks.remote())
        return remarks

    def release(self, device: str, trial_ids: Iterable[str]) -> None:
        """End the children of these trials."""
        ids = list(trial_ids)
        self._call(device, lambda actor: actor.release.remote(ids))

    def close(self) -> None:
        """End the actors' children and the actors; end the cluster, or leave it."""
        if ray.is_initialized():  # any other call would start it
            with contextlib.suppress(*LOSSES, InfrastructureError):
                self._cluster.check()
                ray.get(
                    [actor.close.remote() for actor in list(self._actors.values())], timeout=5.0
                )
        self._actors.clear()
        self._cluster.stop()

    # Machinery

    def _actor(self, device: str) -> Any:  # noqa: ANN401  (a Ray actor handle)
        if device not in self._actors:
            profile = self._profiles[device]
            remote: Any = ray.remote(**_ray_options(profile))(Worker)
            options = remote.options(max_restarts=0, max_task_retries=0)
            actor = options.remote(profile, self._cache, self._known)
            for workload in self._workloads.get(device, []):
                _send(actor, workload)
            self._actors[device] = actor
        return self._actors[device]

    def _lease(self, device: str, job: TrialJob, attempt: int) -> _Lease:
        return _Lease(job, attempt, self._call(device, _submit(job), fetch=False))

    def _lost(self, device: str, leases: Iterable[_Lease]) -> list[tuple[TrialJob, int]]:
        """Jobs to run again, the last one first, with the first one's attempts counted.

        The first lease was running; those behind it only waited and are not blamed.
        """
        self._recover(device)
        again = [(lease.job, lease.attempt + (i == 0)) for i, lease in enumerate(leases)]
        return again[::-1]

    def _call(self, device: str, submit: Callable[[Any], Any], *, fetch: bool = True) -> Any:  # noqa: ANN401
        """Call the device's actor; after a loss, recover and call again."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                reference = patiently(lambda: submit(self._actor(device)), self._check)
                return self._result(reference) if fetch else reference
            except LOSSES as loss:
                if attempt == MAX_ATTEMPTS:
                    raise InfrastructureError(
                        f"The worker of device {device} was lost {attempt} times in a row: "
                        f"{first_line(loss)}"
                    ) from None
                self._recover(device)
        raise AssertionError

    def _check(self) -> None:
        """What ends waiting. Raises KeyboardInterrupt, InfrastructureError."""
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        self._cluster.check()

    def _result(self, reference: Any) -> Any:  # noqa: ANN401  (what the actor returned)
        while True:
            self._check()
            ready, _ = ray.wait([reference], timeout=_POLL_SECONDS)
            if ready:
                return _raise_cause(lambda: ray.get(reference))

    def _recover(self, device: str) -> None:
        """Drop the actor; have the cluster restored if it cannot give the device any more."""
        there = self._cluster.has(device)  # first: without a head, Ray's calls do not return
        actor = self._actors.pop(device, None)
        if actor is not None:
            with contextlib.suppress(*LOSSES):
                patiently(lambda: ray.kill(actor), self._check)
        if not there and self._cluster.restore(device):
            self._actors.clear()


def _ray_options(profile: DeviceProfile) -> dict[str, Any]:
    """What the actor of a device asks Ray for: the device itself, and what its profile says."""
    asked = dict(profile.ray_resources)
    cpus, gpus = asked.pop("CPU", 0.0), asked.pop("GPU", 0.0)
    return {
        "num_cpus": cpus,
        "num_gpus": gpus,
        "resources": {f"device:{profile.name}": 1.0, **asked},
    }


def _cached_files(cache: Path | None, artifact: str) -> dict[str, bytes]:
    return cached_files(Cache(cache or default_folder()), artifact)


def _submit(job: TrialJob) -> Callable[[Any], Any]:
    return lambda actor: actor.run_trial.remote(job)


def _send(actor: Any, workload: Workload) -> None:  # noqa: ANN401  (a Ray actor handle)
    """Send a workload; of one that the machine has already, only what is said about it."""
    holds = _raise_cause(lambda: ray.get(actor.holds.remote(workload.key), timeout=_START_SECONDS))
    sent = replace(workload, model=b"", parts={}, labels={}) if holds else workload
    prepared = actor.prepare.remote(ray.put(sent))
    _raise_cause(lambda: ray.get(prepared, timeout=_SEND_SECONDS))


def _raise_cause(get: Callable[[], _T]) -> _T:
    """Fetch a result; an exception of the worker's own code is raised as itself."""
    try:
        return get()
    except RayTaskError as error:
        raise error.cause from None


def _given_up(job: TrialJob, loss: BaseException) -> TrialReport:
    return TrialReport(
        job.trial_id,
        Outcome.INFRASTRUCTURE_ERROR,
        f"the worker was lost {MAX_ATTEMPTS} times during this trial: {first_line(loss)}",
    )
