"""A worker's living children: started, loaded, asked with deadlines that fit them, released."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from farm.candidate import Fake, PackageEngine, Pipeline
from farm.errors import DeviceError, InfrastructureError
from farm.host.temporary import OwnedFolder
from farm.measurement import Outcome
from farm.session.spec import SessionSpec
from workers.environments.installed import Installed
from workers.environments.interpreters import Interpreters
from workers.jobs import Limits, TrialJob
from workers.meters.latency import TRANSFER_PAIRS
from workers.protocol import (
    Counted,
    DeviceReading,
    EnergyCount,
    Loaded,
    PartSeconds,
    Sample,
    Split,
    Warmup,
)
from workers.trials.process import NO_VARIABLES, Child, ChildError

# A run may take this many times as long as the first one did, which most often is the slowest.
_SLOWER = 4
# So many times as long are the deadlines of what an emulator of another processor runs.
_EMULATED = 10
_WARMUP_SECONDS = 1.0
_WARMUP_LOOP_SECONDS = 1e-3
_WARMUP_RUNS = 6  # of a slow model, at most: to calibrate, to warm up, one beyond the cap
_CALLERS = 2
_WITHOUT_END = 1e9  # seconds


@dataclass(frozen=True, slots=True)
class Loading:
    """What a child is to load. Files are empty paths for engines that read none.

    engine, spec: as ``workers.child.main`` knows them. inputs: npz file of the samples.
    callers: how many call it at the same time while it is sampled. batch: samples of one run.
    builds: the engine compiles the model while it is loaded, which may take as long as that may.
    is_emulated: runs take many times as long as those that limits are meant for.
    """

    engine: str
    spec: dict[str, Any]
    model: str = ""
    inputs: str = ""
    callers: int = 1
    batch: int = 1
    builds: bool = False
    is_emulated: bool = False

    @property
    def patience(self) -> int:
        """Times that an emulator may take as long."""
        return _EMULATED if self.is_emulated else 1

    def seconds(self, limits: Limits) -> float:
        """What loading may take."""
        built = limits.compile_seconds if self.builds else 0.0
        return limits.load_seconds * self.patience + built

    def request(self) -> dict[str, Any]:
        """What the child is told; who calls it is told with each sample."""
        own = ("callers", "builds", "is_emulated")
        return {name: value for name, value in asdict(self).items() if name not in own}


class CounterFailed(InfrastructureError):
    """An energy counter that was there cannot be read. The message is a sentence."""


class Stopwatch:
    """Adds up the seconds spent in its :meth:`running` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start


