"""Pipelines in this process: the same results as the whole model, at places of every kind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from farm.artifact.compiler import Compiler
from farm.artifact.folder import PIPELINE_FILE, read_manifest
from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVinoRuntime,
    PartEngine,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.codegen.build.compilers import CompilerKind, Target, find_compilers
from farm.devices.profile import load_profiles
from farm.session.of_candidate import session_spec
from farm.session.pipeline import TensorRecord, parse_pipeline
from farm.session.spec import SessionSpec
from tests.farm.compile import graphs
from tests.models import build, value
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.engines.pipelines.pipeline import (
    OverlappedPipeline,
    PipelineSession,
    pipeline_session,
)
from workers.engines.pipelines.slots import Layout, opened_block, private_block, shared_block
from workers.engines.session import EngineError, NotAsPlannedError
from workers.environments.interpreters import Interpreters
from workers.meters.latency import calibrate
from workers.protocol import PipelineDescription
from workers.trials.artifacts import Artifact
from workers.trials.places import Places

PROFILES = load_profiles()
ORT, OPENVINO = OnnxRuntimeCpu(threads=1), OpenVinoRuntime(threads=1)
_GCC = any(c.kind is CompilerKind.GCC for c in find_compilers(Target.PORTABLE))
HOST = CPackage(compiler="gcc" if _GCC else "zig")
# With all optimisations a sum may be part of a convolution, and is rounded otherwise elsewhere.
PLAIN = OnnxRuntimeCpu(threads=1, graph_level=GraphLevel.EXTENDED)
FLOAT32, INT8 = Precision(), Precision(quantization=StaticInt8())
FRONT = ("stem", "norm", "stem_relu")
BACK = ("body", "join", "join_relu", "pool", "flat", "head")
FEEDS = graphs.feeds(graphs.residual_net(), 3)


def halves(first: PartEngine, second: PartEngine, *, overlapped: bool = False) -> Pipeline:
    devices = ["dsp" if isinstance(e, CPackageEmulated) else "cpu" for e in (first, second)]
    parts = (PipelinePart(devices[0], first, FRONT), PipelinePart(devices[1], second, BACK))
    return Pipeline(parts, overlapped=overlapped)


class Loader:
    """Compiles pipelines of one model and loads them; closes all in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: list[PipelineSession] = []
        self.compiler = Compiler(graphs.residual_net(), graphs.feeds(graphs.residual_net()))
        self.change: Callable[[PipelineDescription], PipelineDescription] = lambda same: same

    def __call__(self, engine: Pipeline, precision: Precision = FLOAT32) -> PipelineSession:
        candidate = Candidate(engine, precision)
        folder = self._folder / str(len(self._sessions))
        folder.mkdir()
        self.compiler.compile(candidate, folder)
        path = folder / PIPELINE_FILE
        record, size = parse_pipeline(path.read_bytes()), read_manifest(folder).size
        artifact = Artifact("key", path, size, (), pipeline=record)
        places = Places(PROFILES["cpu"], Interpreters(PROFILES["cpu"]), PROFILES)
        description = self.change(places.description(candidate, engine, artifact))
        session = pipeline_session(path, description)
        self._sessions.append(session)
        session.verify()
        session.set_feeds(FEEDS[0])
        return session

    def whole(self, engine: OnnxRuntimeCpu, precision: Precision = FLOAT32) -> list[np.ndarray]:
        """The outputs of the model that was not cut."""
        folder = self._folder / "whole"
        folder.mkdir()
        candidate = Candidate(engine, precision)
        self.compiler.compile(candidate, folder)
        spec = session_spec(candidate)
        assert isinstance(spec, SessionSpec)
        session = OnnxRuntimeSession(folder / "model.onnx", spec)
        return [session.run(feeds)[0] for feeds in FEEDS]

    def close(self) -> None:
        for session in self._sessions:
            session.close()


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Loader]:
    made = Loader(tmp_path)
    yield made
    made.close()


def outputs(session: PipelineSession) -> list[np.ndarray]:
    return [session.run(feeds)[0] for feeds in FEEDS]


