"""The compiling side of a worker: artifacts from its cache, or from its compile child."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from farm.accuracy.damage import Damage
from farm.artifact.folder import (
    HASHES_FILE,
    MODEL_FILE,
    PIPELINE_FILE,
    adopt_context,
    adopt_model,
    adopt_package,
    adopt_parts,
    complete_context,
    read_manifest,
)
from farm.artifact.key import artifact_key
from farm.candidate import (
    Candidate,
    Fake,
    GraphLevel,
    OnnxRuntimeCpu,
    OnnxRuntimeQnn,
    PackageEngine,
    Pipeline,
    to_json,
)
from farm.codegen.package.manifest import Manifest
from farm.codegen.package.record import RUNNER_FILE, CompiledPackage, read_compiled
from farm.errors import CompileError, InfrastructureError
from farm.host.temporary import temporary_folder
from farm.profile.kernels import OperatorProfile
from farm.session.of_candidate import check_sessions, onnxruntime_spec, session_spec
from farm.session.pipeline import PipelineRecord, parse_pipeline
from farm.session.spec import SessionSpec
from farm.units import Bytes, format_bytes
from workers.environments.installed import Installed
from workers.fingerprint import software_versions
from workers.jobs import TrialJob
from workers.trials.children import Children
from workers.trials.process import Child
from workers.trials.stored.cache import Cache
from workers.trials.stored.hashes import Stamp, damage, stamp
from workers.trials.stored.usage import COPIES

_ROWS: TypeAdapter[tuple[OperatorProfile, ...]] = TypeAdapter(tuple[OperatorProfile, ...])
_NAMES: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])
_DAMAGE: TypeAdapter[Damage] = TypeAdapter(Damage)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled candidate in the cache.

    model: what its engine loads. size: see ``ArtifactManifest``. notes: what the passes had to
    say. package: of candidates for package engines. pipeline: of those in parts.
    """

    key: str
    model: Path
    size: Bytes
    notes: tuple[str, ...]
    package: CompiledPackage | None = None
    pipeline: PipelineRecord | None = None


