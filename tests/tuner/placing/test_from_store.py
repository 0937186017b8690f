"""From a calibration in a store to a problem of placement."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.store import Store
from farm.candidate import CPackageEmulated
from farm.devices.profile import load_profiles
from farm.errors import DeviceError
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.placement.solution import Solution
from farm.plan.solution import Status
from farm.prediction import Basis
from farm.units import Seconds
from tests.db.samples import MACHINE
from tests.models import conv_net, save
from tests.tuner.calibrating.timed import FEW, LAUNCH, OVERHEAD, TimedExecutor
from tuner.calibrating.calibrate import calibrate
from tuner.placing.from_store import problem_from_store

CPU, DSP = load_profiles()["cpu"], load_profiles()["dsp"]


@pytest.fixture
def store() -> Store:
    """With calibrations of two devices of one machine."""
    opened = Store.open(":memory:")
    packages = (CPackageEmulated(target="hexagon-v67-hvx"),)
    for profile, executor in (
        (CPU, TimedExecutor()),
        (DSP, TimedExecutor(("cpackage-emulated",), packages)),
    ):
        calibrate(opened, executor, profile, 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
    return opened


def test_a_model_is_priced_at_every_place_of_the_devices(store: Store, tmp_path: Path) -> None:
    save(conv_net(), tmp_path)
    model = load_model(tmp_path / "model.onnx")
    priced, places = problem_from_store(store, model, build_graph(model), [CPU, DSP], MACHINE.id)
    names = [each.place.name for each in places]
    assert names == ["cpu/onnxruntime-cpu", "cpu/openvino-runtime", "dsp/cpackage-emulated"]
    problem = priced.problem
    assert all(set(op.costs) == set(names) for op in problem.operators)
    assert {g.place for g in problem.groups} == set(names), "convolutions with their activations"
    order = tuple(op.name for op in problem.operators)
    plan = Solution(dict.fromkeys(order, names[0]), order, 0.0, 0.0, Status.FEASIBLE, Seconds(0.0))
    whole = priced.total(plan)
    assert whole.basis is Basis.ROOFLINE
    kernels = len(order) - 2  # two activations are free
    assert whole.value == pytest.approx(LAUNCH + kernels * OVERHEAD, rel=0.5)


@pytest.mark.parametrize(
    ("device", "engines", "place"),
    [
        ("gpu", ("onnxruntime-cuda", "onnxruntime-tensorrt"), "gpu/onnxruntime-cuda"),
        ("gpu-intel", ("openvino-gpu",), "gpu-intel/openvino-gpu"),
    ],
)
def test_a_gpu_is_a_place_beside_the_processor(
    store: Store, tmp_path: Path, device: str, engines: tuple[str, ...], place: str
) -> None:
    gpu = load_profiles()[device]
    calibrate(store, TimedExecutor(engines), gpu, 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
    save(conv_net(), tmp_path)
    model = load_model(tmp_path / "model.onnx")
    priced, places = problem_from_store(store, model, build_graph(model), [CPU, gpu], MACHINE.id)
    assert [each.place.name for each in places][-1] == place
    for ends in (("cpu/onnxruntime-cpu", place), (place, "cpu/onnxruntime-cpu")):
        assert ends in priced.problem.links
    assert all(place in op.costs for op in priced.problem.operators)


def test_a_device_that_was_never_calibrated(store: Store, tmp_path: Path) -> None:
    save(conv_net(), tmp_path)
    model = load_model(tmp_path / "model.onnx")
    small = load_profiles()["dsp-small"]
    with pytest.raises(DeviceError, match="farm devices calibrate dsp-small"):
        problem_from_store(store, model, build_graph(model), [CPU, small], MACHINE.id)
