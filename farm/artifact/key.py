"""The content address of an artifact."""

from __future__ import annotations

import hashlib
import json

from farm.artifact.engines import c_compiler
from farm.artifact.precision import float_of
from farm.candidate import (
    Candidate,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    PackageEngine,
    Pipeline,
    StaticInt8,
    WholeEngine,
    canonical,
)
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
        "saved": _saved_graph(candidate.engine),
        "calibration": calibration_digest if _is_calibrated(candidate) else None,
        "versions": versions,
    }
    if candidate.batch > 1:
        parts["batch"] = candidate.batch
    if isinstance(candidate.engine, OnnxRuntimeWebGpu) and candidate.engine.on_cpu:
        parts["on_cpu"] = sorted(candidate.engine.on_cpu)
    if isinstance(candidate.engine, PackageEngine):
        parts["package"] = _package(candidate.engine)
    if isinstance(candidate.engine, Pipeline):
        parts["parts"] = [
            {
                "operators": part.operators,
                "place": part.place,
                "saved": _saved_graph(part.engine),
                "package": _package(part.engine)
                if isinstance(part.engine, PackageEngine)
                else None,
            }
            for part in candidate.engine.parts
        ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _package(engine: PackageEngine) -> list[str]:
    """What decides on the bytes of a package. Raises CompileError: its compiler is not there."""
    return [engine.target, c_compiler(engine).label, generator_digest()]


def _saved_graph(engine: WholeEngine | Pipeline) -> list[str] | None:
    match engine:
        case OnnxRuntimeCpu(saved_graph=True) as engine:
            return [str(engine.graph_level), *engine.disabled_optimizers]
        case _:
            return None


def _is_calibrated(candidate: Candidate) -> bool:
    return isinstance(candidate.precision.quantization, StaticInt8)
