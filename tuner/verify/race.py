"""A delivered winner races its baseline again, and the claim is judged by that.

What lies in the folder, and not what would be compiled anew, races as `farm bench` does: in
interleaved blocks, each in fresh processes. Its outputs are compared with the original model's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from db.records import RunKind
from db.store import Store
from farm.artifact.folder import PIPELINE_FILE
from farm.candidate import CPackage, PackageEngine, Pipeline, whole_engines
from farm.codegen.build.compilers import find_emulator, host_targets
from farm.delivery.files import SESSION_FILE
from farm.delivery.pipeline import sessions_of
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError, DeviceError, InfrastructureError, InputError, OptionError
from farm.measurement import Estimate, Method, Metric
from farm.model.model import load_model
from farm.session.of_candidate import on_gpu, session_spec
from tuner.bench import (
    Benchmark,
    NotMeasured,
    bench,
    check_device,
    compare_measured,
    measured_by_block,
)
from tuner.delivery.record import Record, RecordedAccuracy, RecordedMachine
from tuner.events import Listener
from tuner.goals import Objective
from tuner.racing.objective import METRICS
from tuner.request import TuneRequest
from tuner.runs.start import Checked, check_request, start_run
from tuner.verify.claim import Holds, judged, less_accurate
from tuner.verify.verification import Verification
from workers.environments.interpreters import Interpreters
from workers.executor import LocalExecutor
from workers.fingerprint import fingerprint
from workers.gpus.numbers import delivered_numbers
from workers.trials.artifacts import adopt
from workers.trials.process import ChildError
from workers.trials.stored.cache import Cache

_OF_ONE_THREAD = frozenset({Metric.CPU_SECONDS, Metric.THROUGHPUT, Metric.LATENCY_P99})
_NO_ACCURACY = "It was delivered without an accuracy that could be compared."


class Unjudged(Exception):
    """Why a claim cannot be judged here, a clause."""


class Race:
    """The race of what lies in a folder against its baseline.

    found: what is known of the folder already; the verdict is added to it.
    """

    def __init__(
        self,
        found: Verification,
        record: Record,
        profiles: Mapping[str, DeviceProfile],
        listen: Listener,
    ) -> None:
        self._found = found
        self._record = record
        self._profiles = profiles
        self._listen = listen

    def run(self, model: Path | None, data: Path | None) -> Verification:
        """Race, and judge. Raises Unjudged, InputError."""
        record = self._record
        profile = self._profile()
        request = replace(record.request, devices=(record.device,), output="")
        request = _with_model(request, record, model)
        checked, same_data = self._checked(request, data)
        try:
            measured = self._measured(checked, profile)
        except NotMeasured as error:
            if error.candidate != record.candidate:
                raise Unjudged(_clause(error)) from None
            return replace(self._found, holds=Holds.NO, reason=_clause(error))
        found = self._with_accuracy(measured[-1], same_data=same_data)
        found = replace(found, notes=(*found.notes, *checked.caveats(profile, record.candidate)))
        if len(measured) == 1:
            benched = record.origin.kind == RunKind.BENCH
            what = "it was benched" if benched else "it is the baseline"
            reason = f"{what}, so that no speed was claimed"
            return _with_verdict(found, Holds.YES, reason)
        return self._compared(found, *measured)

    def _profile(self) -> DeviceProfile:
        record = self._record
        profile = self._profiles.get(record.device)
        if profile is None:
            raise Unjudged(f"there is no device profile {record.device} here")
        candidates = [c for c in (record.baseline, record.candidate) if c is not None]
        try:
            check_device(profile, candidates, self._profiles)
        except DeviceError as error:
            raise Unjudged(_clause(error)) from None
        for engine in whole_engines(record.candidate.engine):
            if isinstance(engine, CPackage) and engine.target not in host_targets():
                raise Unjudged(f"this machine's processor has no {engine.target}")
        if record.candidate.is_modelled and not find_emulator():
            raise Unjudged("qemu-hexagon, which counts its packets, is not installed")
        if not isinstance(record.candidate.engine, PackageEngine):
            self._require_session()
        return profile

    def _require_session(self) -> None:
        """Raise Unjudged where this version would not create the delivered session."""
        folder, candidate = self._found.folder, self._record.candidate
        device = self._record.device
        parts = candidate.engine.devices if isinstance(candidate.engine, Pipeline) else ()
        gpus = delivered_numbers(p for p in self._profiles.values() if p.name in (device, *parts))
        if isinstance(candidate.engine, Pipeline):
            pipeline = (folder / PIPELINE_FILE).read_bytes()
            made = sessions_of(candidate, pipeline, gpus).to_json()
        else:
            made = on_gpu(session_spec(candidate), gpus.get(device, 0)).to_json()
        if made != (folder / SESSION_FILE).read_text(encoding="utf-8"):
            raise Unjudged(
                f"this version of the farm creates other sessions than {SESSION_FILE} says"
            )

    def _checked(self, request: TuneRequest, data: Path | None) -> tuple[Checked, bool]:
        """The request with its model and data; whether the data is that of the record."""
        recorded = self._record.data_sha256
        if data is not None:
            request = replace(request, data=str(data.absolute()))
        try:
            checked = check_request(request, self._profiles)
        except InputError:
            if data is not None or not request.data:
                raise
        else:
            if checked.subject.dataset.sha256 == recorded:
                return checked, True
            if data is not None:
                raise OptionError(f"{data} is not the data that {self._record.origin} saw.")
        return check_request(replace(request, data="", metric=""), self._profiles), False

    def _measured(self, checked: Checked, profile: DeviceProfile) -> tuple[Benchmark, ...]:
        """Baseline and winner side by side; the winner alone where it is the baseline."""
        winner, baseline = self._record.candidate, self._record.baseline
        assert baseline is not None
        workload = checked.subject.workload
        with (
            tempfile.TemporaryDirectory(prefix="farm-verify-") as place,
            Store.open(":memory:") as store,
            LocalExecutor([profile], Path(place), self._profiles) as executor,
        ):
            cache = Cache(Path(place))
            cache.add_workload(workload)
            run = start_run(store, checked, RunKind.BENCH)
            candidates = [winner] if winner == baseline else [baseline, winner]
            try:
                with closing(Interpreters(profile)) as interpreters:
                    versions = interpreters.versions()
                adopt(cache, workload.key, winner, self._found.folder, versions)
                return bench(
                    store,
                    executor,
                    run,
                    profile,
                    candidates,
                    self._listen,
                    detailed=checked.request.objective is Objective.ENERGY,
                )
            except NotMeasured:
                raise
            except (ChildError, CompileError, InfrastructureError) as error:
                raise Unjudged(_clause(error)) from None

    def _with_accuracy(self, winner: Benchmark, *, same_data: bool) -> Verification:
        """What accuracy was reached, and whether it is what was delivered."""
        found, claimed = self._found, self._record.accuracy
        if winner.accuracy is None or winner.accuracy.value is None:
            return found
        value, samples = winner.accuracy.value, winner.accuracy.samples
        reached = RecordedAccuracy(winner.accuracy.metric, value, samples)
        found = replace(found, reached=reached)
        if claimed is None or not same_data:
            why = "The accuracy it was delivered with was not compared: the data is not here."
            return replace(found, notes=(*found.notes, why if claimed else _NO_ACCURACY))
        if less_accurate(claimed, value):
            told = f"accuracy ({claimed.metric}) is {value:.4f}, and was {claimed.value:.4f}"
            return replace(found, disagreements=(*found.disagreements, told))
        return found

    def _compared(
        self, found: Verification, baseline: Benchmark, winner: Benchmark
    ) -> Verification:
        ratio, blocks = _ratio(baseline, winner, self._record.request.objective)
        found = replace(found, measured=ratio, blocks=blocks)
        claimed = self._record.claim
        if claimed is None:
            return _with_verdict(found, Holds.YES, "no gain was claimed")
        if ratio is None:
            return _with_verdict(found, Holds.UNKNOWN, "the objective cannot be measured here")
        if other := _other_method(self._record, winner):
            return _with_verdict(found, Holds.UNKNOWN, other)
        here = _here()
        if not winner.candidate.is_counted and here != self._record.machine:
            reason = f"it was measured on {self._record.machine}, and this is {here}"
            return _with_verdict(found, Holds.UNKNOWN, reason)
        holds = judged(claimed, ratio)
        noisy = "the measured interval reaches from below 1 to the claim: the machine is not quiet"
        return _with_verdict(found, holds, noisy if holds is Holds.UNKNOWN else "")


def _with_model(request: TuneRequest, record: Record, model: Path | None) -> TuneRequest:
    """The request with the model that was tuned.

    Raises Unjudged: it is not there any more. Raises InputError: what was given is another.
    """
    if record.baseline is None:
        raise Unjudged("its record is of an earlier version and does not name the baseline")
    path = model or Path(request.model)
    try:
        sha256 = load_model(path, request.shapes).sha256
    except InputError as error:
        if model is not None:
            raise
        raise Unjudged(f"{_clause(error)}; give the original by --model FILE") from None
    if sha256 == record.origin.model_sha256:
        return replace(request, model=str(path.absolute()))
    if model is not None:
        raise OptionError(f"{model} is not the model that was tuned, by its SHA-256.")
    raise Unjudged(
        f"{path} is not the model that was tuned any more; give the original by --model FILE"
    )


def _ratio(
    baseline: Benchmark, winner: Benchmark, objective: Objective
) -> tuple[Estimate | None, int]:
    """Baseline over winner of the objective, and the number of blocks it was measured in."""
    metric = METRICS[objective]
    by_block = measured_by_block(winner) & measured_by_block(baseline)
    if metric in by_block and not winner.candidate.is_counted:
        found = compare_measured(baseline, winner, metric)
        return found.ratio, found.pairs
    if winner.candidate.is_counted and metric in _OF_ONE_THREAD:
        metric = Metric.LATENCY  # one thread, and every run like every other
    ours, theirs = (side.measurements.get(metric) for side in (winner, baseline))
    if ours is None or theirs is None or ours.value <= 0:
        return None, 0
    ratio = theirs.value / ours.value
    return Estimate(ratio, ratio, ratio), len(winner.measurements[Metric.LATENCY].samples)


def _other_method(record: Record, winner: Benchmark) -> str:
    """Why a claim of energy says nothing of what was found here; "" where it does."""
    if record.request.objective is not Objective.ENERGY:
        return ""
    claimed = record.gain_method or Method.MODELLED  # that of all earlier versions
    here = winner.measurements[Metric.ENERGY].method  # there is a ratio of it
    return "" if claimed is here else f"the claim is of {claimed} energy, and here it is {here}"


def _with_verdict(found: Verification, holds: Holds, reason: str) -> Verification:
    """The verdict; a disagreement is stronger than any ratio."""
    return replace(found, holds=Holds.NO if found.disagreements else holds, reason=reason)


def _here() -> RecordedMachine:
    machine = fingerprint()
    return RecordedMachine(machine.cpu, machine.cores)


def _clause(error: Exception) -> str:
    """An error's sentence as part of another one."""
    return str(error).rstrip(".")
