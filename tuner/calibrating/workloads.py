"""From a model of many kernels to what a worker runs, and to the operators in it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, save_model

from farm.costs.operators import CostedOperator, costed_operators
from farm.host.temporary import temporary_folder
from farm.model.graph import build_graph
from farm.model.model import Model, load_model
from workers.jobs import Part, Workload


@dataclass(frozen=True, slots=True)
class Probed:
    """A model that a place is calibrated with.

    workload: with the same made-up sample for every part. operators: by name, in its order.
    weighs: see ``farm.costs.probes``.
    """

    name: str
    workload: Workload
    operators: Mapping[str, CostedOperator]
    weighs: bool = False


def probed(name: str, proto: ModelProto, *, weighs: bool = False) -> Probed:
    """Make a model ready to be run."""
    with temporary_folder("probe") as folder:
        save_model(proto, folder / "probe.onnx")
        model = load_model(folder / "probe.onnx")
    operators = costed_operators(model.proto, build_graph(model))
    return Probed(name, _workload(model), {op.name: op for op in operators}, weighs)


def _workload(model: Model) -> Workload:
    random = np.random.default_rng(0)
    sample = {
        spec.name: random.standard_normal((1, *spec.shape), dtype=np.float32)
        for spec in model.inputs
    }
    content, data = model.proto.SerializeToString(deterministic=True), _npz(sample)
    digest = hashlib.sha256(content)
    digest.update(data)
    return Workload(
        digest.hexdigest()[:32],
        content,
        model.sha256,
        dict.fromkeys((Part.CALIBRATION, Part.SEARCH), data),
        outputs=tuple(output.name for output in model.outputs),
    )


def _npz(arrays: Mapping[str, NDArray[np.float32]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
