"""One trial, step by step: compile, load, check, warm up, measure a first time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from farm.accuracy.result import AccuracyResult
from farm.candidate import (
    Candidate,
    Fake,
    OnnxRuntimeTensorRt,
    OnnxRuntimeWebGpu,
    PackageEngine,
    Pipeline,
    whole_engines,
)
from farm.codegen.package.record import excess
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.session.of_candidate import session_spec
from workers.jobs import Failure, TrialJob, TrialReport
from workers.protocol import Counted, DeviceReading, PackageDescription, Sample
from workers.trials.artifacts import Artifact, Artifacts
from workers.trials.checking import Checker
from workers.trials.children import Children, LoadedChild, Loading
from workers.trials.energy import counted_energy, doubts_of, of_energy
from workers.trials.places import Places, described
from workers.trials.process import ChildError
from workers.trials.stored.cache import Cache

_SPLIT_RUNS, _MOST_SPLIT_RUNS = 20, 500
_SPLIT_SECONDS = 0.3  # many slices of time: what else runs then disturbs few runs of a part
_QUICK_SAMPLES = 3
_BUILDING = OnnxRuntimeTensorRt | OnnxRuntimeWebGpu  # kernels, or the programs of a GPU
_QUICK_SAMPLE_SECONDS = 0.01


class TrialRunner:
    """Runs the trials of one worker."""

    def __init__(
        self,
        profile: DeviceProfile,
        cache: Cache,
        children: Children,
        artifacts: Artifacts,
        checker: Checker,
        places: Places,
    ) -> None:
        self._profile = profile
        self._places = places
        self._cache = cache
        self._children = children
        self._artifacts = artifacts
        self._checker = checker

    def run(self, job: TrialJob) -> TrialReport:
        """Carry out a trial; its child stays alive if it is ok.

        What the candidate does wrong is in the report's outcome. Raises InfrastructureError.
        """
        start, in_children = time.perf_counter(), self._children.watch.seconds
        try:
            report = self._run(job)
        except (ChildError, CompileError) as error:
            self._children.release([job.trial_id])
            failure = failure_of(error)
            report = TrialReport(job.trial_id, failure.outcome, failure.message)
        return replace(
            report,
            worker_seconds=time.perf_counter() - start,
            child_seconds=self._children.watch.seconds - in_children,
        )

    def ready(self, job: TrialJob, sample_seconds: float) -> LoadedChild:
        """The trial's child: the living one, or a new one, warm; calibrated in either case.

        Raises ChildError, CompileError.
        """
        child = self._children.of_trial(job.trial_id)
        if child is None:
            child = self._load(job, self.compiled(job))
            child.warm_up()
        child.calibrate(sample_seconds)
        return child

    def _run(self, job: TrialJob) -> TrialReport:
        artifact = self.compiled(job)
        child = self._load(job, artifact)
        checked = self._checker.check(job, child)
        if job.candidate.is_untimed:
            return self._untimed(job, artifact, child, checked)
        warmup = child.warm_up()
        child.calibrate(_QUICK_SAMPLE_SECONDS)
        samples = [child.sample() for _ in range(_QUICK_SAMPLES)]
        quick = tuple(sample.seconds for sample in samples)
        counted, on_device = child.counted(), child.device()
        window = self._places.counted_window(job.candidate) if job.counts_energy else None
        energy = None if window is None else counted_energy(child, window)
        is_split = isinstance(job.candidate.engine, Pipeline)
        split = child.split(_split_runs(float(np.median(quick)))) if is_split else None
        is_modelled = job.candidate.is_modelled
        how = Method.MODELLED if is_modelled else Method.MEASURED
        memory = Method.MEASURED if counted is None else Method.PLANNED
        latency, peak = float(np.median(quick)), float(child.peak_memory())
        measurements = [
            Measurement(Metric.LATENCY, latency, how, samples=quick),
            Measurement(Metric.LOAD_TIME, child.loaded.seconds, Method.MEASURED),
            *_of_loading(child.take_load_seconds(), is_modelled=is_modelled),
            Measurement(Metric.PEAK_MEMORY, peak, memory),
            *_of_accuracy(checked),
            *_of_artifact(artifact),
            *(_of_counters(counted) if counted else ()),
            *(() if is_modelled else _of_processors(samples)),
            *_of_device(on_device, latency),
            *(of_energy(energy) if energy else ()),
        ]
        broken = self._excess(job.candidate, artifact)
        if broken:  # measured all the same: what the float model would reach is worth knowing
            self._children.release([job.trial_id])
        return TrialReport(
            job.trial_id,
            Outcome.REJECTED if broken else Outcome.OK,
            broken,
            artifact_key=artifact.key if artifact else "",
            measurements=tuple(measurements),
            assignment=child.loaded.assignment,
            warmup=warmup,
            notes=(
                *(artifact.notes if artifact else ()),
                *_device_notes(on_device),
                *(doubts_of(energy) if energy else ()),
            ),
            accuracy=checked,
            split=split,
        )

    def _untimed(
        self,
        job: TrialJob,
        artifact: Artifact | None,
        child: LoadedChild,
        checked: AccuracyResult | None,
    ) -> TrialReport:
        """What is known of a candidate whose emulator counts nothing: no time, and no memory."""
        return TrialReport(
            job.trial_id,
            Outcome.OK,
            artifact_key=artifact.key if artifact else "",
            measurements=(*_of_accuracy(checked), *_of_artifact(artifact)),
            assignment=child.loaded.assignment,
            notes=artifact.notes if artifact else (),
            accuracy=checked,
        )

    def _excess(self, candidate: Candidate, artifact: Artifact | None) -> str:
        """Which of the device's limits a package breaks; empty if none."""
        if isinstance(candidate.engine, Pipeline) and artifact is not None:
            return self._places.excess(candidate.engine, artifact)
        figures = self._profile.package
        if figures is None or artifact is None or artifact.package is None:
            return ""
        return excess(figures, artifact.package)

    def compiled(self, job: TrialJob) -> Artifact | None:
        """The artifact. Raises CompileError for what the compile child reported itself, too."""
        try:
            return self._artifacts.of(job)
        except ChildError as error:
            if error.outcome is Outcome.RUN_ERROR:
                raise CompileError(error.message) from None
            raise

    def loading(self, job: TrialJob, artifact: Artifact | None) -> Loading:
        """What a child loads for a trial. Raises CompileError."""
        engine, spec = self._engine_description(job.candidate, artifact)
        candidate = job.candidate
        engines = whole_engines(candidate.engine)
        builds = any(isinstance(each, _BUILDING) for each in engines)
        loading = Loading(
            engine,
            spec,
            callers=candidate.callers,
            batch=candidate.batch,
            builds=builds,
            is_emulated=candidate.is_untimed,
        )
        if artifact is not None:
            inputs = self._cache.inputs(job.workload_key, job.part)
            loading = replace(loading, model=str(artifact.model), inputs=str(inputs))
        return loading

    def _load(self, job: TrialJob, artifact: Artifact | None) -> LoadedChild:
        return self._children.load_trial(job, self.loading(job, artifact))

    def _engine_description(
        self, candidate: Candidate, artifact: Artifact | None
    ) -> tuple[str, dict[str, Any]]:
        if isinstance(candidate.engine, Fake):
            fields = ("seconds", "noise", "fault", "serial")
            return "fake", {name: getattr(candidate.engine, name) for name in fields}
        if isinstance(candidate.engine, Pipeline):
            assert artifact is not None
            parts = self._places.description(candidate, candidate.engine, artifact)
            return "pipeline", asdict(parts)
        if isinstance(candidate.engine, PackageEngine):
            seconds = self._places.seconds_per_packet() if candidate.is_counted else 0.0
            return "cpackage", asdict(PackageDescription(seconds))
        return described(session_spec(candidate), self._profile)


