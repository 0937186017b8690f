"""``farm verify``: whether what was claimed of a delivered folder still holds, on this machine.

The files must be those that were delivered. Then the delivered model or library itself, and not
one compiled anew, races the baseline as `farm bench` does: in interleaved blocks, each in fresh
processes, and its outputs are compared with those of the original model.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from db.records import RunKind
from db.store import Store
from farm.candidate import CPackage, PackageEngine
from farm.codegen.build.compilers import find_emulator, host_targets
from farm.codegen.package.manifest import MANIFEST_FILE
from farm.delivery.files import RECORD_FILE, SESSION_FILE, SUMS_FILE, delivered_sums
from farm.devices.profile import DeviceProfile
from farm.errors import (
    CompileError,
    DeviceError,
    InfrastructureError,
    InputError,
    OptionError,
)
from farm.measurement import Estimate, Metric
from farm.model.model import load_model
from farm.session.of_candidate import session_spec
from tuner.bench import (
    Benchmark,
    NotMeasured,
    bench,
    check_device,
    compare_measured,
    measured_by_block,
)
from tuner.delivery.claim import Holds, judged, less_accurate
from tuner.delivery.record import Record, RecordedAccuracy, RecordedMachine, read_record
from tuner.delivery.verify import Verified, verify_package
from tuner.events import Listener
from tuner.racing.objective import METRICS
from tuner.request import Objective, TuneRequest
from tuner.runs.start import Checked, check_request, start_run
from workers.executor import LocalExecutor
from workers.fingerprint import fingerprint
from workers.trials.artifacts import adopt
from workers.trials.cache import Cache
from workers.trials.process import ChildError

_OF_ONE_THREAD = frozenset({Metric.CPU_SECONDS, Metric.THROUGHPUT, Metric.LATENCY_P99})
_UNRECORDED = (
    "It was delivered by an earlier version of the farm, which recorded no digests: whether its "
    "files are those that were delivered is unknown."
)
_UNCONFIRMED = "It is the best of a search that was interrupted, and was never confirmed."


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying a delivered folder showed.

    holds, reason: the verdict and why. claimed, measured: ratios of the objective, baseline over
    winner; None where there is no claim, or nothing was measured. accuracy: as it was delivered;
    reached: the same on this machine, None where it cannot be compared. package: of packages.
    disagreements: sentences without their full stop.
    """

    folder: Path
    holds: Holds
    reason: str = ""
    record: Record | None = None
    claimed: Estimate | None = None
    measured: Estimate | None = None
    blocks: int = 0
    reached: RecordedAccuracy | None = None
    package: Verified | None = None
    disagreements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _Unjudged(Exception):
    """Why a claim cannot be judged here, a clause."""


def verify_folder(
    folder: Path,
    profiles: Mapping[str, DeviceProfile],
    listen: Listener,
    model: Path | None = None,
    data: Path | None = None,
) -> Verification:
    """Verify a delivered folder.

    model, data: files to use where those that the record names are not there.

    Raises InputError: it is no delivered folder, or not a whole one; a file that was given is
    another one. Raises CompileError: a package does not compile.
    """
    _require_delivery(folder)
    package = verify_package(folder) if (folder / MANIFEST_FILE).is_file() else None
    if not (folder / RECORD_FILE).exists():
        assert package is not None
        return _of_package(folder, package)
    record = read_record(folder)
    found = Verification(folder, Holds.YES, record=record, claimed=record.claim, package=package)
    changed, recorded = _changed(folder)
    found = replace(
        found,
        disagreements=(*changed, *(package.disagreements if package else ())),
        notes=tuple(_notes(record, package, recorded=recorded)),
    )
    if found.disagreements:
        reason = "it is not what was delivered, so it was not raced"
        return replace(found, holds=Holds.NO, reason=reason)
    try:
        return _Race(found, record, profiles, listen).run(model, data)
    except _Unjudged as why:
        return replace(found, holds=Holds.UNKNOWN, reason=str(why))


class _Race:
    """The race of what lies in a folder against its baseline."""

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
        """Race, and judge. Raises _Unjudged, InputError."""
        record = self._record
        profile = self._profile()
        request = replace(record.request, devices=(record.device,), output="")
        request = _with_model(request, record, model)
        checked, same_data = self._checked(request, data)
        try:
            measured = self._measured(checked, profile)
        except NotMeasured as error:
            if error.candidate != record.candidate:
                raise _Unjudged(_clause(error)) from None
            return replace(self._found, holds=Holds.NO, reason=_clause(error))
        found = self._with_accuracy(measured[-1], same_data=same_data)
        if len(measured) == 1:
            reason = "it is the baseline, so that no speed was claimed"
            return _with_verdict(found, Holds.YES, reason)
        return self._compared(found, *measured)

    def _profile(self) -> DeviceProfile:
        record = self._record
        profile = self._profiles.get(record.device)
        if profile is None:
            raise _Unjudged(f"there is no device profile {record.device} here")
        candidates = [c for c in (record.baseline, record.candidate) if c is not None]
        try:
            check_device(profile, candidates)
        except DeviceError as error:
            raise _Unjudged(_clause(error)) from None
        engine = record.candidate.engine
        if isinstance(engine, CPackage) and engine.target not in host_targets():
            raise _Unjudged(f"this machine's processor has no {engine.target}")
        if record.candidate.is_counted and not find_emulator():
            raise _Unjudged("qemu-hexagon, which counts its packets, is not installed")
        if not isinstance(engine, PackageEngine):
            self._require_session()
        return profile

    def _require_session(self) -> None:
        """Raise _Unjudged where this version would not create the delivered session."""
        delivered = (self._found.folder / SESSION_FILE).read_text(encoding="utf-8")
        if delivered != session_spec(self._record.candidate).to_json():
            raise _Unjudged(
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
            LocalExecutor([profile], Path(place)) as executor,
        ):
            cache = Cache(Path(place))
            cache.add_workload(workload)
            run = start_run(store, checked, RunKind.BENCH)
            candidates = [winner] if winner == baseline else [baseline, winner]
            try:
                adopt(cache, workload.key, winner, self._found.folder)
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
                raise _Unjudged(_clause(error)) from None

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
        here = _here()
        if not winner.candidate.is_counted and here != self._record.machine:
            reason = f"it was measured on {self._record.machine}, and this is {here}"
            return _with_verdict(found, Holds.UNKNOWN, reason)
        holds = judged(claimed, ratio)
        noisy = "the measured interval reaches from below 1 to the claim: the machine is not quiet"
        return _with_verdict(found, holds, noisy if holds is Holds.UNKNOWN else "")


