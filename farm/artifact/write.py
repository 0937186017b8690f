"""Writes the artifact of a graph that was compiled."""

from __future__ import annotations

import hashlib
from pathlib import Path

from farm.artifact.folder import MODEL_FILE, ArtifactManifest, write_record
from farm.compile.passes import Compiled, reported_as
from farm.units import Bytes


def write_model(compiled: Compiled, folder: Path) -> ArtifactManifest:
    """Write the artifact of a compiled graph. Raises CompileError: it is too large a file."""
    with reported_as("write"):
        content = compiled.model.SerializeToString(deterministic=True)
    digest = hashlib.sha256(content).hexdigest()
    manifest = ArtifactManifest(digest, Bytes(len(content)), compiled.passes, compiled.notes)
    (folder / MODEL_FILE).write_bytes(content)
    write_record(manifest, folder)
    return manifest
