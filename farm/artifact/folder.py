"""An artifact's folder: the model or the programs of a package, and a record of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from farm.artifact.engines import c_compiler
from farm.candidate import CPackage, CPackageEmulated
from farm.codegen.package.reopen import reopen_package
from farm.errors import CompileError
from farm.session.pipeline import parse_pipeline
from farm.units import Bytes

MODEL_FILE = "model.onnx"
PIPELINE_FILE = "pipeline.json"
RECORD_FILE = "artifact.json"
HASHES_FILE = "hashes.json"
"""Hashes of all others, where the folder is kept in a cache."""
CONTEXT_FILE = "model_qnn.bin"
"""What Qualcomm's compiler makes of a model; ``model.onnx`` names it, and is what is loaded."""
GRAPH_FILE = "quantised.onnx"
"""What it was made from."""
CONTEXT_FILES = (CONTEXT_FILE, GRAPH_FILE)


@dataclass(frozen=True, slots=True)
class ArtifactManifest:
    """What lies in an artifact's folder.

    sha256: of model.onnx, or of a package's sources. size: of model.onnx with its context binary,
    or of a package's weights and code. passes: those that changed the graph, in order.
    """

    sha256: str
    size: Bytes
    passes: tuple[str, ...]
    notes: tuple[str, ...]


def read_manifest(folder: Path) -> ArtifactManifest:
    """Read an artifact's record. Raises OSError, pydantic.ValidationError."""
    adapter = TypeAdapter(ArtifactManifest)
    return adapter.validate_json((folder / RECORD_FILE).read_bytes())


def write_record(manifest: ArtifactManifest, folder: Path) -> None:
    """Write what lies in an artifact's folder beside it."""
    record = json.dumps(asdict(manifest), indent=2) + "\n"
    (folder / RECORD_FILE).write_text(record, encoding="utf-8")


def adopt_model(model: bytes, folder: Path) -> None:
    """Write an artifact into an existing, empty folder whose model was compiled before."""
    (folder / MODEL_FILE).write_bytes(model)
    digest = hashlib.sha256(model).hexdigest()
    write_record(ArtifactManifest(digest, Bytes(len(model)), (), ()), folder)


def complete_context(graph: Path, notes: tuple[str, ...], folder: Path) -> None:
    """Make a folder in which a provider wrote its context binary an artifact.

    graph: what it was made from, which is kept beside it. Its size is that of what is loaded.

    Raises CompileError: the provider wrote something else.
    """
    shutil.copy(graph, folder / GRAPH_FILE)
    names = MODEL_FILE, CONTEXT_FILE
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise CompileError(f"Qualcomm's compiler wrote no {' and no '.join(missing)}.")
    loaded = [(folder / name).read_bytes() for name in names]
    size = Bytes(sum(map(len, loaded)))
    digest = hashlib.sha256(loaded[0]).hexdigest()
    write_record(ArtifactManifest(digest, size, ("context",), notes), folder)


def adopt_context(delivered: Path, folder: Path) -> None:
    """Write an artifact into an existing, empty folder from a context binary as it was delivered.

    Raises OSError.
    """
    for name in (MODEL_FILE, CONTEXT_FILE):
        shutil.copy(delivered / name, folder / name)
    complete_context(delivered / GRAPH_FILE, (), folder)


def adopt_parts(delivered: Path, folder: Path) -> None:
    """Write an artifact into an existing, empty folder from a pipeline as it was delivered.

    Its folder holds the compiled parts as they are, with their records. Raises OSError.
    """
    for path in (RECORD_FILE, PIPELINE_FILE):
        shutil.copy(delivered / path, folder / path)
    for part in parse_pipeline((delivered / PIPELINE_FILE).read_bytes()).parts:
        shutil.copytree(delivered / part.folder, folder / part.folder)


def adopt_package(package: Path, folder: Path, engine: CPackage | CPackageEmulated) -> None:
    """Write an artifact into an existing, empty folder from a package as it was delivered.

    It runs the very library, or the emulated program, that the package has.

    Raises InputError: it is no whole package. Raises CompileError: it cannot be linked here.
    """
    compiled = reopen_package(package, folder, c_compiler(engine))
    manifest = ArtifactManifest(compiled.sha256, compiled.flash_bytes, (), compiled.notes)
    write_record(manifest, folder)