class TestSequential:
    @pytest.mark.parametrize("precision", [FLOAT32, INT8])
    def test_parts_of_one_engine_give_the_bits_of_the_whole(self, load, precision):
        session = load(halves(PLAIN, PLAIN), precision)
        for ours, wanted in zip(outputs(session), load.whole(PLAIN, precision), strict=True):
            assert ours.tobytes() == wanted.tobytes()

    def test_parts_of_several_engines_give_the_same_within_rounding(self, load):
        session = load(halves(HOST, OPENVINO))
        for ours, wanted in zip(outputs(session), load.whole(ORT), strict=True):
            np.testing.assert_allclose(ours, wanted, 1e-4, 1e-5)

    @pytest.mark.parametrize("pair", [(HOST, OPENVINO), (ORT, HOST)])
    def test_integers_cross_borders_as_integers(self, load, pair):
        session = load(halves(*pair), INT8)
        dtypes = {tensor.name: tensor.dtype for tensor in session.record.tensors}
        (border,) = session.record.parts[0].outputs
        assert dtypes[border] == "uint8"
        wanted = load.whole(ORT, INT8)
        step = np.ptp(wanted) / 64  # of the last operator, whose inputs may be one step off
        np.testing.assert_allclose(outputs(session), wanted, atol=step)

    def test_say_what_runs_where(self, load):
        session = load(halves(ORT, OPENVINO))
        assert session.assignment == {
            "cpu/onnxruntime-cpu: CPUExecutionProvider": 2,
            "cpu/openvino-runtime: OpenVINO CPU f32": 4,
        }
        assert session.processes == ()

    def test_timed_runs_are_of_the_chosen_input_also_after_others(self, load):
        session = load(halves(ORT, ORT))
        assert session.timed(3) > 0
        wanted = session.run(FEEDS[1])[0]
        session.set_feeds(FEEDS[1])
        session.run(FEEDS[2])
        session.timed(1)
        (found,) = session._results(session._slot)
        assert found.tobytes() == wanted.tobytes()

    def test_each_part_and_the_transfers_are_told(self, load):
        session = load(halves(ORT, OPENVINO))
        split = session.split(5)
        places = ["cpu/onnxruntime-cpu", "cpu/openvino-runtime"]
        assert [part.place for part in split.parts] == places
        assert all(part.method == "measured" and part.seconds > 0 for part in split.parts)
        assert split.transfer_seconds >= 0
        assert split.runs == 5

    def test_inputs_of_another_shape_are_refused(self, load):
        session = load(halves(ORT, ORT))
        with pytest.raises(EngineError) as caught:
            session.run({"image": np.zeros((1, 3, 4, 4), np.float32)})
        assert str(caught.value) == (
            "Input 'image' takes float32 [1, 3, 8, 8], and was given float32 [1, 3, 4, 4]."
        )

    def test_several_callers_have_memory_of_their_own(self, load):
        session = load(halves(ORT, HOST))
        with session.callers(2) as sessions:
            found: dict[int, list[bytes]] = {0: [], 1: []}

            def call(index: int) -> None:
                for _ in range(20):
                    found[index].append(sessions[index].run(FEEDS[index])[0].tobytes())

            threads = [threading.Thread(target=call, args=(index,)) for index in found]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(set(found[0])) == len(set(found[1])) == 1
        assert set(found[0]) != set(found[1])