def failure_of(error: ChildError | CompileError) -> Failure:
    """What the error of a step makes of its trial."""
    if isinstance(error, ChildError):
        return Failure(error.outcome, error.message)
    return Failure(Outcome.COMPILE_ERROR, str(error))


def _split_runs(seconds: float) -> int:
    """How many runs of so many seconds tell what their parts take."""
    return min(_MOST_SPLIT_RUNS, max(_SPLIT_RUNS, int(_SPLIT_SECONDS / max(seconds, 1e-9))))


def _of_accuracy(checked: AccuracyResult | None) -> Iterator[Measurement]:
    if checked is not None and checked.value is not None:
        low, high = checked.low, checked.high
        yield Measurement(Metric.ACCURACY, checked.value, Method.MEASURED, low, high)


def _of_artifact(artifact: Artifact | None) -> Iterator[Measurement]:
    if artifact is not None:
        yield Measurement(Metric.MODEL_SIZE, float(artifact.size), Method.PLANNED)
        if package := artifact.package:
            yield Measurement(Metric.ARENA, float(package.working_bytes), Method.PLANNED)


def _of_counters(counted: Counted) -> Iterator[Measurement]:
    method = Method(counted.method)
    yield Measurement(Metric.PACKETS, float(counted.packets), method)
    yield Measurement(Metric.VECTOR_INSTRUCTIONS, float(counted.vector_instructions), method)


def _of_loading(seconds: float | None, *, is_modelled: bool) -> Iterator[Measurement]:
    """Of what an emulator runs the host's time says nothing."""
    if seconds is not None and not is_modelled:
        yield Measurement(Metric.FIRST_RESULT, seconds, Method.MEASURED)


def _of_processors(samples: Sequence[Sample]) -> Iterator[Measurement]:
    spent = tuple(sample.cpu_seconds for sample in samples)
    median = float(np.median(spent))
    yield Measurement(Metric.CPU_SECONDS, median, Method.MEASURED, samples=spent)


def _of_device(reading: DeviceReading | None, latency: float) -> Iterator[Measurement]:
    if reading is not None:
        if reading.transfer_ratio is not None:
            there_and_back = reading.transfer_ratio * latency
            yield Measurement(Metric.WITH_TRANSFERS, there_and_back, Method.MEASURED)
        if reading.memory_bytes is not None:
            yield Measurement(Metric.DEVICE_MEMORY, float(reading.memory_bytes), Method.MEASURED)
        if reading.clock is not None:
            yield Measurement(Metric.DEVICE_CLOCK, reading.clock, Method.MEASURED)


def _device_notes(reading: DeviceReading | None) -> Iterator[str]:
    if reading is not None and reading.kept_off:
        yield (
            "Latency is from and to the host's memory, because the data could not stay in the "
            f"GPU's: {reading.kept_off}"
        )
    if reading is not None and reading.is_growth:
        yield (
            "The driver does not tell here what single processes have in the GPU's memory: it is "
            "by how much more of it was used once the candidate was loaded."
        )
