"""ONNX Runtime obeys the options of a candidate; what it would ignore silently is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from farm.candidate import Candidate, OnnxRuntimeCpu, OpenVino
from farm.session.of_candidate import session_spec
from farm.session.spec import THREAD_AFFINITIES, SessionSpec
from tests import models
from workers.engines.onnxruntime.placement import checked_assignment
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.engines.session import EngineError, NotAsPlannedError
from workers.meters.latency import settle

ROOT = Path(__file__).parents[3]
USABLE = sorted(os.sched_getaffinity(0))


def spec(engine: OnnxRuntimeCpu) -> SessionSpec:
    found = session_spec(Candidate(engine))
    assert isinstance(found, SessionSpec)
    return found


def wide_net() -> onnx.ModelProto:
    """One matrix product that is worth a second thread."""
    weights = models.weights(w=(256, 256))
    ends = [models.value("x", [256, 256])], [models.value("y", [256, 256])]
    return models.build([make_node("MatMul", ["x", "w"], ["y"])], *ends, weights)


def loaded(tmp_path: Path, engine: OnnxRuntimeCpu) -> OnnxRuntimeSession:
    session = OnnxRuntimeSession(models.save(wide_net(), tmp_path), spec(engine))
    session.set_feeds({"x": np.ones((256, 256), np.float32)})
    return session


def idle_seconds(session: OnnxRuntimeSession) -> float:
    """Processor time after a run, while nothing is asked of the session."""
    session.timed(5)
    before = time.process_time()
    time.sleep(0.03)
    return time.process_time() - before


def test_threads_spin_as_long_as_they_are_told(tmp_path):
    def spent(engine: OnnxRuntimeCpu) -> float:
        session, seconds = loaded(tmp_path, engine), []
        for _ in range(10):
            settle()
            seconds.append(idle_seconds(session))
        return float(np.median(seconds))

    # One after the other: on a busy machine some threads begin to spin late, and then for long.
    short = spent(OnnxRuntimeCpu(threads=2, spin_microseconds=20))
    assert spent(OnnxRuntimeCpu(threads=2)) > 3 * short


def test_nothing_spins_after_it_settled(tmp_path):
    session = loaded(tmp_path, OnnxRuntimeCpu(threads=2, spin_microseconds=5_000))
    session.timed(5)
    settle()
    before = time.process_time()
    time.sleep(0.03)
    assert time.process_time() - before < 0.01


@pytest.mark.skipif(USABLE[:2] != [0, 1], reason="a second processor is needed")
def test_threads_are_pinned(tmp_path):
    session = loaded(tmp_path, OnnxRuntimeCpu(threads=2, pinning=True))
    tasks = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    assert {1} in [os.sched_getaffinity(task) for task in tasks]
    assert session.timed(1) > 0


def test_a_processor_that_is_not_there_is_no_silent_omission(tmp_path):
    path = models.save(wide_net(), tmp_path)
    asked = SessionSpec(
        "CPUExecutionProvider",
        config_entries={THREAD_AFFINITIES: "900"},
        intra_op_num_threads=2,
        allow_cpu_fallback=True,
    )
    with pytest.raises(
        NotAsPlannedError, match=r"stays on logical processor 900, as it was asked"
    ):
        OnnxRuntimeSession(path, asked)


def test_a_plugin_that_is_not_installed_and_what_installs_it(tmp_path, monkeypatch):
    asked = session_spec(Candidate(OpenVino(threads=1)))
    assert isinstance(asked, SessionSpec)
    monkeypatch.setitem(sys.modules, asked.plugin, None)
    with pytest.raises(EngineError) as caught:
        OnnxRuntimeSession(models.save(wide_net(), tmp_path), asked)
    assert str(caught.value) == (
        "OpenVINOExecutionProvider needs the Python package onnxruntime_ep_openvino, which is "
        "not installed: pip install onnxruntime-ep-openvino."
    )


@pytest.mark.parametrize(("denormals_as_zero", "expected"), [(False, 5e-41), (True, 0.0)])
def test_denormals(tmp_path, denormals_as_zero, expected):
    """In a process of its own: ONNX Runtime takes what the first session of a process says."""
    node = make_node("Mul", ["x", "half"], ["y"])
    ends = [models.value("x", [64])], [models.value("y", [64])]
    path = models.save(models.build([node], *ends, {"half": np.float32(0.5)}), tmp_path)
    program = f"""
        import numpy as np
        from pathlib import Path
        from farm.candidate import Candidate, OnnxRuntimeCpu
        from farm.session.of_candidate import session_spec
        from workers.engines.onnxruntime.session import OnnxRuntimeSession
        engine = OnnxRuntimeCpu(threads=1, denormals_as_zero={denormals_as_zero})
        session = OnnxRuntimeSession(Path({str(path)!r}), session_spec(Candidate(engine)))
        print(float(session.run({{"x": np.full(64, 1e-40, np.float32)}})[0][0]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert float(done.stdout) == pytest.approx(expected, rel=1e-3), done.stderr


def test_without_an_arena_outputs_are_the_same(tmp_path):
    feeds = {"x": np.random.default_rng(2).standard_normal((256, 256)).astype(np.float32)}
    engines = (OnnxRuntimeCpu(threads=1), OnnxRuntimeCpu(threads=1, memory_arena=False))
    ours, theirs = (loaded(tmp_path, engine).run(feeds)[0] for engine in engines)
    np.testing.assert_array_equal(ours, theirs)


class TestVersionsThatDoNotTellWhereOperatorsRun:
    """ONNX Runtime before 1.24."""

    @pytest.fixture(autouse=True)
    def old(self, monkeypatch):
        session = "onnxruntime.capi.onnxruntime_inference_collection.Session"
        monkeypatch.delattr(f"{session}.get_provider_graph_assignment_info")

    def test_on_the_cpu_provider_there_is_nowhere_else(self, tmp_path):
        path = models.save(models.mlp(), tmp_path)
        session = OnnxRuntimeSession(path, session_spec(Candidate(OnnxRuntimeCpu())))
        assert session.assignment == {}

    def test_on_another_one_it_is_not_taken_for_granted(self, tmp_path):
        path = models.save(models.mlp(), tmp_path)
        session = OnnxRuntimeSession(path, session_spec(Candidate(OnnxRuntimeCpu())))
        with pytest.raises(
            NotAsPlannedError, match=r"does not tell whether OtherProvider runs an"
        ):
            checked_assignment(session._session, SessionSpec("OtherProvider"), session._placed_in)
