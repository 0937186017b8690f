"""Sessions on a GPU. The GPU is a stand-in: the CPU provider, which says that it is CUDA's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.candidate import Candidate, OnnxRuntimeCuda, OnnxRuntimeTensorRt
from farm.session.of_candidate import session_spec
from farm.session.spec import SessionSpec
from tests import models
from tests.nvidia import cpu_as_gpu
from tests.nvidia.pretended import PretendedGpus
from workers.engines.onnxruntime.on_device import OnDeviceSession, load_libraries
from workers.engines.session import EngineError, NotAsPlannedError

CUDA = OnnxRuntimeCuda()


@pytest.fixture(autouse=True)
def pretended(gpus: PretendedGpus) -> PretendedGpus:
    gpus.pretend_here()
    return gpus


def spec(engine: OnnxRuntimeCuda | OnnxRuntimeTensorRt = CUDA) -> SessionSpec:
    found = session_spec(Candidate(engine))
    assert isinstance(found, SessionSpec)
    return found


def loaded(folder: Path, engine: OnnxRuntimeCuda | OnnxRuntimeTensorRt = CUDA) -> OnDeviceSession:
    return OnDeviceSession(models.save(models.mlp(), folder), spec(engine))


def feeds(session: OnDeviceSession, value: float) -> dict[str, np.ndarray]:
    (given,) = session._session.get_inputs()
    return {given.name: np.full(given.shape, value, np.float32)}


def test_outputs_are_those_of_the_inputs_that_are_given(tmp_path):
    session = loaded(tmp_path)
    real = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for value in (1.0, 2.0, 1.0):
        asked = feeds(session, value)
        np.testing.assert_array_equal(session.run(asked)[0], real.run(None, asked)[0])


def test_inputs_of_the_caller_are_left_alone(tmp_path):
    session = loaded(tmp_path)
    first = feeds(session, 1.0)
    session.set_feeds(first)
    session.run(feeds(session, 2.0))
    assert np.all(next(iter(first.values())) == 1.0)


def test_timed_runs_have_the_chosen_input_whatever_ran_between(tmp_path):
    session = loaded(tmp_path)
    session.set_feeds(feeds(session, 1.0))
    wanted = session.run(feeds(session, 1.0))[0]
    session.run(feeds(session, 2.0))
    assert session.timed(2) > 0
    np.testing.assert_array_equal(session._binding.take()[0], wanted)


def test_both_ways_of_timing(tmp_path):
    session = loaded(tmp_path)
    session.set_feeds(feeds(session, 1.0))
    assert session.on_device
    assert session.timed(3) > 0
    assert session.with_transfers(3) > 0


def test_addresses_stay(tmp_path):
    """A recorded graph reads and writes nothing but these."""
    session = loaded(tmp_path, OnnxRuntimeCuda(cuda_graph=True))
    session.run(feeds(session, 1.0))
    places = {name: value.data_ptr() for name, value in session._binding._inputs.items()}
    session.set_feeds(feeds(session, 2.0))
    session.timed(1)
    assert places == {n: v.data_ptr() for n, v in session._binding._inputs.items()}


def test_callers_have_inputs_of_their_own_but_for_recorded_graphs(tmp_path):
    session = loaded(tmp_path)
    session.set_feeds(feeds(session, 1.0))
    with session.callers(2) as callers:
        assert len({id(each._binding) for each in callers}) == 2
        assert all(each.timed(1) > 0 for each in callers)
    recorded = loaded(tmp_path, OnnxRuntimeCuda(cuda_graph=True))
    recorded.set_feeds(feeds(recorded, 1.0))
    with recorded.callers(2) as callers:
        assert list(callers) == [recorded, recorded]


def test_an_output_whose_size_varies(tmp_path):
    node = make_node("NonZero", ["x"], ["y"])
    output = models.value("y", [1, None], onnx.TensorProto.INT64)
    proto = models.build([node], [models.value("x", [4])], [output], {})
    session = OnDeviceSession(models.save(proto, tmp_path), spec())
    for values in ([0, 1, 0, 1], [1, 1, 1, 0]):
        array = np.array(values, np.float32)
        np.testing.assert_array_equal(session.run({"x": array})[0][0], np.flatnonzero(array))


def test_a_part_of_a_pipeline_goes_by_way_of_the_gpu(tmp_path):
    session = loaded(tmp_path)
    asked = feeds(session, 1.0)
    wanted = session.run(asked)[0]
    place = np.zeros_like(wanted)
    session.bound(asked, [place])()
    np.testing.assert_array_equal(place, wanted)


class TestWhatDoesNotRunWhereItWasAskedFor:
    def test_a_provider_that_did_not_start(self, tmp_path, monkeypatch):
        monkeypatch.setenv(cpu_as_gpu.REFUSES, "*")
        with pytest.raises(NotAsPlannedError, match="CUDAExecutionProvider took none of the"):
            loaded(tmp_path)

    def test_an_operator_that_it_refuses(self, tmp_path, monkeypatch):
        monkeypatch.setenv(cpu_as_gpu.REFUSES, "Relu")
        with pytest.raises(NotAsPlannedError, match="CUDAExecutionProvider did not take"):
            loaded(tmp_path)
        session = loaded(tmp_path, OnnxRuntimeCuda(cpu_operators=True))
        assert set(session.assignment) == {"CUDAExecutionProvider", "CPUExecutionProvider"}

    def test_there_is_no_gpu(self, tmp_path, pretended):
        pretended.tell(init=9)
        with pytest.raises(EngineError, match=r"No NVIDIA GPU can be used: the NVIDIA driver is"):
            loaded(tmp_path)


def test_providers_beside_tensorrt(tmp_path):
    session = loaded(tmp_path, OnnxRuntimeTensorRt(cuda_operators=True))
    names = [name for name, _ in session._session.given_providers]
    assert names == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    assert set(session.assignment) == {"TensorrtExecutionProvider"}


def test_what_fails_while_it_runs(tmp_path, monkeypatch):
    session = loaded(tmp_path)
    monkeypatch.setenv(cpu_as_gpu.FAILS, "CUDA failure 700: an illegal memory access")
    with pytest.raises(EngineError, match="CUDA failure 700"):
        session.run(feeds(session, 1.0))


def test_libraries_come_from_their_packages(monkeypatch):
    asked = []
    monkeypatch.setattr(ort, "preload_dlls", lambda directory=None: asked.append(directory))
    load_libraries(spec())
    assert asked == [""], "not those of another package, such as PyTorch's"
    load_libraries(spec(OnnxRuntimeTensorRt()))  # whose package may be missing
    assert asked == ["", ""]
