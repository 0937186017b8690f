"""OpenVINO on GPUs of Intel. The GPU is a stand-in: see ``tests.intel.cpu_as_gpu``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest

from farm.candidate import Candidate, FloatType, OpenVinoGpu, Precision, StaticInt8
from farm.delivery.winner import write_delivery
from farm.devices.profile import load_profiles
from farm.errors import CompileError
from farm.measurement import Metric, Outcome
from farm.model.model import load_model
from farm.session.of_candidate import on_gpu, session_spec
from farm.session.spec import OpenVinoSpec
from tests import models
from tests.intel.cpu_as_gpu import Memory, pretend
from tests.openvino import require_openvino
from tests.workers import samples
from tests.workers.conftest import MakeWorker
from workers.engines.session import EngineError, NotAsPlannedError
from workers.gpus.intel import listed

if TYPE_CHECKING:
    from workers.engines.openvino.session import OpenVinoSession

Pretend = Callable[..., Any]


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Make OpenVINO have GPUs of these names; see ``pretend``."""
    require_openvino("openvino-runtime")
    from workers.engines.openvino import session as engine

    real = engine.ov.Core

    def put(*gpus: str, says: tuple[str, ...] = (), memory: Memory = "there") -> Any:
        core = pretend(real, gpus, says, memory)
        monkeypatch.setattr(engine.ov, "Core", core)
        return core

    return put


def spec(number: int = 0) -> OpenVinoSpec:
    found = on_gpu(session_spec(Candidate(OpenVinoGpu())), number)
    assert isinstance(found, OpenVinoSpec)
    return found