class Artifacts:
    """The artifacts of one worker. One child compiles; it remembers what candidates share."""

    def __init__(self, cache: Cache, children: Children) -> None:
        self._cache = cache
        self._children = children
        self._compiler: Child | None = None
        self._whole: dict[Path, Stamp] = {}  # kept artifacts

    def of(self, job: TrialJob) -> Artifact | None:
        """The artifact of a job's candidate; None for the fake engine, which has none.

        Raises CompileError and ChildError: the candidate does not fit the model or the engine.
        Raises InfrastructureError: it cannot be written.
        """
        engine = job.candidate.engine
        if isinstance(engine, Fake):
            return None
        if isinstance(engine, Pipeline):
            check_sessions(job.candidate, engine)
        elif not isinstance(engine, PackageEngine):
            session_spec(job.candidate)  # an engine without this arithmetic fails before the work
        self._cache.check_workload(job.workload_key)
        if job.pinned.artifact:
            return self._kept(Path(job.pinned.artifact), job.candidate)
        environment = self._children.environment(job)
        if environment is not None and isinstance(engine, OnnxRuntimeCpu) and engine.saved_graph:
            return self._saved_in(environment, job, engine)
        if isinstance(engine, OnnxRuntimeQnn):
            return self._for_chip(job)
        return self._compiled(job)

    def files(self, job: TrialJob) -> dict[str, bytes]:
        """The files of the artifact of a job's candidate by name, compiled again if need be.

        Those of a pipeline are named by their paths in its folder.

        A cache may be cleared at any time, also between a trial and the delivery of its winner.

        Raises CompileError, ChildError, InfrastructureError.
        """
        artifact = self.of(job)
        if artifact is None:
            raise InfrastructureError(f"{job.candidate.label()} has no artifact.")
        folder = artifact.model.parent
        return _files_in(folder, folder.rglob("*") if artifact.pipeline else folder.iterdir())

    def complete_package(self, job: TrialJob, manifest: Manifest) -> dict[str, bytes]:
        """The files of a package to be delivered by their paths in it; see ``compiling``.

        Raises CompileError, ChildError, InfrastructureError.
        """
        artifact = self.of(job)
        assert artifact is not None
        with temporary_folder("package") as place:
            self._ask(
                job,
                "package",
                artifact=str(artifact.model.parent),
                manifest=manifest.to_json(),
                folder=str(place),
            )
            paths = sorted(path for path in place.rglob("*") if path.is_file())
            return {path.relative_to(place).as_posix(): path.read_bytes() for path in paths}

    def quantizable(self, job: TrialJob) -> dict[str, tuple[str, ...]]:
        """Names of the operators that each kind of quantisation applies to. Raises ChildError."""
        if isinstance(job.candidate.engine, Fake):
            return {}
        found: dict[str, list[str]] = self._ask(job, "quantizable")
        return {kind: tuple(names) for kind, names in found.items()}

    def name_for_profile(self, job: TrialJob, artifact: Artifact, folder: Path) -> dict[str, str]:
        """Write what an engine is to profile into an empty folder; names of operators there.

        By those that the artifact has. Raises ChildError.
        """
        told = self._ask(job, "named", artifact=str(artifact.model), folder=str(folder))
        return _NAMES.validate_python(told)

    def map_kernels(
        self, job: TrialJob, artifact: Artifact, folder: Path, profile: str
    ) -> tuple[OperatorProfile, ...]:
        """An engine's kernels with the operators they stand for; see ``workers.child.profiling``.

        Raises ChildError.
        """
        told = self._ask(
            job, "mapped", artifact=str(artifact.model), folder=str(folder), profile=profile
        )
        return _ROWS.validate_python(told)

    def profile_package(
        self, job: TrialJob, folder: Path, seconds: float
    ) -> tuple[OperatorProfile, ...]:
        """The steps of a package, built anew in an empty folder. Raises ChildError."""
        told = self._ask(job, "package-profile", folder=str(folder), seconds=seconds)
        return _ROWS.validate_python(told)

    def rank_sensitivity(self, job: TrialJob) -> Damage:
        """What quantising each operator of a candidate alone does. Raises ChildError."""
        return _DAMAGE.validate_python(self._ask(job, "sensitivity"))

    def close(self) -> None:
        """End the compile child."""
        if self._compiler is not None:
            self._compiler.kill()
            self._compiler = None

    def _compiled(self, job: TrialJob) -> Artifact:
        """From the cache, or compiled now. Raises as ``of`` does."""
        key = _key_of(job.workload_key, job.candidate)
        target = self._cache.artifact(key)
        with self._cache.complete(target) as folder:
            if folder is not None:
                self._check_room(job)
                self._ask(job, "compile", folder=str(folder))
        return _read_artifact(key, target, job.candidate)

    def _saved_in(self, found: Installed, job: TrialJob, engine: OnnxRuntimeCpu) -> Artifact:
        """A graph as the ONNX Runtime of an environment optimises it: no other one need read it.

        Raises as ``of`` does.
        """
        plain = replace(engine, graph_level=GraphLevel.NONE, disabled_optimizers=())
        given = self._compiled(replace(job, candidate=replace(job.candidate, engine=plain)))
        own = f"{_key_of(job.workload_key, job.candidate)} {found.environment.digest}"
        key = hashlib.sha256(own.encode()).hexdigest()
        target = self._cache.artifact(key)
        with self._cache.complete(target) as folder:
            if folder is not None:
                model, spec = (
                    folder / MODEL_FILE,
                    onnxruntime_spec(replace(engine, saved_graph=False)),
                )
                self._children.save_optimised(job, given.model, spec, model)
                adopt_model(model.read_bytes(), folder)
        return _read_artifact(key, target, job.candidate)

    def _for_chip(self, job: TrialJob) -> Artifact:
        """What Qualcomm's compiler makes of a graph for a chip. Raises as ``of`` does."""
        spec, given = session_spec(job.candidate), self._compiled(job)
        assert isinstance(spec, SessionSpec)
        key = _context_key(given.key, job.candidate, self._children.versions())
        target = self._cache.artifact(key)
        with self._cache.complete(target) as folder:
            if folder is not None:
                self._children.save_context(job, given.model, spec, folder / MODEL_FILE)
                complete_context(given.model, given.notes, folder)
        return _read_artifact(key, target, job.candidate)

    def _kept(self, folder: Path, candidate: Candidate) -> Artifact:
        """An artifact as it lies in a folder of its own. Raises CompileError: it is not whole."""
        try:
            seen = stamp(folder)
            if self._whole.get(folder) != seen:
                if found := damage(folder):
                    raise CompileError(f"The kept artifact {folder} cannot be run: {found}.")
                self._whole[folder] = seen
            artifact = _read_artifact(folder.name, folder, candidate)
            artifact.model.stat()
        except (OSError, ValueError):
            kind = candidate.engine.kind
            raise CompileError(
                f"The kept artifact {folder} cannot be run: it is none of the engine {kind}."
            ) from None
        return artifact

    def _check_room(self, job: TrialJob) -> None:
        """Tools word a full disk freely, and it is no fault of the candidate's."""
        needed = COPIES * self._cache.model(job.workload_key).stat().st_size
        for folder in (self._cache.root, Path(tempfile.gettempdir())):
            free = shutil.disk_usage(folder).free
            if free < needed:
                raise InfrastructureError(
                    f"Compiling needs {format_bytes(needed)} in {folder}, and its disk has "
                    f"{format_bytes(free)} left; make room there."
                )

    def _ask(self, job: TrialJob, command: str, **arguments: str | float) -> Any:  # noqa: ANN401
        """Ask the compile child, a new one if the last died of another candidate."""
        self._cache.check_workload(job.workload_key)
        if self._compiler is None or not self._compiler.alive:
            self.close()
            self._compiler = self._children.spawn("compiler", job.limits)
        with self._children.watch.running():
            return self._compiler.request(
                command,
                job.limits.compile_seconds,
                workload=str(self._cache.workload(job.workload_key)),
                candidate=to_json(job.candidate),
                **arguments,
            )


