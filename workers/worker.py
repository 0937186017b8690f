"""A worker: carries out jobs for one device profile with child processes that it owns.

It knows nothing of Ray and can be used directly. Children that were loaded stay alive until they
are released, because interleaving needs several loaded sessions at once.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.accuracy import AccuracyResult, accuracy, choose_metric, load_metric
from farm.candidate import Candidate, Fake, OnnxRuntimeCpu, to_json
from farm.compile.artifact import artifact_key, read_manifest
from farm.device import DeviceProfile
from farm.engines import session_spec
from farm.errors import CompileError, InfrastructureError
from farm.measurement import Measurement, Method, Metric, Outcome
from workers.cache import Cache
from workers.discovery import openvino_float_types, usable_engines
from workers.fingerprint import fingerprint, software_versions
from workers.jobs import (
    BlockJob,
    BlockReport,
    DetailJob,
    DeviceFacts,
    Failure,
    Limits,
    TrialJob,
    TrialReport,
    Workload,
)
from workers.meters.disturbance import MachineReading
from workers.process import Child, ChildError
from workers.protocol import Loaded, Sample, Warmup

_WARMUP_CAP_SECONDS = 1.0
_SAMPLE_MARGIN_SECONDS = 30.0


@dataclass(slots=True)
class _Live:
    """A loaded child. loops: runs per sample, 0 until calibrated."""

    child: Child
    loaded: Loaded
    loops: int = 0


class Worker:
    """Runs trial and block jobs of one device, one at a time.

    cache: where artifacts are kept. Children's logs go to a temporary folder.
    """

    def __init__(self, profile: DeviceProfile, cache: Path) -> None:
        self.profile = profile
        self._cache = Cache(cache)
        self._scratch = Path(tempfile.mkdtemp(prefix="farm-worker-"))
        self._live: dict[str, _Live] = {}
        self._compiler: Child | None = None
        self._sentinel: _Live | None = None
        self._metrics: dict[str, str] = {}
        self._child_seconds = 0.0

    def prepare(self, workload: Workload) -> None:
        """Take a workload into the cache; jobs refer to it by its key."""
        self._cache.add_workload(workload)
        self._metrics[workload.key] = workload.metric

    def run_trial(self, job: TrialJob) -> TrialReport:
        """Compile, load, check and first measure a candidate; its child stays alive if it is ok.

        Never raises for what the candidate does: that is in the report's outcome.
        """
        start, self._child_seconds = time.perf_counter(), 0.0
        report = self._trial(job)
        if report.outcome is not Outcome.OK:
            self.release([job.trial_id])
        spent = time.perf_counter() - start
        return replace(report, worker_seconds=spent, child_seconds=self._child_seconds)

    def run_block(self, job: BlockJob) -> BlockReport:
        """Run every member once, in the given order. A member that fails is in ``failures``."""
        if job.restart:
            self.release(member.trial_id for member in job.members)
        failures: dict[str, Failure] = {}
        for member in job.members:
            self._attempt(failures, member, lambda m: self._ready(m, job.sample_seconds))
        self._ready_sentinel(job.sample_seconds)
        samples: dict[str, Sample] = {}
        peaks: dict[str, int] = {}
        started_at, before = time.time(), MachineReading.now()
        sentinel = self._sample(self._sentinel)
        for member in job.members:
            if member.trial_id not in failures:
                samples |= self._attempt(failures, member, self._sample_member)
        disturbed = MachineReading.now().disturbed_since(before)
        for member in job.members:
            if member.trial_id in samples:
                peaks |= self._attempt(failures, member, self._peak_member)
        return BlockReport(started_at, samples, peaks, failures, sentinel.seconds, disturbed)

    def run_detail(self, job: DetailJob) -> tuple[Measurement, ...]:
        """Distribution of single runs, throughput and energy. Raises ChildError."""
        trial = job.trial
        self._ready(trial, 0.01)
        singles = self._ask(
            trial, "single-runs", job.seconds, count=job.single_runs, cap=job.seconds
        )
        per_second = self._ask(trial, "throughput", 0.5, callers=2, seconds=0.5)
        joules = self._ask(trial, "energy", 1.5, seconds=1.0)
        measurements = [
            Measurement(
                Metric.LATENCY_P50,
                float(np.median(singles)),
                Method.MEASURED,
                samples=tuple(singles),
            ),
            Measurement(Metric.THROUGHPUT, per_second, Method.MEASURED),
        ]
        if joules is not None:
            measurements.append(Measurement(Metric.ENERGY, joules, Method.MEASURED))
        return tuple(measurements)

    def describe(self) -> DeviceFacts:
        """What this worker's machine is and offers."""
        return DeviceFacts(
            fingerprint(),
            software_versions(),
            usable_engines(self.profile),
            openvino_float_types() if "openvino" in self.profile.engines else (),
        )

    def quantizable(self, job: TrialJob) -> dict[str, tuple[str, ...]]:
        """Names of the operators that each kind of quantisation applies to. Raises ChildError."""
        if isinstance(job.candidate.engine, Fake):
            return {}
        found = self._ask_compiler(job, "quantizable")
        return {kind: tuple(names) for kind, names in found.items()}

    def rank_sensitivity(self, job: TrialJob) -> tuple[str, ...]:
        """Operators of a quantised candidate, the most damaged first. Raises ChildError."""
        damage: dict[str, float] = self._ask_compiler(job, "sensitivity")
        return tuple(damage)

    def artifact_files(self, artifact: str) -> dict[str, bytes]:
        """The files of an artifact by name, to be delivered. Raises InfrastructureError."""
        folder = self._cache.artifact(artifact)
        if not folder.is_dir():
            raise InfrastructureError(f"Artifact {artifact} is not in the cache {folder}.")
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def release(self, trial_ids: Iterable[str]) -> None:
        """End the children of these trials."""
        for trial_id in trial_ids:
            if live := self._live.pop(trial_id, None):
                live.child.kill()

    def close(self) -> None:
        """End all children and remove temporary files."""
        self.release(list(self._live))
        for child in (self._compiler, self._sentinel.child if self._sentinel else None):
            if child is not None:
                child.kill()
        self._compiler = self._sentinel = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    # One trial, step by step

    def _trial(self, job: TrialJob) -> TrialReport:
        try:
            artifact, notes = self._compiled(job)
        except (ChildError, CompileError) as error:
            return _failed(job, error, Outcome.COMPILE_ERROR)
        try:
            live = self._load(job, artifact)
            checked = self._accuracy(job, live)
            warmup = Warmup(
                **self._ask(
                    job, "warm-up", _WARMUP_CAP_SECONDS, target=1e-3, cap=_WARMUP_CAP_SECONDS
                )
            )
            live.loops = self._ask(job, "calibrate", 1.0, target=0.01)
            quick = [self._sample(live).seconds for _ in range(3)]
            peak = self._peak(job, live)
        except ChildError as error:
            return _failed(job, error, Outcome.RUN_ERROR)
        measurements = [
            Measurement(
                Metric.LATENCY, float(np.median(quick)), Method.MEASURED, samples=tuple(quick)
            ),
            Measurement(Metric.LOAD_TIME, live.loaded.seconds, Method.MEASURED),
            Measurement(Metric.PEAK_MEMORY, float(peak), Method.MEASURED),
        ]
        if checked is not None:
            measurements.append(_accuracy_measurement(checked))
            notes = (*notes, f"accuracy metric: {checked.metric}")
        if artifact is not None:
            size = float(self._model_file(artifact).stat().st_size)
            measurements.append(Measurement(Metric.MODEL_SIZE, size, Method.PLANNED))
        return TrialReport(
            job.trial_id,
            Outcome.OK,
            artifact_key=artifact or "",
            measurements=tuple(measurements),
            assignment=live.loaded.assignment,
            warmup=warmup,
            notes=notes,
        )

    def _compiled(self, job: TrialJob) -> tuple[str | None, tuple[str, ...]]:
        """Key of the candidate's artifact, compiled if it is not in the cache."""
        if isinstance(job.candidate.engine, Fake):
            return None, ()
        session_spec(job.candidate)  # an engine without this arithmetic fails before the work
        key = self._artifact_key(job)
        with self._cache.complete(self._cache.artifact(key)) as folder:
            if folder is None:
                return key, read_manifest(self._cache.artifact(key)).notes
            reply = self._ask_compiler(job, "compile", folder=str(folder))
        return key, tuple(reply["notes"])

    def _artifact_key(self, job: TrialJob) -> str:
        """The workload's key stands for the model, its shapes and the calibration data."""
        versions = json.dumps(software_versions(), sort_keys=True)
        return artifact_key(job.workload_key, "", job.candidate, job.workload_key, versions)

    def _ask_compiler(self, job: TrialJob, command: str, **arguments: str) -> Any:  # noqa: ANN401
        if self._compiler is None or not self._compiler.alive:
            self._compiler = self._timed(lambda: self._spawn("compiler", job.limits, own=True))
        compiler = self._compiler
        return self._timed(
            lambda: compiler.request(
                command,
                job.limits.compile_seconds,
                workload=str(self._cache.workload(job.workload_key)),
                candidate=to_json(job.candidate),
                **arguments,
            )
        )

    def _load(self, job: TrialJob, artifact: str | None) -> _Live:
        self.release([job.trial_id])
        engine, spec = _engine_description(job.candidate)
        child = self._timed(lambda: self._spawn(job.trial_id, job.limits))
        try:
            reply = self._timed(
                lambda: child.request(
                    "load",
                    job.limits.load_seconds,
                    engine=engine,
                    spec=spec,
                    model=str(self._model_file(artifact)) if artifact else "",
                    inputs=str(self._cache.inputs(job.workload_key, job.part)) if artifact else "",
                )
            )
        except ChildError:
            child.kill()
            raise
        live = _Live(child, Loaded(**reply))
        self._live[job.trial_id] = live
        return live

    def _accuracy(self, job: TrialJob, live: _Live) -> AccuracyResult | None:
        """Accuracy on the job's part; None for the fake engine, which computes nothing."""
        if isinstance(job.candidate.engine, Fake):
            return None
        path = self._scratch / f"{job.trial_id}.outputs.npz"
        self._evaluate(live.child, path, job.limits)
        outputs, reference = read_outputs(path), self._reference(job)
        path.unlink()
        label_file = self._cache.labels(job.workload_key, job.part)
        labels = np.load(label_file, allow_pickle=False) if label_file.exists() else None
        user_metric = self._metrics.get(job.workload_key, "")
        metric = load_metric(user_metric) if user_metric else choose_metric(reference, labels)
        return accuracy(metric, outputs, reference, labels)

    def _reference(self, job: TrialJob) -> list[NDArray[Any]]:
        """Outputs of the model as the user gave it, by ONNX Runtime's CPU provider."""
        path = self._cache.reference(job.workload_key, job.part)
        if not path.exists():
            draft = path.with_suffix(f".{job.trial_id}.draft")
            child = self._spawn("reference", job.limits, own=True)
            try:
                child.request(
                    "load",
                    job.limits.load_seconds,
                    engine="onnxruntime",
                    spec=asdict(session_spec(Candidate(OnnxRuntimeCpu(threads=1)))),
                    model=str(self._cache.model(job.workload_key)),
                    inputs=str(self._cache.inputs(job.workload_key, job.part)),
                )
                self._evaluate(child, draft, job.limits)
            finally:
                child.kill()
            draft.rename(path)
        return read_outputs(path)

    def _evaluate(self, child: Child, path: Path, limits: Limits) -> None:
        self._timed(lambda: child.request("evaluate", limits.evaluate_seconds, outputs=str(path)))

    # Blocks

    def _ready(self, job: TrialJob, sample_seconds: float) -> _Live:
        """The trial's child, loaded, warm and calibrated."""
        live = self._live.get(job.trial_id)
        if live is None or not live.child.alive:
            artifact, _ = self._compiled(job)
            live = self._load(job, artifact)
            self._ask(job, "warm-up", _WARMUP_CAP_SECONDS, target=1e-3, cap=_WARMUP_CAP_SECONDS)
        if not live.loops:
            live.loops = self._ask(job, "calibrate", 1.0, target=sample_seconds)
        return live

    def _ready_sentinel(self, sample_seconds: float) -> None:
        if self._sentinel is None or not self._sentinel.child.alive:
            child = self._spawn("sentinel", Limits(), own=True)
            reply = child.request("load", 60.0, engine="sentinel", spec={}, model="", inputs="")
            loops = child.request("calibrate", 10.0, target=sample_seconds / 2)
            self._sentinel = _Live(child, Loaded(**reply), loops)

    def _sample_member(self, job: TrialJob) -> dict[str, Sample]:
        return {job.trial_id: self._sample(self._live[job.trial_id])}

    def _peak_member(self, job: TrialJob) -> dict[str, int]:
        return {job.trial_id: self._peak(job, self._live[job.trial_id])}

    def _peak(self, job: TrialJob, live: _Live) -> int:
        """Peak resident memory above what the process had before the artifact was loaded."""
        return max(0, int(self._ask(job, "peak-memory", 1.0)) - live.loaded.resident_before)

    def _sample(self, live: _Live | None) -> Sample:
        assert live is not None
        return Sample(
            **self._timed(
                lambda: live.child.request("sample", _SAMPLE_MARGIN_SECONDS, loops=live.loops)
            )
        )

    def _attempt(
        self,
        failures: dict[str, Failure],
        job: TrialJob,
        step: Callable[[TrialJob], Any],
    ) -> Any:  # noqa: ANN401  (the step's own result)
        """Carry out one step for one member; a failure takes it out of the block."""
        try:
            return step(job)
        except ChildError as error:
            failures[job.trial_id] = Failure(error.outcome, error.message)
        except CompileError as error:
            failures[job.trial_id] = Failure(Outcome.COMPILE_ERROR, str(error))
        self.release([job.trial_id])
        return {}

    # Children

    def _ask(self, job: TrialJob, command: str, lasts: float, **arguments: Any) -> Any:  # noqa: ANN401
        """A request to a trial's child that is to last about so many seconds."""
        child = self._live[job.trial_id].child
        deadline = lasts + _SAMPLE_MARGIN_SECONDS
        return self._timed(lambda: child.request(command, deadline, **arguments))

    def _spawn(self, name: str, limits: Limits, *, own: bool = False) -> Child:
        """A new child; ``own`` runs it in the farm's interpreter instead of the profile's."""
        interpreter = "" if own else self.profile.interpreter
        return Child(interpreter, self._scratch / f"{name}.log", limits.memory_bytes)

    def _timed(self, action: Callable[[], Any]) -> Any:  # noqa: ANN401
        start = time.perf_counter()
        try:
            return action()
        finally:
            self._child_seconds += time.perf_counter() - start

    def _model_file(self, artifact: str) -> Path:
        return self._cache.artifact(artifact) / "model.onnx"


def read_outputs(path: Path) -> list[NDArray[Any]]:
    """The outputs that a child wrote, in the model's order, each [samples, ...]."""
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
        return [archive[f"o{i}"] for i in range(len(archive.files))]


def _engine_description(candidate: Candidate) -> tuple[str, dict[str, Any]]:
    if isinstance(candidate.engine, Fake):
        fields = ("seconds", "noise", "fault", "serial")
        return "fake", {name: getattr(candidate.engine, name) for name in fields}
    return "onnxruntime", asdict(session_spec(candidate))


def _failed(job: TrialJob, error: ChildError | CompileError, usual: Outcome) -> TrialReport:
    """A step's failure as a report: an error the child reported itself is the step's usual one."""
    outcome = error.outcome if isinstance(error, ChildError) else usual
    if outcome is Outcome.RUN_ERROR:
        outcome = usual
    return TrialReport(job.trial_id, outcome, str(error))


def _accuracy_measurement(checked: AccuracyResult) -> Measurement:
    return Measurement(Metric.ACCURACY, checked.value, Method.MEASURED, checked.low, checked.high)