def test_the_session_that_is_asked_for() -> None:
    assert session_spec(Candidate(OpenVinoGpu())) == OpenVinoSpec(
        "GPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    many = Candidate(OpenVinoGpu(hint="throughput", streams=2), Precision(FloatType.FLOAT16))
    found = session_spec(many)
    assert isinstance(found, OpenVinoSpec)
    assert found.config["INFERENCE_PRECISION_HINT"] == found.float_type == "f16"
    assert (found.config["PERFORMANCE_HINT"], found.config["NUM_STREAMS"]) == ("THROUGHPUT", "2")
    assert many.label() == "openvino-gpu throughput streams=2 float16"


def test_what_it_does_not_compute_in() -> None:
    with pytest.raises(CompileError, match="GPU device does not compute in bfloat16"):
        session_spec(Candidate(OpenVinoGpu(), Precision(FloatType.BFLOAT16)))
    from farm.artifact.precision import graph_precision

    with pytest.raises(CompileError, match="openvino-gpu engine computes in float32 or float16"):
        graph_precision(Candidate(OpenVinoGpu(), Precision(quantization=StaticInt8())))


@pytest.mark.parametrize(
    ("gpus", "number"), [(["GPU"], 0), (["GPU.0", "GPU.1"], 0), (["GPU.0", "GPU.1"], 1)]
)
def test_it_runs_on_the_gpu_of_its_number(
    pretended: Pretend, tmp_path: Path, gpus: list[str], number: int
) -> None:
    from workers.engines.openvino.session import OpenVinoSession

    pretended(*gpus)
    path = models.save(models.mlp(), tmp_path)
    session = OpenVinoSession(path, spec(number))
    (device,) = {name.split()[1] for name in session.assignment}
    assert device == ("GPU.1" if number else "GPU")
    real = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (port,) = real.get_inputs()
    given = {port.name: np.ones(port.shape, np.float32)}
    np.testing.assert_allclose(session.run(given)[0], real.run(None, given)[0], rtol=1e-4)


def test_what_runs_elsewhere_is_refused(pretended: Pretend, tmp_path: Path) -> None:
    from workers.engines.openvino.session import OpenVinoSession

    path = models.save(models.mlp(), tmp_path)
    pretended("GPU", says=("CPU",))
    with pytest.raises(NotAsPlannedError, match="compiled it for CPU, and not for GPU"):
        OpenVinoSession(path, spec())
    pretended("GPU.0", "GPU.1", says=("GPU.0",))
    with pytest.raises(NotAsPlannedError, match=r"compiled it for GPU\.0, and not for GPU\.1"):
        OpenVinoSession(path, spec(1))
    pretended()
    with pytest.raises(EngineError, match="name is not registered"):
        OpenVinoSession(path, spec())


def test_the_profile_tells_of_its_kernels(pretended: Pretend, tmp_path: Path) -> None:
    from workers.engines.openvino import profile as openvino_profile

    pretended("GPU")
    given = {models.mlp().graph.input[0].name: np.ones((1, 32), np.float32)}
    found = openvino_profile.profile(models.save(models.mlp(), tmp_path), spec(), given, 0.01)
    assert {kernel.kind for kernel in found.kernels} >= {"FullyConnected"}


def loaded(folder: Path) -> tuple[OpenVinoSession, dict[str, np.ndarray]]:
    from workers.engines.openvino.session import OpenVinoSession

    proto = models.mlp()
    session = OpenVinoSession(models.save(proto, folder), spec())
    given = {proto.graph.input[0].name: np.ones((1, 32), np.float32)}
    session.set_feeds(given)
    return session, given


class TestDataOnTheGpu:
    """Tensors of the pretended GPU are the host's, so that no time here says anything."""

    def test_timed_runs_read_and_write_there(self, pretended: Pretend, tmp_path: Path) -> None:
        core = pretended("GPU")
        session, given = loaded(tmp_path)
        wanted = session.run(given)[0]
        assert not core.context.made  # what only runs has no use for it
        assert session.timed(2) > 0
        assert session.on_device
        taken, written = core.context.made
        np.testing.assert_array_equal(taken.held.data, *given.values())
        np.testing.assert_allclose(written.held.data, wanted, rtol=1e-6)
        written.held.data[:] = 0.0
        assert session.with_transfers(1) > 0
        assert not written.held.data.any()
        session.timed(1)
        np.testing.assert_allclose(written.held.data, wanted, rtol=1e-6)

    def test_of_another_input_there_are_other_tensors(
        self, pretended: Pretend, tmp_path: Path
    ) -> None:
        core = pretended("GPU")
        session, given = loaded(tmp_path)
        session.timed(1)
        other = {name: 2.0 * array for name, array in given.items()}
        session.set_feeds(other)
        session.timed(1)
        np.testing.assert_array_equal(core.context.made[2].held.data, *other.values())
        np.testing.assert_allclose(
            core.context.made[3].held.data, session.run(other)[0], rtol=1e-6
        )

    def test_callers_have_tensors_of_their_own(self, pretended: Pretend, tmp_path: Path) -> None:
        core = pretended("GPU")
        session, _ = loaded(tmp_path)
        session.timed(1)
        with session.callers(2) as callers:
            assert all(each.on_device for each in callers)
            assert len(core.context.made) == 6
        core.context._memory = "full"
        with pytest.raises(EngineError, match="ALLOCATION_FAILURE"), session.callers(2):
            pass

    def test_that_there_is_no_room_is_no_reason_to_stay_away(
        self, pretended: Pretend, tmp_path: Path
    ) -> None:
        """In the next process there may be some, and both would be of one trial."""
        from workers.child.main import Runner, answer

        pretended("GPU", memory="full")
        runner = Runner()
        runner._session = loaded(tmp_path)[0]
        told = answer(runner, {"command": "calibrate", "target": 1e-4})
        assert told["error"] == {
            "outcome": "out-of-memory",
            "message": "[GPU] CL_MEM_OBJECT_ALLOCATION_FAILURE",
        }

    @pytest.mark.parametrize(
        ("memory", "why"),
        [
            ("missing", "Context was not initialized for GPU device"),
            ("closed", "Remote tensors are not supported"),
            ("another", "output y is another one there."),
        ],
    )
    def test_what_cannot_stay_there_is_timed_from_the_host_and_says_so(
        self, pretended: Pretend, tmp_path: Path, memory: Memory, why: str
    ) -> None:
        pretended("GPU", memory=memory)
        session, _ = loaded(tmp_path)
        assert session.timed(1) > 0
        assert not session.on_device
        assert why in session.kept_off

    def test_a_trial_says_which_of_both_it_was(self, pretended: Pretend, tmp_path: Path) -> None:
        from workers.child.main import Runner
        from workers.trials.trial import _device_notes, _of_device

        for memory in ("there", "closed"):
            pretended("GPU", memory=memory)
            runner = Runner()
            runner._session = loaded(tmp_path)[0]
            runner.calibrate(1e-4)
            reading = runner.device(1)
            metrics = [each.metric for each in _of_device(reading, 1e-3)]
            if memory == "there":
                assert (metrics, [*_device_notes(reading)]) == ([Metric.WITH_TRANSFERS], [])
            else:
                assert metrics == []
                (note,) = _device_notes(reading)
                assert note == (
                    "Latency is from and to the host's memory, because the data could not stay "
                    "in the GPU's: [GPU] Remote tensors are not supported"
                )


class TestWhereThereIsNone:
    """The real OpenVINO of this machine."""

    @pytest.fixture(autouse=True)
    def none(self) -> None:
        require_openvino("openvino-runtime")
        if listed("").gpus:
            pytest.skip("there is a GPU of Intel")

    def test_nothing_runs_on_the_processor(self, make_worker: MakeWorker) -> None:
        worker = make_worker(load_profiles()["gpu-intel"])
        worker.prepare(samples.workload(models.mlp()))
        report = worker.run_trial(samples.job(Candidate(OpenVinoGpu())))
        assert report.outcome is Outcome.RUN_ERROR
        assert report.measurements == ()

    def test_a_delivered_program_says_so(self, tmp_path: Path) -> None:
        path = models.save(models.mlp(), tmp_path)
        folder, model = tmp_path / "delivered", load_model(path)
        write_delivery(folder, path.read_bytes(), spec(1), model.inputs, "{}")
        done = subprocess.run(
            [sys.executable, str(folder / "run.py")], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "It was measured on OpenVINO's GPU.1, and here there is CPU.\n"
