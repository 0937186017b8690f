"""The profile commands of the child that compiles: what comes before and after an engine's own.

Before: a copy of the artifact whose names survive. Afterwards: kernels are mapped to operators.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import onnx
from pydantic import TypeAdapter

from farm.profile.chain import chain
from farm.profile.kernels import (
    CHAIN_FILE,
    MODEL_FILE,
    OPTIMISED_FILE,
    EngineProfile,
    OperatorProfile,
    measured_profile,
)
from farm.profile.mapping import Origin, of_optimised_graph, of_told_names
from farm.profile.tags import tagged

# Kinds of OpenVINO that run nothing.
_ENDS = frozenset({"Input", "Output", "Const", "Parameter", "Result", "Constant"})
_PROFILE: TypeAdapter[EngineProfile] = TypeAdapter(EngineProfile)


def write_named(artifact: Path, folder: Path) -> dict[str, str]:
    """Write what an engine is to profile into an existing, empty folder.

    artifact: the compiled model. Beside its tagged copy lies a chain to calibrate with.

    Returns the name of each operator in the copy by that in the artifact, where it has one.
    """
    model = onnx.load(artifact)
    copy = tagged(model)
    onnx.save(copy, folder / MODEL_FILE)
    onnx.save(chain(), folder / CHAIN_FILE)
    nodes = zip(model.graph.node, copy.graph.node, strict=True)
    return {node.name: tag.name for node, tag in nodes if node.name}


def map_kernels(
    workload: Path, artifact: Path, folder: Path, profile: str
) -> list[dict[str, Any]]:
    """Rows of ``OperatorProfile``, as plain values, for an engine's kernels.

    folder: that of ``write_named``, with the optimised graph where the engine wrote one.
    profile: JSON text of an ``EngineProfile``.
    """
    kernels = _PROFILE.validate_json(profile).kernels
    model, copy = onnx.load(workload / "model.onnx"), onnx.load(folder / MODEL_FILE)
    origin = Origin.of(onnx.load(artifact), copy, model)
    optimised = folder / OPTIMISED_FILE
    if optimised.exists():
        operators = of_optimised_graph(kernels, onnx.load(optimised), origin)
        rows = measured_profile(kernels, operators)
    else:
        operators = of_told_names(kernels, origin)
        rows = tuple(filter(_has_run, measured_profile(kernels, operators)))
    return [asdict(replace(row, kernel=origin.readable(row.kernel))) for row in rows]


def _has_run(row: OperatorProfile) -> bool:
    """OpenVINO lists what it never runs, too; ONNX Runtime only what ran, in no time or some."""
    return bool(row.seconds) and row.kind not in _ENDS
