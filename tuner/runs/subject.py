"""What is tuned or measured: a model with its data, loaded and checked."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farm.accuracy.metric import load_metric, metric_source
from farm.dataset import MIN_SAMPLES, Dataset, Splits, load_dataset, split, synthetic_dataset
from farm.dataset import Part as DataPart
from farm.devices.energy import Work
from farm.model.graph import Graph, build_graph
from farm.model.model import Model, load_model
from farm.model.randomness import random_operators
from farm.units import Bytes
from tuner.request import TuneRequest
from workers.jobs import Part, Workload

SYNTHETIC_SAMPLES = 4 * MIN_SAMPLES


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tuned: the model and its data, loaded and checked."""

    model: Model
    graph: Graph
    dataset: Dataset
    splits: Splits
    workload: Workload

    @property
    def work(self) -> Work:
        """What one run does, for the energy model."""
        live = [op for op in self.graph.operators if not op.folded]
        return Work(
            self.graph.macs,
            Bytes(sum(op.weight_bytes for op in live)),
            Bytes(sum(op.activation_bytes for op in live)),
        )


def load_subject(request: TuneRequest) -> Subject:
    """Load and check everything that a request names. Raises InputError."""
    if request.metric:
        load_metric(request.metric, metric_source(request.metric))
    model = load_model(Path(request.model), request.shapes)
    if request.data:
        dataset = load_dataset(Path(request.data), model)
    else:
        dataset = synthetic_dataset(model, SYNTHETIC_SAMPLES, request.seed)
    splits = split(dataset, request.seed)
    return Subject(model, build_graph(model), dataset, splits, _workload(request, model, splits))


def _workload(request: TuneRequest, model: Model, splits: Splits) -> Workload:
    parts = {
        Part.CALIBRATION: splits.calibration,
        Part.SEARCH: splits.search,
        Part.CONFIRMATION: splits.confirmation,
    }
    arrays = {part: _npz(data) for part, data in parts.items()}
    labels = {p: _npy(d.labels) for p, d in parts.items() if d.labels is not None}
    content = model.proto.SerializeToString(deterministic=True)
    digest = hashlib.sha256(content)
    source = metric_source(request.metric)
    for piece in (*arrays.values(), *labels.values(), request.metric.encode(), source.encode()):
        digest.update(piece)
    return Workload(
        digest.hexdigest()[:32],
        content,
        model.sha256,
        arrays,
        labels,
        request.metric,
        source,
        outputs=tuple(output.name for output in model.proto.graph.output),
        random=random_operators(model.proto),
    )


def _npz(part: DataPart) -> bytes:
    buffer = io.BytesIO()
    inputs = part.dataset.inputs
    np.savez(buffer, **{name: array[part.indices] for name, array in inputs.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def _npy(labels: NDArray[np.int64]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, labels, allow_pickle=False)
    return buffer.getvalue()
