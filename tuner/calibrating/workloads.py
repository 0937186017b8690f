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
from farm.model.model import Model, TensorSpec, load_model
from workers.jobs import Part, Workload


@dataclass(frozen=True, slots=True)
class Probed:
    """A model that a place is calibrated with.

    workload: with the same made-up sample for every part. operators: by name, in its order.
    weighs: see ``farm.costs.probes``. seconds: about so long it is run for a profile.
    """

    name: str
    workload: Workload
    operators: Mapping[str, CostedOperator]
    weighs: bool = False
    seconds: float = 0.4


def probed(name: str, proto: ModelProto, *, weighs: bool = False, seconds: float = 0.4) -> Probed:
    """Make a model ready to be run."""
    with temporary_folder("probe") as folder:
        save_model(proto, folder / "probe.onnx")
        model = load_model(folder / "probe.onnx")
    operators = costed_operators(model.proto, build_graph(model))
    by_name = {op.name: op for op in operators}
    return Probed(name, _workload(model), by_name, weighs, seconds)


def _workload(model: Model) -> Workload:
    random = np.random.default_rng(0)
    sample = {spec.name: _values(spec, random) for spec in model.inputs}
    content, data = model.proto.SerializeToString(deterministic=True), _npz(sample)
    digest = hashlib.sha256(content)
    digest.update(data)
    return Workload(
        digest.hexdigest()[:32],
        content,
        model.sha256,
        dict.fromkeys(Part, data),
        outputs=tuple(output.name for output in model.outputs),
    )


def _values(spec: TensorSpec, random: np.random.Generator) -> NDArray[np.generic]:
    """One sample: normal numbers; of integers, which may be positions, zeros."""
    shape = (1, *spec.shape)
    if np.issubdtype(spec.dtype, np.floating):
        return random.standard_normal(shape, dtype=np.float32).astype(spec.dtype)
    return np.zeros(shape, spec.dtype)


def _npz(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
