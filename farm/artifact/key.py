"""The content address of an artifact."""

from __future__ import annotations

import hashlib
import json

from farm.artifact.engines import c_compiler
from farm.artifact.precision import float_of
from farm.candidate import Candidate, OnnxRuntimeCpu, PackageEngine, StaticInt8, canonical
from farm.codegen.digest import generator_digest


def artifact_key(
    model_sha256: str,
    shapes_digest: str,
    candidate: Candidate,
    calibration_digest: str,
    versions: str,
) -> str:
    """The content address of an artifact: candidates that compile to the same one share it.

    versions: of everything that takes part in compiling, but for C compilers.

    Raises CompileError when the candidate's C compiler is not there.
    """
    parts = {
        "model": model_sha256,
        "shapes": shapes_digest,
        "precision": canonical(float_of(candidate)),
        "rewritten": candidate.rewritten,
        "saved": _saved_graph(candidate),
        "calibration": calibration_digest if _is_calibrated(candidate) else None,
        "versions": versions,
    }
    if candidate.batch > 1:
        parts["batch"] = candidate.batch
    if isinstance(candidate.engine, PackageEngine):
        label = c_compiler(candidate.engine).label
        parts["package"] = [candidate.engine.target, label, generator_digest()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _saved_graph(candidate: Candidate) -> list[str] | None:
    match candidate.engine:
        case OnnxRuntimeCpu(saved_graph=True) as engine:
            return [str(engine.graph_level), *engine.disabled_optimizers]
        case _:
            return None


def _is_calibrated(candidate: Candidate) -> bool:
    return isinstance(candidate.precision.quantization, StaticInt8)
