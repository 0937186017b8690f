"""An executor whose kernels take what a formula says: calibrations of it are known beforehand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from farm.candidate import Candidate, CPackageEmulated, PackageEngine, Pipeline
from farm.costs.families import Family
from farm.costs.operators import CostedOperator, costed_operators
from farm.costs.probes.kernels import probe_models
from farm.costs.work import kernel_work
from farm.measurement import Method, Outcome
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.profile.kernels import OperatorProfile
from tuner.calibrating.calibrate import Probes
from workers.fingerprint import Fingerprint
from workers.jobs import (
    BlockJob,
    BlockReport,
    DeviceFacts,
    Failure,
    ProfileJob,
    TrialJob,
    TrialReport,
    Workload,
)
from workers.protocol import PartSeconds, Sample, Split
from workers.trials.process import ChildError

PEAK, BANDWIDTH, OVERHEAD = 5e10, 2e10, 3e-6
LAUNCH = 40e-6
BORDER, PER_BYTE = 15e-6, 2e-10  # of parts that come after another engine
SECONDS_PER_PACKET = 2e-9  # of the profile dsp

FEW = Probes(lambda: [each for each in probe_models() if not each.weighs], tuple)
"""Single kernels that are small, and no networks."""


class TimedExecutor:
    """Convolutions and activations behind them are one kernel; all else is alone.

    engines, packages: as the machine says. broken: kinds of engine that run nothing. refused:
    types of operators that none runs.
    interrupt_at: the profile, counted from 0, in which somebody interrupts.
    """

    def __init__(
        self,
        engines: tuple[str, ...] = ("onnxruntime-cpu", "openvino-runtime"),
        packages: tuple[PackageEngine, ...] = (),
        broken: frozenset[str] = frozenset(),
        interrupt_at: int | None = None,
        refused: frozenset[str] = frozenset(),
    ) -> None:
        self.refused = refused
        self.engines, self.packages, self.broken = engines, packages, broken
        self.interrupt_at = interrupt_at
        self.profiles = 0
        self.released: list[str] = []
        self._models: dict[str, tuple[CostedOperator, ...]] = {}

    def describe(self, device: str) -> DeviceFacts:
        machine = Fingerprint("id", "bench-1", "Xeon", 4, 1 << 40, (), "L1d 32K, L2 1M", "", "")
        return DeviceFacts(machine, {"python": "3"}, self.engines, packages=self.packages)

    def prepare(self, device: str, workload: Workload) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(workload.model)
            model = load_model(path)
        self._models[workload.key] = costed_operators(model.proto, build_graph(model))

    def run_profile(self, device: str, job: ProfileJob) -> tuple[OperatorProfile, ...]:
        if self.interrupt_at == self.profiles:
            raise KeyboardInterrupt
        self.profiles += 1
        candidate = job.trial.candidate
        if candidate.engine.kind in self.broken:
            raise ChildError(Outcome.RUN_ERROR, "it does not start.")
        operators = self._models[job.trial.workload_key]
        for op in operators:
            if op.op_type in self.refused:
                raise ChildError(Outcome.RUN_ERROR, f"it does not know {op.op_type}.")
        return tuple(_row(members, candidate) for members in _kernels(operators))

    def run_block(self, device: str, job: BlockJob) -> BlockReport:
        samples, failures = {}, {}
        for member in job.members:
            if self._is_broken(member.candidate):
                failures[member.trial_id] = Failure(Outcome.RUN_ERROR, "it does not start.")
            else:
                samples[member.trial_id] = Sample(self._whole(member), 10, 0.0, 0)
        return BlockReport(0.0, samples, {}, failures, 1e-4)

    def run_trials(self, device: str, jobs: Iterable[TrialJob]) -> Iterator[TrialReport]:
        for job in jobs:
            engine = job.candidate.engine
            assert isinstance(engine, Pipeline)
            if self._is_broken(job.candidate):
                yield TrialReport(job.trial_id, Outcome.RUN_ERROR, "It does not start.")
                continue
            parts = tuple(self._part(job, at) for at in range(len(engine.parts)))
            yield TrialReport(job.trial_id, Outcome.OK, split=Split(parts, 0.0, 1))

    def _is_broken(self, candidate: Candidate) -> bool:
        engine = candidate.engine
        parts = engine.parts if isinstance(engine, Pipeline) else ()
        return any(each.kind in self.broken for each in (engine, *(p.engine for p in parts)))

    def _part(self, job: TrialJob, at: int) -> PartSeconds:
        """Its kernels and a launch; after another part, the border and what crosses it."""
        engine = job.candidate.engine
        assert isinstance(engine, Pipeline)
        part, operators = engine.parts[at], self._models[job.workload_key]
        own = [op for op in operators if op.name in part.operators]
        seconds = LAUNCH + sum(seconds_of(each, job.candidate) for each in _kernels(own))
        if at:
            seconds += BORDER + PER_BYTE * own[0].reads[0].size
        return PartSeconds(part.place, seconds, "measured")

    def release(self, device: str, trial_ids: Iterable[str]) -> None:
        self.released += trial_ids

    def _whole(self, job: TrialJob) -> float:
        kernels = _kernels(self._models[job.workload_key])
        return LAUNCH + sum(seconds_of(members, job.candidate) for members in kernels)


def seconds_of(members: tuple[CostedOperator, ...], candidate: Candidate) -> float:
    """What a kernel takes. Convolutions and products compute; everything moves bytes."""
    precision = "int8" if candidate.precision.quantization else "float32"
    work = kernel_work(members, precision)
    computes = work.family in (Family.CONVOLUTION, Family.POINTWISE, Family.DEPTHWISE)
    return OVERHEAD + (work.flops / PEAK if computes else 0.0) + work.traffic / BANDWIDTH


def _row(members: tuple[CostedOperator, ...], candidate: Candidate) -> OperatorProfile:
    names, kind = tuple(op.name for op in members), members[0].op_type
    seconds = seconds_of(members, candidate)
    if isinstance(candidate.engine, CPackageEmulated):
        packets = round(seconds / SECONDS_PER_PACKET)
        return OperatorProfile(kind, kind, names, "float32", None, packets, Method.EMULATED)
    return OperatorProfile(kind, kind, names, "float32", seconds, None, Method.MEASURED)


def _kernels(operators: Iterable[CostedOperator]) -> list[tuple[CostedOperator, ...]]:
    """Each operator alone, but a Relu with the convolution before it."""
    found: dict[str, tuple[CostedOperator, ...]] = {}
    writers: Mapping[str, str] = {}
    for op in operators:
        before = writers.get(op.reads[0].name, "")
        if op.op_type == "Relu" and before in found and found[before][0].op_type == "Conv":
            found[before] = (*found[before], op)
        else:
            found[op.name] = (op,)
        writers = {**writers, **{operand.name: op.name for operand in op.writes}}
    return list(found.values())