def test_an_emulated_part_is_modelled_and_the_others_are_measured(load):
    """Its packets are counted, or modelled where there is no emulator."""
    host, session = load(halves(ORT, HOST), INT8), load(halves(ORT, CPackageEmulated()), INT8)
    for ours, theirs in zip(outputs(session), outputs(host), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    split = session.split(5)
    cpu, dsp = split.parts
    assert (cpu.method, dsp.method) == ("measured", "modelled")
    figures = PROFILES["dsp"].package
    assert figures is not None
    assert dsp.seconds == pytest.approx(figures.seconds(dsp.packets), abs=2e-9)
    assert dsp.packets_method in ("emulated", "modelled")
    assert session.timed(1000) * 1e-9 > 1000 * dsp.seconds
    assert split.transfer_seconds > 0, "what comes and goes is copied"


class TestProcesses:
    def remote(self, description: PipelineDescription) -> PipelineDescription:
        """The first part in another interpreter, which is this one."""
        first, *others = description.parts
        first = replace(first, is_remote=True, interpreter=sys.executable)
        return replace(description, parts=(first, *others))

    def test_parts_of_another_interpreter_have_their_own(self, load):
        load.change = self.remote
        session = load(halves(ORT, OPENVINO))
        (process,) = session.processes
        assert psutil.Process(process).ppid() == os.getpid()
        for ours, wanted in zip(outputs(session), load.whole(ORT), strict=True):
            np.testing.assert_allclose(ours, wanted, 1e-4, 1e-5)
        split = session.split(5)
        assert split.transfer_seconds > 1e-6, "waking another process takes its time"
        assert all(part.seconds > 0 for part in split.parts)

    def test_overlapped_parts_give_the_bits_of_the_whole(self, load):
        session = load(halves(PLAIN, PLAIN, overlapped=True))
        assert isinstance(session, OverlappedPipeline)
        assert len(session.processes) == 2
        wanted = [array.tobytes() for array in load.whole(PLAIN)]
        for _ in range(2):
            assert [array.tobytes() for array in outputs(session)] == wanted
            assert min(session.timed(50), session.timed(1)) > 0
        assert calibrate(session, 1e-9) == 2, "one run is alone, and no sample"

    @pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it needs two processors")
    def test_pinned_overlapped_parts_have_a_processor_each(self, load):
        pinned = replace(ORT, pinning=True)
        session = load(halves(pinned, pinned, overlapped=True))
        found = [psutil.Process(process).cpu_affinity() for process in session.processes]
        assert found == [[0], [1]]

    def test_every_slot_has_the_chosen_input(self, load):
        session = load(halves(ORT, ORT, overlapped=True))
        (wanted,) = session.run(FEEDS[0])
        session.set_feeds(FEEDS[0])
        session.timed(10)
        results = [session._results(slot)[0].tobytes() for slot in session._slots]
        assert results == [wanted.tobytes()] * 3

    def test_a_part_that_cannot_be_loaded_says_so(self, load):
        def broken(description: PipelineDescription) -> PipelineDescription:
            first, second = description.parts
            spec = {**second.spec, "provider": "NobodysExecutionProvider"}
            return replace(description, parts=(first, replace(second, spec=spec)))

        load.change = broken
        with pytest.raises(NotAsPlannedError) as caught:
            load(halves(ORT, ORT, overlapped=True))
        told = "The part at cpu/onnxruntime-cpu cannot be loaded: NobodysExecutionProvider is not"
        assert str(caught.value).startswith(told)

    def test_a_part_that_dies_is_named(self, load):
        session = load(halves(ORT, OPENVINO, overlapped=True))
        os.kill(session.processes[1], signal.SIGSEGV)
        with pytest.raises(EngineError) as caught:
            session.run(FEEDS[0])
        assert (
            str(caught.value)
            == "The process of the part at cpu/openvino-runtime ended by SIGSEGV."
        )


TENSORS = (
    TensorRecord("a", "float32", (3, 5)),
    TensorRecord("b", "uint8", ()),
    TensorRecord("c", "int64", (0, 2)),
    TensorRecord("d", "bool", (7,)),
)


class TestSlots:
    def test_tensors_of_all_slots_lie_apart(self):
        layout = Layout.of(TENSORS)
        block = private_block(2 * layout.size)
        slots = [layout.arrays(block, slot) for slot in (0, 1)]
        for number, slot in enumerate(slots):
            for position, array in enumerate(slot.values()):
                array[...] = 10 * number + position
        for number, slot in enumerate(slots):
            assert [array.shape for array in slot.values()] == [t.shape for t in TENSORS]
            assert [array.dtype.name for array in slot.values()] == [t.dtype for t in TENSORS]
            assert np.all(slot["a"] == 10 * number)
            assert slot["b"] == 10 * number + 1
            assert all(array.ctypes.data % 128 == 0 for array in slot.values())

    def test_shared_ones_are_seen_by_whoever_opens_them(self):
        layout = Layout.of(TENSORS)
        block, path = shared_block(layout.size)
        try:
            there = layout.arrays(opened_block(path), 0)
        finally:
            path.unlink()
        layout.arrays(block, 0)["a"][...] = 3.0
        assert np.all(there["a"] == 3.0)


class TestOutputsOfNoFixedShape:
    @pytest.fixture
    def finding(self, load: Loader) -> Callable[..., PipelineSession]:
        """Loads a model that says where its input is above 0, in two parts."""
        nodes = [
            make_node("Relu", ["x"], ["kept"], name="keep"),
            make_node("NonZero", ["kept"], ["where"], name="find"),
        ]
        ends = [value("kept", [1, 4]), value("where", [2, "found"], TensorProto.INT64)]
        model = build(nodes, [value("x", [1, 4])], ends, {})
        load.compiler = Compiler(model, [{"x": np.ones((1, 4), np.float32)}])

        def loaded(first: PartEngine, *, overlapped: bool = False) -> PipelineSession:
            parts = (PipelinePart("cpu", first, ("keep",)), PipelinePart("cpu", ORT, ("find",)))
            return load(Pipeline(parts, overlapped=overlapped))

        return loaded

    @pytest.mark.parametrize("first", [PLAIN, HOST])
    def test_come_as_each_run_has_them(self, finding, first):
        session = finding(first)
        for given, wanted in (([0, 1, -1, 2], [1, 3]), ([3, 0, 0, 0], [0]), ([0, 0, 0, 0], [])):
            feeds = {"x": np.array([given], np.float32)}
            kept, where = session.run(feeds)
            assert np.array_equal(kept, np.maximum(feeds["x"], 0))
            assert where[1].tolist() == wanted
            session.set_feeds(feeds)
            assert session.timed(2) > 0
            assert len(session.split(2).parts) == 2

    def test_cannot_come_from_a_process_of_its_own(self, finding):
        with pytest.raises(EngineError, match="shape of its output 'where' is not fixed"):
            finding(PLAIN, overlapped=True)