_NO_ACCURACY = "It was delivered without an accuracy that could be compared."


def _require_delivery(folder: Path) -> None:
    """Raise InputError for what is no delivered folder, or has no end."""
    if not folder.is_dir():
        raise OptionError(f"There is no folder {folder}.")
    if (folder / RECORD_FILE).exists() or (folder / MANIFEST_FILE).exists():
        return
    inner = sorted(path.parent.name for path in folder.glob(f"*/{RECORD_FILE}"))
    if inner:
        raise OptionError(
            f"{folder} holds winners of {', '.join(inner)}: give the folder of one of them, such "
            f"as {folder / inner[0]}."
        )
    read_record(folder)  # says what is missing


def _changed(folder: Path) -> tuple[list[str], bool]:
    """Which files are not those that were delivered; whether digests were recorded.

    Raises InputError: a file is missing.
    """
    sums = delivered_sums(folder)
    changed = []
    for name, digest in sorted(sums.items()):
        path = folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise OptionError(f"{folder / SUMS_FILE} is damaged: it names {name}.")
        if not os.path.lexists(path):
            raise OptionError(f"{folder} is not whole: {name} is missing.")
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OptionError(f"{path} is no regular file, and nothing else was delivered.")
        with path.open("rb") as file:
            if digest and hashlib.file_digest(file, "sha256").hexdigest() != digest:
                changed.append(f"{name} is not the file that was delivered")
    return changed, all(sums.values())


def _notes(record: Record, package: Verified | None, *, recorded: bool) -> Iterator[str]:
    if not record.origin.confirmed:
        yield _UNCONFIRMED
    if not recorded:
        yield _UNRECORDED
    if package:
        yield from package.notes


def _of_package(folder: Path, package: Verified) -> Verification:
    """A package that `farm package` made, for which nothing is claimed but that it is whole."""
    holds = Holds.YES if package.agrees else Holds.NO
    return Verification(
        folder,
        holds,
        "it is a package of `farm package`, for which no speed was claimed",
        package=package,
        disagreements=package.disagreements,
        notes=package.notes,
    )


def _with_model(request: TuneRequest, record: Record, model: Path | None) -> TuneRequest:
    """The request with the model that was tuned.

    Raises _Unjudged: it is not there any more. Raises InputError: what was given is another.
    """
    if record.baseline is None:
        raise _Unjudged("its record is of an earlier version and does not name the baseline")
    path = model or Path(request.model)
    try:
        sha256 = load_model(path, request.shapes).sha256
    except InputError as error:
        if model is not None:
            raise
        raise _Unjudged(f"{_clause(error)}; give the original by --model FILE") from None
    if sha256 == record.origin.model_sha256:
        return replace(request, model=str(path.absolute()))
    if model is not None:
        raise OptionError(f"{model} is not the model that was tuned, by its SHA-256.")
    raise _Unjudged(
        f"{path} is not the model that was tuned any more; give the original by --model FILE"
    )


def _ratio(
    baseline: Benchmark, winner: Benchmark, objective: Objective
) -> tuple[Estimate | None, int]:
    """Baseline over winner of the objective, and the number of blocks it was measured in."""
    metric = METRICS[objective]
    if metric in measured_by_block(winner) and not winner.candidate.is_counted:
        found = compare_measured(baseline, winner, metric)
        return found.ratio, found.pairs
    if winner.candidate.is_counted and metric in _OF_ONE_THREAD:
        metric = Metric.LATENCY  # one thread, and every run like every other
    ours, theirs = (side.measurements.get(metric) for side in (winner, baseline))
    if ours is None or theirs is None or ours.value <= 0:
        return None, 0
    ratio = theirs.value / ours.value
    return Estimate(ratio, ratio, ratio), len(winner.measurements[Metric.LATENCY].samples)


def _with_verdict(found: Verification, holds: Holds, reason: str) -> Verification:
    """The verdict; a disagreement is stronger than any ratio."""
    return replace(found, holds=Holds.NO if found.disagreements else holds, reason=reason)


def _here() -> RecordedMachine:
    machine = fingerprint()
    return RecordedMachine(machine.cpu, machine.cores)


def _clause(error: Exception) -> str:
    """An error's sentence as part of another one."""
    return str(error).rstrip(".")
