"""Winners are written to their folders."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import farm
from db.records import RunKind
from db.store import Store
from farm.artifact.folder import CONTEXT_FILES, MODEL_FILE, PIPELINE_FILE
from farm.candidate import Candidate, PackageEngine, Pipeline, to_json
from farm.codegen.package.manifest import Manifest, PackageAccuracy
from farm.codegen.package.record import (
    PACKAGE_FILE,
    CompiledPackage,
    manifest_of,
    parse_compiled,
    precision_of,
)
from farm.codegen.package.write import FEWEST_VECTORS
from farm.delivery.files import RECORD_FILE, write_files
from farm.delivery.pipeline import sessions_of, write_pipeline
from farm.delivery.winner import batched, write_delivery
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError, InfrastructureError, OptionError
from farm.measurement import Method, Metric
from farm.model.shapes import fixed_sentence
from farm.session.of_candidate import on_gpu, session_spec
from tuner.racing.objective import METRICS
from tuner.results import DeviceResult, Measured
from tuner.runs.history import Entry
from tuner.runs.start import OpenRun
from workers.executor import Executor
from workers.gpus.alone import self_contained
from workers.gpus.numbers import delivered_numbers, delivered_variables
from workers.jobs import TrialJob
from workers.trials.process import ChildError


def output_folder(opened: OpenRun) -> Path:
    """The folder of a run's winners, one subfolder per device."""
    return Path(opened.request.output or Path("runs") / opened.name)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a winner comes from, or the best of a search that was interrupted.

    winner, baseline: as candidates.
    """

    store: Store
    opened: OpenRun
    result: DeviceResult
    winner: Candidate
    baseline: Candidate

    @property
    def confirmed(self) -> bool:
        """Whether it was confirmed."""
        return self.result.winner is not None

    @property
    def folder(self) -> Path:
        """Where it goes."""
        return output_folder(self.opened) / self.result.device

    @property
    def variables(self) -> dict[str, str]:
        """Of the environment of its device, and of those of its parts."""
        found = dict[str, str]()
        for profile in self._profiles:
            found |= profile.variables
        return found | delivered_variables(self._profiles)

    @property
    def gpus(self) -> dict[str, int]:
        """Numbers of its devices that are GPUs, as the delivered program counts them."""
        return delivered_numbers(self._profiles)

    @property
    def _profiles(self) -> tuple[DeviceProfile, ...]:
        """Of its device, and of those of its parts, as another process finds their GPUs.

        Those of another machine say that themselves.
        """
        engine = self.winner.engine
        parts = engine.devices if isinstance(engine, Pipeline) else ()
        found = self.opened.profiles_of({self.result.device, *parts})
        is_here = not self.opened.checked.found[self.result.device].cores
        return tuple(map(self_contained, found)) if is_here else found

    def text(self) -> str:
        """The content of ``provenance.json``."""
        return json.dumps(_provenance(self), indent=2, sort_keys=True) + "\n"


def deliver_entry(
    provenance: Provenance, executor: Executor, job: TrialJob, winner: Entry
) -> Path | None:
    """Write what was measured, whatever runs it; its folder, None for the fake device.

    job: of the winner. Raises OptionError: the folder cannot be written, the disk is full.
    Raises InfrastructureError: it cannot be compiled any more.
    """
    engine = winner.candidate.engine
    if engine.kind == "fake":
        return None  # it has no model that could be delivered
    if isinstance(engine, PackageEngine):
        return deliver_package(provenance, executor, job, winner)
    files = artifact_files(provenance, executor, job)
    if isinstance(engine, Pipeline):
        return deliver_pipeline(provenance, files)
    return deliver(provenance, files)


def deliver(provenance: Provenance, artifact: Mapping[str, bytes]) -> Path:
    """Write the winner of a device that has a session; its folder.

    artifact: its files by name.

    Raises OptionError: the folder cannot be written, the disk is full.
    """
    subject = provenance.opened.subject.model
    gpu = provenance.gpus.get(provenance.result.device, 0)
    session = on_gpu(session_spec(provenance.winner), gpu)
    with _writing(provenance) as folder:
        write_delivery(
            folder,
            artifact[MODEL_FILE],
            session,
            subject.inputs,
            provenance.text(),
            subject.shapes,
            confirmed=provenance.confirmed,
            callers=provenance.winner.callers,
            batch=provenance.winner.batch,
            variables=provenance.variables,
            beside={name: artifact[name] for name in CONTEXT_FILES if name in artifact},
        )
    return folder


def deliver_package(
    provenance: Provenance, executor: Executor, job: TrialJob, winner: Entry
) -> Path:
    """Write the winner of a device that is a compiled package; its folder.

    job: of the winner. Raises OptionError: the folder cannot be written, the disk is full.
    Raises InfrastructureError: the package cannot be completed.
    """
    record = artifact_files(provenance, executor, job)[PACKAGE_FILE]
    manifest = _manifest(provenance, parse_compiled(record), winner)
    try:
        files = executor.complete_package(provenance.result.device, job, manifest)
    except (ChildError, CompileError) as error:
        raise InfrastructureError(f"the winner cannot be packaged: {error}") from None
    with _writing(provenance) as folder:
        write_files(folder, {**files, RECORD_FILE: provenance.text().encode()})
    return folder


def deliver_pipeline(provenance: Provenance, artifact: Mapping[str, bytes]) -> Path:
    """Write the winner of a device that is a pipeline; its folder.

    artifact: its files by their paths in it.

    Raises OptionError: the folder cannot be written, the disk is full.
    """
    winner, subject = provenance.winner, provenance.opened.subject.model
    with _writing(provenance) as folder:
        write_pipeline(
            folder,
            artifact,
            sessions_of(winner, artifact[PIPELINE_FILE], provenance.gpus),
            batched(subject.inputs, winner.batch),
            provenance.text(),
            subject.shapes,
            confirmed=provenance.confirmed,
            variables=provenance.variables,
        )
    return folder


def artifact_files(provenance: Provenance, executor: Executor, job: TrialJob) -> dict[str, bytes]:
    """The files of a winner's artifact by name; they are compiled again where they are gone.

    job: of the winner. Raises InfrastructureError: they cannot be compiled any more.
    """
    try:
        return executor.artifact_files(provenance.result.device, job)
    except (ChildError, CompileError) as error:
        raise InfrastructureError(f"the winner cannot be compiled again: {error}") from None


@contextmanager
def _writing(provenance: Provenance) -> Iterator[Path]:
    folder = provenance.folder
    try:
        yield folder
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "Make room or choose another --output" if full else "Choose another --output"
        raise OptionError(
            f"The winner cannot be written to {folder}: {error.strerror or error}. {remedy}"
            f"{_go_on(provenance.opened)}"
        ) from None


def _go_on(opened: OpenRun) -> str:
    """How a run delivers what it has found, the end of a sentence."""
    if opened.run.kind is not RunKind.TUNE:
        return "."
    return f", and go on with: farm tune --resume {opened.name}"


def _manifest(provenance: Provenance, compiled: CompiledPackage, winner: Entry) -> Manifest:
    subject, accuracy = provenance.opened.subject, provenance.result.accuracy
    packets = winner.measurements.get(Metric.PACKETS)
    counted = packets is not None and packets.method is Method.EMULATED
    fixed = fixed_sentence(subject.model.shapes)
    return manifest_of(
        replace(compiled, notes=(*compiled.notes, fixed)) if fixed else compiled,
        model_sha256=subject.model.sha256,
        profile=provenance.result.device,
        precision=precision_of(subject.model.proto, winner.candidate.precision.label()),
        packets=int(packets.value) if packets is not None and counted else None,
        accuracy=None
        if accuracy is None or not accuracy.on_real_data
        else PackageAccuracy(
            accuracy.metric,
            accuracy.winner,
            accuracy.original,
            accuracy.samples,
            accuracy.worst,
            accuracy.notes,
        ),
        vectors=FEWEST_VECTORS,
    )


def _provenance(provenance: Provenance) -> Mapping[str, object]:
    store, opened, result = provenance.store, provenance.opened, provenance.result
    delivered = result.winner or result.best
    assert delivered is not None
    trial = store.trial(delivered.trial_id)
    return {
        "farm": farm.__version__,
        "confirmed": provenance.confirmed,
        "kind": str(opened.run.kind),
        "run": opened.name,
        "trial": trial.id,
        "seed": opened.run.seed,
        "request": json.loads(opened.run.request),
        "model_sha256": opened.subject.model.sha256,
        "shapes": dict(opened.subject.model.shapes),
        "device": result.device,
        "candidate": json.loads(store.candidate(provenance.winner.id).json),
        "baseline": json.loads(to_json(provenance.baseline)),
        "verdict": str(result.verdict) if result.verdict else None,
        "ratio": asdict(result.ratio) if result.ratio else None,
        "gain": asdict(result.gain) if result.gain else None,
        "gain_method": _gain_method(provenance.opened, delivered),
        "accuracy": _accuracy(result),
        "data_sha256": opened.subject.dataset.sha256,
        "trial_details": json.loads(trial.details),
        "machine": asdict(store.machine(trial.machine_id)),
        "software": json.loads(store.software(trial.software_id).versions),
    }


def _gain_method(opened: OpenRun, delivered: Measured) -> str | None:
    """How the objective of what is delivered was found."""
    found = delivered.measurements.get(METRICS[opened.request.objective])
    return None if found is None else str(found.method)


def _accuracy(result: DeviceResult) -> Mapping[str, object] | None:
    """What was delivered reaches, on so many samples of the confirmation part."""
    found = result.accuracy
    if found is None:
        return None
    return {"metric": found.metric, "value": found.winner, "samples": found.samples}
