"""Workloads and jobs for the tests: small models with a few random samples."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime as ort
from onnx import ModelProto
from onnx.helper import make_node, tensor_dtype_to_np_dtype

from farm.candidate import Candidate, Fake
from farm.devices.profile import DeviceProfile, load_profiles
from tests import models
from workers.jobs import Limits, Part, TrialJob, Workload

LIMITS = Limits(load_seconds=20, compile_seconds=30, evaluate_seconds=20, measure_seconds=10)
SAMPLES = 6


def cpu_profile() -> DeviceProfile:
    return load_profiles()["cpu"]


def fake_profile() -> DeviceProfile:
    return load_profiles()["fake"]


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def workload(
    proto: ModelProto,
    key: str = "w",
    labels: np.ndarray | None = None,
    count: int = SAMPLES,
) -> Workload:
    """Normal samples for every part, six of them."""
    random = np.random.default_rng(3)
    parts = {}
    for part in Part:
        arrays = {}
        for given in proto.graph.input:
            shape = [d.dim_value for d in given.type.tensor_type.shape.dim]
            kind = tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
            arrays[given.name] = random.standard_normal((count, *shape)).astype(kind)
        parts[part] = npz(**arrays)
    told = {} if labels is None else dict.fromkeys(Part, npy(labels))
    return Workload(key, proto.SerializeToString(), "0" * 64, parts, told)


def classes(proto: ModelProto) -> np.ndarray:
    """The class that ``proto`` gives each search sample of its :func:`workload`."""
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    with np.load(io.BytesIO(workload(proto).parts[Part.SEARCH])) as archive:
        (name,) = archive.files
        images = archive[name]
    return np.array([session.run(None, {name: image})[0].argmax() for image in images])


def job(
    candidate: Candidate, trial_id: str = "t", key: str = "w", limits: Limits = LIMITS
) -> TrialJob:
    return TrialJob(trial_id, key, candidate, Part.SEARCH, limits)


def fake(trial_id: str = "t", limits: Limits = LIMITS, **options: object) -> TrialJob:
    """A job for the fake engine; options: of ``farm.candidate.Fake``."""
    return job(Candidate(Fake(**options)), trial_id, limits=limits)  # type: ignore[arg-type]


def named_conv_net() -> ModelProto:
    """``models.conv_net`` with names, as the farm's model reader gives them."""
    proto = models.conv_net()
    for i, node in enumerate(proto.graph.node):
        node.name = f"{node.op_type}_{i}"
    return proto


def det_net() -> ModelProto:
    """A determinant between two operators: OpenVINO's CPU device has no Det."""
    nodes = [
        make_node("MatMul", ["x", "w"], ["m"], name="product"),
        make_node("Det", ["m"], ["d"], name="determinant"),
        make_node("Neg", ["d"], ["y"], name="negative"),
    ]
    stored = models.weights(w=(4, 4))
    return models.build(nodes, [models.value("x", [1, 4, 4])], [models.value("y", [1])], stored)


def only_det_net() -> ModelProto:
    """Nothing but the operator that OpenVINO refuses."""
    nodes = [make_node("Det", ["x"], ["y"], name="determinant")]
    return models.build(nodes, [models.value("x", [1, 4, 4])], [models.value("y", [1])], {})


def slow_net(trips: int = 12) -> ModelProto:
    """Chained products of 1024 x 1024: ten or more milliseconds each on one core."""
    names = ["x", *(f"m{i}" for i in range(1, trips)), "y"]
    nodes = [
        make_node("MatMul", [names[i], "w"], [names[i + 1]], name=f"product{i}")
        for i in range(trips)
    ]
    stored = models.weights(w=(1024, 1024))
    shape = [1024, 1024]
    return models.build(nodes, [models.value("x", shape)], [models.value("y", shape)], stored)
