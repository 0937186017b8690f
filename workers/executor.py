"""How a driver reaches workers: the contract, and the executor without Ray.

The Ray executor is in ``workers.cluster.pool``. Both give the same promise: a job that was
submitted is answered by exactly one report, whatever happens to actors and children on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from farm.accuracy.damage import Damage
from farm.codegen.package.manifest import Manifest
from farm.devices.profile import DeviceProfile
from farm.errors import InfrastructureError
from farm.host.closing import Closing
from farm.profile.kernels import OperatorProfile
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
from workers.trials.stored.cache import Cache
from workers.trials.worker import NO_OTHERS, Worker


class Executor(Protocol):
    """Runs jobs on the workers of device profiles."""

    def machine(self, device: str) -> str:
        """What is the same for devices of one machine, which would disturb each other."""

    def interrupt(self) -> None:
        """Have what waits here in other threads raise KeyboardInterrupt."""

    def prepare(self, device: str, workload: Workload) -> None:
        """Make a workload known to the device's worker."""

    def run_trials(self, device: str, jobs: Iterable[TrialJob]) -> Iterator[TrialReport]:
        """Run jobs one after the other; reports come as they finish, one per job.

        ``jobs`` is consumed as workers become free. A job whose worker was lost is tried again;
        after several losses its report says infrastructure-error.
        """

    def run_block(self, device: str, job: BlockJob) -> BlockReport:
        """Run one block. Raises InfrastructureError when the worker is lost again and again."""

    def run_detail(self, device: str, job: DetailJob) -> DetailReport:
        """Measure one candidate in detail. Raises InfrastructureError, ChildError."""

    def run_profile(self, device: str, job: ProfileJob) -> tuple[OperatorProfile, ...]:
        """What each kernel of one candidate takes. Raises InfrastructureError, ChildError."""

    def describe(self, device: str) -> DeviceFacts:
        """What the device's machine is and offers."""

    def quantizable(self, device: str, job: TrialJob) -> dict[str, tuple[str, ...]]:
        """Operators by kind of quantisation, for the job's workload. Raises ChildError."""

    def rank_sensitivity(self, device: str, job: TrialJob) -> Damage:
        """What quantising each operator of a candidate alone does. Raises ChildError."""

    def artifact_files(self, device: str, job: TrialJob) -> dict[str, bytes]:
        """The files of the artifact of a job's candidate by name, compiled again if need be.

        Raises ChildError, CompileError, InfrastructureError.
        """

    def cached_files(self, device: str, artifact: str) -> dict[str, bytes]:
        """The files of an artifact that can be had at once, without asking a worker.

        Empty where it is not in this machine's cache, or not as it was compiled.
        """

    def complete_package(self, device: str, job: TrialJob, manifest: Manifest) -> dict[str, bytes]:
        """The files of a package to be delivered, by their paths in it.

        Raises ChildError, InfrastructureError.
        """

    def take_remarks(self, device: str) -> tuple[str, ...]:
        """What the worker had to mend, like a damaged cache, since this was asked last."""

    def release(self, device: str, trial_ids: Iterable[str]) -> None:
        """End the children of these trials."""

    def close(self) -> None:
        """End everything that was started."""

    def __enter__(self) -> Self:
        """Use as a context."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""


class LocalExecutor(Closing):
    """Workers in this very process: for tests and for a single ``farm bench``.

    known: profiles of devices that parts of pipelines may be at, by name.
    """

    def __init__(
        self,
        profiles: Iterable[DeviceProfile],
        cache: Path,
        known: Mapping[str, DeviceProfile] = NO_OTHERS,
    ) -> None:
        self._cache = cache
        self._workers = {profile.name: Worker(profile, cache, known) for profile in profiles}

    def machine(self, device: str) -> str:
        """This one."""
        del device
        return ""

    def interrupt(self) -> None:
        """Nothing waits in other threads: the devices are of one machine."""

    def prepare(self, device: str, workload: Workload) -> None:
        """Write the workload to the cache."""
        self._worker(device).prepare(workload)

    def run_trials(self, device: str, jobs: Iterable[TrialJob]) -> Iterator[TrialReport]:
        """Run each job when its report is asked for."""
        return map(self._worker(device).run_trial, jobs)

    def run_block(self, device: str, job: BlockJob) -> BlockReport:
        """Run one block."""
        return self._worker(device).run_block(job)

    def run_detail(self, device: str, job: DetailJob) -> DetailReport:
        """Measure one candidate in detail."""
        return self._worker(device).run_detail(job)

    def run_profile(self, device: str, job: ProfileJob) -> tuple[OperatorProfile, ...]:
        """Profile one candidate."""
        return self._worker(device).run_profile(job)

    def describe(self, device: str) -> DeviceFacts:
        """What this machine is and offers."""
        return self._worker(device).describe()

    def quantizable(self, device: str, job: TrialJob) -> dict[str, tuple[str, ...]]:
        """Ask the compile passes."""
        return self._worker(device).quantizable(job)

    def rank_sensitivity(self, device: str, job: TrialJob) -> Damage:
        """Compare the quantised graph with the float one."""
        return self._worker(device).rank_sensitivity(job)

    def artifact_files(self, device: str, job: TrialJob) -> dict[str, bytes]:
        """Read them from the cache, or compile them again."""
        return self._worker(device).artifact_files(job)

    def cached_files(self, device: str, artifact: str) -> dict[str, bytes]:
        """Read them from the cache."""
        del device
        return cached_files(Cache(self._cache), artifact)

    def complete_package(self, device: str, job: TrialJob, manifest: Manifest) -> dict[str, bytes]:
        """Complete it in the compile child."""
        return self._worker(device).complete_package(job, manifest)

    def take_remarks(self, device: str) -> tuple[str, ...]:
        """What had to be mended since this was asked last."""
        return self._worker(device).take_remarks()

    def release(self, device: str, trial_ids: Iterable[str]) -> None:
        """End these trials' children."""
        self._worker(device).release(trial_ids)

    def close(self) -> None:
        """End all children."""
        for worker in self._workers.values():
            worker.close()

    def _worker(self, device: str) -> Worker:
        try:
            return self._workers[device]
        except KeyError:
            raise InfrastructureError(f"No worker was started for device {device}.") from None