class LoadedChild:
    """A child with an artifact in it.

    Every request has a deadline: what it is to last, what the artifact's own speed explains, and
    what the limits add to that. Each raises ChildError.
    """

    def __init__(self, child: Child, loading: Loading, limits: Limits, watch: Stopwatch) -> None:
        self._child = child
        self._limits = limits
        self._watch = watch
        self._callers = loading.callers
        self._patience = loading.patience
        self._loops = 0
        self._load_is_told = False
        self._sample_seconds = 0.0
        self.loaded = Loaded(
            **self._request(
                "load",
                loading.seconds(limits),
                **loading.request(),
            )
        )

    @property
    def alive(self) -> bool:
        """Whether its process is running."""
        return self._child.alive

    def take_load_seconds(self) -> float | None:
        """Seconds from loading to the first outputs; None if they were taken before."""
        if self._load_is_told:
            return None
        self._load_is_told = True
        return self.loaded.seconds + self.loaded.run_seconds

    def evaluate(self, outputs: Path) -> None:
        """Run every sample and write the outputs, see ``workers.trials.checking``."""
        limits, loaded = self._limits, self.loaded
        explained = _SLOWER * loaded.runs * loaded.run_seconds if limits.patient else 0.0
        self._request(
            "evaluate", limits.evaluate_seconds * self._patience + explained, outputs=str(outputs)
        )

    def warm_up(self) -> Warmup:
        """Run until it is steady, about a second at most."""
        reply = self._measure(
            "warm-up",
            _WARMUP_SECONDS,
            _WARMUP_RUNS,
            target=_WARMUP_LOOP_SECONDS,
            cap=_WARMUP_SECONDS,
        )
        return Warmup(**reply)

    def calibrate(self, sample_seconds: float) -> None:
        """Find how many runs make a sample of at least this length, unless that is known."""
        if self._sample_seconds != sample_seconds:
            lasts = 4 * sample_seconds
            self._loops = self._measure("calibrate", lasts, runs=3, target=sample_seconds)
            self._sample_seconds = sample_seconds

    def sample(self) -> Sample:
        """One latency sample; :meth:`calibrate` comes first."""
        assert self._loops, "a child is calibrated before it is sampled"
        callers = self._callers
        lasts = 2 * callers * self._sample_seconds
        reply = self._measure(
            "sample", lasts, runs=2 * callers, loops=self._loops, callers=callers
        )
        return Sample(**reply)

    def peak_memory(self) -> int:
        """Peak memory in bytes, see ``workers.child.main``."""
        return int(self._measure("peak-memory", 0.0, runs=0))

    def device(self) -> DeviceReading | None:
        """Of what computes in the memory of a device of its own; None for what does not.

        :meth:`calibrate` comes first.
        """
        callers = self._callers
        lasts = 2 * TRANSFER_PAIRS * callers * self._sample_seconds
        runs = 4 * TRANSFER_PAIRS * callers
        reply = self._measure("device", lasts, runs, loops=self._loops, callers=callers)
        return DeviceReading(**reply) if reply else None

    def counted(self) -> Counted | None:
        """Packets of one run, None for engines that are timed."""
        reply = self._measure("counted", 0.0, runs=1)
        return Counted(**reply) if reply else None

    def split(self, count: int) -> Split:
        """What each part of a pipeline takes of a run, of so many runs."""
        reply = self._measure("split", 0.0, runs=count + 1, count=count)
        parts = tuple(PartSeconds(**part) for part in reply["parts"])
        return Split(parts, reply["transfer_seconds"], reply["runs"])

    def single_runs(self, count: int, seconds: float) -> list[float]:
        """Seconds of single runs: at most ``count``, for about ``seconds``."""
        values: list[float] = self._measure(
            "single-runs", seconds, runs=1, count=count, cap=seconds
        )
        return values

    def longest_run(self, count: int) -> float:
        """Seconds of the longest of so many single runs."""
        values = self._measure("single-runs", 0.0, runs=count, count=count, cap=_WITHOUT_END)
        return float(max(values))

    def throughput(self, seconds: float) -> float:
        """Runs per second with two callers."""
        return float(
            self._measure("throughput", seconds, _CALLERS, callers=_CALLERS, seconds=seconds)
        )

    def idle_watts(self, seconds: float) -> float:
        """What its device draws while nothing runs, by its counter. Raises CounterFailed, too."""
        return float(self._counted("idle-power", seconds, runs=0, seconds=seconds))

    def energy(self, seconds: float) -> EnergyCount:
        """Energy of runs by the device's counter, idling included. Raises CounterFailed, too."""
        return EnergyCount(**self._counted("energy", seconds, runs=5, seconds=seconds))

    def kill(self) -> None:
        """End its process group."""
        self._child.kill()

    def _measure(self, command: str, lasts: float, runs: int, **arguments: Any) -> Any:  # noqa: ANN401
        """A request that lasts about so long, and so many runs where those are longer."""
        explained = lasts + _SLOWER * runs * self.loaded.run_seconds
        return self._request(command, self._limits.measure_seconds + explained, **arguments)

    def _counted(self, command: str, lasts: float, runs: int, **arguments: Any) -> Any:  # noqa: ANN401
        """What a counter says. Raises CounterFailed."""
        reply = self._measure(command, lasts, runs, **arguments)
        if isinstance(reply, dict) and "why" in reply:
            raise CounterFailed(reply["why"])
        return reply

    def _request(self, command: str, deadline: float, **arguments: Any) -> Any:  # noqa: ANN401
        with self._watch.running():
            return self._child.request(command, deadline, **arguments)