def adopt(
    cache: Cache,
    workload_key: str,
    candidate: Candidate,
    delivered: Path,
    versions: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Take what was delivered for a candidate for its artifact: it runs, and nothing is compiled.

    delivered: the folder. versions: see ``Interpreters.versions``.

    Raises InputError, CompileError, OSError: it is not whole, or cannot be linked here. Raises
    InfrastructureError: the cache cannot be written.
    """
    key = _key_of(workload_key, candidate)
    if isinstance(candidate.engine, OnnxRuntimeQnn):
        key = _context_key(key, candidate, versions)
    with cache.complete(cache.artifact(key)) as folder:
        if folder is None:
            return
        if isinstance(candidate.engine, PackageEngine):
            adopt_package(delivered, folder, candidate.engine)
        elif isinstance(candidate.engine, Pipeline):
            adopt_parts(delivered, folder)
        elif isinstance(candidate.engine, OnnxRuntimeQnn):
            adopt_context(delivered, folder)
        else:
            adopt_model((delivered / MODEL_FILE).read_bytes(), folder)


def _key_of(workload_key: str, candidate: Candidate) -> str:
    """The content address of an artifact. Raises CompileError: its C compiler is not here."""
    # The workload's key stands for the model, its shapes and the calibration data.
    versions = json.dumps(software_versions(), sort_keys=True)
    return artifact_key(workload_key, "", candidate, workload_key, versions)


def _context_key(key: str, candidate: Candidate, versions: Mapping[str, str]) -> str:
    """The content address of what Qualcomm's compiler makes. key: of what it compiles."""
    decides = [key, asdict(session_spec(candidate)), dict(versions)]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def cached_files(cache: Cache, key: str) -> dict[str, bytes]:
    """The files of an artifact in a cache by name; empty where its model is not as compiled."""
    folder = cache.artifact(key)
    try:
        digest = read_manifest(folder).sha256
        if (folder / PIPELINE_FILE).exists():
            return {} if damage(folder) else _files_in(folder, folder.rglob("*"))
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    except (OSError, ValueError):  # it is being written, or was cleared
        return {}
    model = files.get(MODEL_FILE)
    whole = model is None or hashlib.sha256(model).hexdigest() == digest
    return files if whole else {}


def _files_in(folder: Path, paths: Iterable[Path]) -> dict[str, bytes]:
    """The files among paths in an artifact's folder, without their hashes, by path in it."""
    files = (path for path in paths if path.is_file() and path.name != HASHES_FILE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _read_artifact(key: str, folder: Path, candidate: Candidate) -> Artifact:
    manifest = read_manifest(folder)
    if isinstance(candidate.engine, Pipeline):
        record = parse_pipeline((folder / PIPELINE_FILE).read_bytes())
        path = folder / PIPELINE_FILE
        return Artifact(key, path, manifest.size, manifest.notes, pipeline=record)
    if not isinstance(candidate.engine, PackageEngine):
        return Artifact(key, folder / MODEL_FILE, manifest.size, manifest.notes)
    package = read_compiled(folder)
    return Artifact(key, folder / RUNNER_FILE, manifest.size, manifest.notes, package)