class Children:
    """The children of one worker; those of trials are known by their trial's id.

    interpreters: of the children that run artifacts. processors: that all of them run on.
    variables: of the environment of all.
    """

    def __init__(
        self,
        interpreters: Interpreters,
        processors: Sequence[int] = (),
        variables: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        self.watch = Stopwatch()
        self._folder = OwnedFolder("worker")
        self.scratch = self._folder.path
        self._interpreters = interpreters
        self._processors = tuple(processors)
        self._variables = variables
        self._of_trials: dict[str, LoadedChild] = {}

    def spawn(self, name: str, limits: Limits, interpreter: str = "") -> Child:
        """A child with nothing loaded, which the caller ends. Raises ChildError."""
        with self.watch.running():
            log = self.scratch / f"{name}.log"
            return Child(interpreter, log, limits.memory_bytes, self._processors, self._variables)

    def load(
        self, name: str, loading: Loading, limits: Limits, interpreter: str = ""
    ) -> LoadedChild:
        """A new child with an artifact in it, which the caller ends. Raises ChildError."""
        child = self.spawn(name, limits, interpreter)
        try:
            return LoadedChild(child, loading, limits, self.watch)
        except BaseException:
            child.kill()
            raise

    def load_trial(self, job: TrialJob, loading: Loading) -> LoadedChild:
        """Load a trial's artifact into a new child, which lives until it is released.

        It runs in the interpreter of the candidate's engine, or in that of the environment that
        the job names. Raises ChildError.
        """
        self.release([job.trial_id])
        loaded = self.load(job.trial_id, loading, job.limits, self.interpreter(job))
        self._of_trials[job.trial_id] = loaded
        return loaded

    def environment(self, job: TrialJob) -> Installed | None:
        """The environment that a job is pinned to; None where it is to none.

        Raises ChildError: it is not installed, or broken, which says nothing about the candidate;
        or it does not give the candidate's engine.
        """
        if not job.pinned.environment:
            return None
        try:
            found = self._interpreters.named(job.pinned.environment)
        except DeviceError as error:
            raise ChildError(Outcome.INFRASTRUCTURE_ERROR, str(error)) from None
        engine, given = job.candidate.engine, found.environment.engines
        if engine.kind not in given and not isinstance(engine, PackageEngine | Fake):
            raise ChildError(
                Outcome.RUN_ERROR,
                f"Environment {found.environment.name} gives {', '.join(given)}, and not "
                f"{engine.kind}.",
            )
        return found

    def interpreter(self, job: TrialJob) -> str:
        """The Python that runs a job's artifact; empty for the farm's own. Raises ChildError."""
        found = self.environment(job)
        engine = job.candidate.engine
        if isinstance(engine, Pipeline):
            return ""  # parts of engines with another one have processes of their own
        return self._interpreters.of(engine.kind) if found is None else str(found.interpreter)

    def profile(self, job: TrialJob, loading: Loading, folder: Path, seconds: float) -> Any:  # noqa: ANN401
        """Time the kernels of an artifact in a child of its own, for about so many seconds.

        folder: see ``workers.child.main``. The interpreter is as in ``load_trial``. Raises
        ChildError.
        """
        limits = job.limits
        child = self.spawn("profile", limits, self.interpreter(job))
        deadline = loading.seconds(limits) + limits.measure_seconds + _SLOWER * seconds
        try:
            with self.watch.running():
                return child.request(
                    "profile", deadline, folder=str(folder), seconds=seconds, **loading.request()
                )
        finally:
            child.kill()

    def save_optimised(self, job: TrialJob, model: Path, spec: SessionSpec, target: Path) -> None:
        """Have the interpreter of a job write a model as it optimises it. Raises ChildError."""
        self._have_written(job, "save-optimised", model, spec, target)

    def save_context(self, job: TrialJob, model: Path, spec: SessionSpec, target: Path) -> None:
        """Have a provider of a job's interpreter write what it compiles. Raises ChildError."""
        self._have_written(job, "save-context", model, spec, target)

    def versions(self) -> dict[str, str]:
        """Of what artifacts run with that is not in the farm's own Python."""
        return self._interpreters.versions()

    def _have_written(
        self, job: TrialJob, command: str, model: Path, spec: SessionSpec, target: Path
    ) -> None:
        child = self.spawn(command, job.limits, self.interpreter(job))
        try:
            with self.watch.running():
                child.request(
                    command,
                    job.limits.compile_seconds,
                    spec=asdict(spec),
                    model=str(model),
                    target=str(target),
                )
        finally:
            child.kill()

    def of_trial(self, trial_id: str) -> LoadedChild | None:
        """The living child of a trial."""
        found = self._of_trials.get(trial_id)
        return found if found is not None and found.alive else None

    def release(self, trial_ids: Iterable[str]) -> None:
        """End the children of these trials."""
        for trial_id in trial_ids:
            if found := self._of_trials.pop(trial_id, None):
                found.kill()

    def close(self) -> None:
        """End the children of all trials and remove temporary files."""
        self.release(list(self._of_trials))
        self._folder.remove()
