"""ONNX Runtime's WebGPU provider as an engine: what it answers, where it runs, what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from onnx import ModelProto
from onnx.helper import make_node

from farm.artifact.folder import MODEL_FILE, PIPELINE_FILE
from farm.candidate import (
    Candidate,
    DynamicInt8,
    FloatType,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    Pipeline,
    PipelinePart,
    Precision,
)
from farm.delivery.pipeline import sessions_of, write_pipeline
from farm.delivery.winner import write_delivery
from farm.devices.profile import load_profiles
from farm.measurement import Metric, Outcome
from farm.model.model import load_model
from farm.session.of_candidate import session_spec
from tests import models
from tests.farm.compile import graphs
from tests.tools.command import Command
from tests.webgpu import SOFTWARE, require_webgpu
from tests.workers import samples
from tests.workers.engines.test_pipeline import FEEDS, Loader
from workers.answers import read_answers
from workers.discovery import device_availability, webgpu_computes_float16
from workers.environments.interpreters import Interpreters
from workers.jobs import Part, ProfileJob, TrialReport
from workers.trials.children import Children, Loading
from workers.trials.worker import Worker

GPU, CPU = OnnxRuntimeWebGpu(), OnnxRuntimeCpu(threads=1)
PROVIDER = "WebGpuExecutionProvider"
FRONT = ("stem", "norm", "stem_relu")
BACK = ("body", "join", "join_relu", "pool", "flat", "head")


@pytest.fixture(scope="module", autouse=True)
def data() -> Iterator[Path]:
    """The data folder with the environment."""
    with pytest.MonkeyPatch.context() as patch:
        yield require_webgpu(patch)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker of the device, which knows all others."""
    made = Worker(SOFTWARE, tmp_path_factory.mktemp("cache"), load_profiles())
    yield made
    made.close()


def keyword_net() -> ModelProto:
    """A spectrogram [1, 1, 25, 10] to 12 words: convolutions of the depth, and of the channels."""
    nodes = [
        make_node("Conv", ["sound", "w1", "b1"], ["c1"], name="stem", strides=[2, 2]),
        make_node("Relu", ["c1"], ["r1"], name="stem_relu"),
        make_node("Conv", ["r1", "w2"], ["c2"], name="depth", group=8, pads=[1, 1, 1, 1]),
        make_node("Relu", ["c2"], ["r2"], name="depth_relu"),
        make_node("Conv", ["r2", "w3", "b3"], ["c3"], name="point"),
        make_node("Relu", ["c3"], ["r3"], name="point_relu"),
        make_node("AveragePool", ["r3"], ["p"], name="pool", kernel_shape=[8, 4]),
        make_node("Flatten", ["p"], ["f"], name="flat"),
        make_node("Gemm", ["f", "w4", "b4"], ["l"], name="words", transB=1),
        make_node("Softmax", ["l"], ["y"], name="shares", axis=1),
    ]
    stored = models.weights(
        w1=(8, 1, 10, 4),
        b1=(8,),
        w2=(8, 1, 3, 3),
        w3=(16, 8, 1, 1),
        b3=(16,),
        w4=(12, 16),
        b4=(12,),
    )
    ends = [models.value("sound", [1, 1, 25, 10])], [models.value("y", [1, 12])]
    return models.build(nodes, *ends, stored)


def dense_net(rows: Sequence[int], extra: str = "") -> ModelProto:
    """Rows to 4 values each, by a product and a sum. extra: an operator of square matrices."""
    nodes = [
        make_node("Relu", ["x"], ["r"], name="first"),
        make_node("MatMul", ["r", "w"], ["m"], name="times"),
        make_node("Add", ["m", "b"], ["s"], name="plus"),
        make_node("Sigmoid", ["s"], ["y"], name="last"),
    ]
    outputs = [models.value("y", [*rows[:-1], 4])]
    stored = models.weights(w=(rows[-1], 4), b=(4,))
    if extra:
        nodes += [
            make_node("MatMul", ["r", "square"], ["q"], name="squared"),
            make_node(extra, ["q"], ["d"], name="determinant"),
        ]
        outputs.append(models.value("d", []))
        stored |= models.weights(square=(rows[-1], rows[0]))
    return models.build(nodes, [models.value("x", list(rows))], outputs, stored)


def image_net() -> ModelProto:
    """An image to 4 classes, with a convolution that the image goes around."""
    proto = graphs.residual_net()
    for node in proto.graph.node:
        node.op_type = "Add" if node.op_type == "Sum" else node.op_type  # it has no Sum
    return proto


def trial(worker: Worker, proto: ModelProto, candidate: Candidate, key: str) -> TrialReport:
    worker.prepare(samples.workload(proto, key))
    report = worker.run_trial(samples.job(candidate, f"{key}-{candidate.id}", key))
    worker.release([report.trial_id])
    return report


def answers(
    proto: ModelProto, engine: OnnxRuntimeCpu | OnnxRuntimeWebGpu, folder: Path
) -> list[np.ndarray]:
    """What a child answers to the search samples, in the interpreter of the engine."""
    profile = SOFTWARE if isinstance(engine, OnnxRuntimeWebGpu) else samples.cpu_profile()
    inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
    inputs.write_bytes(samples.workload(proto).parts[Part.SEARCH])
    spec = asdict(session_spec(Candidate(engine)))
    loading = Loading("onnxruntime", spec, str(models.save(proto, folder)), str(inputs))
    interpreters = Interpreters(profile)
    children = Children(interpreters, variables=profile.variables)
    try:
        python = interpreters.of(engine.kind)
        child = children.load("x", loading, samples.LIMITS, python)
        child.evaluate(outputs)
        child.kill()
    finally:
        children.close()
        interpreters.close()
    return [np.asarray(output) for output in read_answers(outputs)]


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("make", [keyword_net, image_net])
def test_it_answers_what_the_processor_does(tmp_path, make, layout):
    proto = make()
    ours = answers(proto, OnnxRuntimeWebGpu(layout=layout), tmp_path)
    for found, wanted in zip(ours, answers(proto, CPU, tmp_path), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)


def test_a_trial_says_where_every_operator_ran(worker):
    report = trial(worker, keyword_net(), Candidate(GPU), "kws")
    assert report.outcome is Outcome.OK, report.message
    assert set(report.assignment) == {PROVIDER}
    found = {m.metric: m.value for m in report.measurements}
    assert found[Metric.ACCURACY] == pytest.approx(1.0)
    assert found[Metric.LATENCY] > 0
    assert found[Metric.WITH_TRANSFERS] > 0
    assert not found.keys() & {Metric.DEVICE_MEMORY, Metric.DEVICE_CLOCK, Metric.ENERGY}


def test_what_each_kernel_takes_is_told_by_the_device(worker):
    worker.prepare(samples.workload(keyword_net(), "kws"))
    rows = worker.run_profile(ProfileJob(samples.job(Candidate(GPU), "p", "kws"), 0.2))
    mapped = {name for row in rows for name in row.operators}
    assert mapped >= {"stem", "depth", "point", "words"}
    assert all(row.seconds is not None for row in rows)
    assert sum(row.seconds or 0.0 for row in rows) > 0


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_so_it_is_of_a_split_in_one_session(
    worker: Worker, layout: Literal["nhwc", "nchw"]
) -> None:
    worker.prepare(samples.workload(keyword_net(), "kws"))
    split = Candidate(OnnxRuntimeWebGpu(layout=layout, on_cpu=("stem", "stem_relu")))
    rows = worker.run_profile(ProfileJob(samples.job(split, f"p-{layout}", "kws"), 0.2))
    mapped = {name for row in rows for name in row.operators}
    assert mapped >= {"stem", "depth", "point", "words"}


def test_operators_that_the_provider_refuses_are_named(worker):
    report = trial(worker, samples.det_net(), Candidate(GPU), "det")
    assert report.outcome is Outcome.RUN_ERROR
    assert report.message == f"{PROVIDER} did not take 1 of 3 operators: Det determinant."
    assert report.measurements == ()


def test_a_mix_that_was_asked_for_is_recorded(worker):
    mixed = Candidate(OnnxRuntimeWebGpu(cpu_operators=True))
    report = trial(worker, samples.det_net(), mixed, "det")
    assert report.outcome is Outcome.OK, report.message
    assert report.assignment == {PROVIDER: 2, "CPUExecutionProvider": 1}


class TestOneSession:
    """Both providers in one session of ONNX Runtime, by labels of operators."""

    @pytest.mark.parametrize("layout", ["nhwc", "nchw"])
    def test_operators_run_where_they_are_labelled(self, worker, layout):
        candidate = Candidate(OnnxRuntimeWebGpu(layout=layout, on_cpu=FRONT))
        report = trial(worker, image_net(), candidate, "ic")
        assert report.outcome is Outcome.OK, report.message
        # The normalisation is folded into the convolution before it.
        assert report.assignment == {PROVIDER: len(BACK), "CPUExecutionProvider": len(FRONT) - 1}
        found = {m.metric: m.value for m in report.measurements}
        assert found[Metric.ACCURACY] == pytest.approx(1.0)

    @pytest.mark.parametrize("layout", ["nhwc", "nchw"])
    @pytest.mark.parametrize("rows", [(2, 8), (2, 3, 8)])
    def test_what_is_made_one_of_labelled_operators_runs_as_they_are_labelled(
        self, worker, layout, rows
    ):
        """ONNX Runtime makes a Gemm of both, and reshapes around it, under names of its own."""
        candidate = Candidate(OnnxRuntimeWebGpu(layout=layout, on_cpu=("times", "plus")))
        report = trial(worker, dense_net(rows), candidate, f"dense-{len(rows)}")
        assert report.outcome is Outcome.OK, report.message
        made = 1 if len(rows) == 2 else 3
        assert report.assignment == {PROVIDER: 2, "CPUExecutionProvider": made}

    def test_what_the_provider_refuses_is_not_what_was_labelled(self, worker):
        """Beside a Gemm that was."""
        candidate = Candidate(OnnxRuntimeWebGpu(on_cpu=("times", "plus")))
        report = trial(worker, dense_net((2, 8), "Det"), candidate, "dense-det")
        assert report.outcome is Outcome.RUN_ERROR
        assert report.message == f"{PROVIDER} did not take 1 of 5 operators: Det determinant."

    def test_what_was_made_one_with_operators_of_the_gpu_is_refused(self, worker):
        candidate = Candidate(OnnxRuntimeWebGpu(on_cpu=("plus",)))
        report = trial(worker, dense_net((2, 8)), candidate, "dense")
        assert report.outcome is Outcome.RUN_ERROR
        assert report.message == (
            "CPUExecutionProvider was to run 1 operator and runs none: ONNX Runtime made it part "
            f"of others, which {PROVIDER} took."
        )

    def test_it_answers_what_the_processor_does(self, worker, tmp_path):
        proto, candidate = image_net(), Candidate(OnnxRuntimeWebGpu(on_cpu=("join_relu", "pool")))
        worker.prepare(samples.workload(proto, "ic"))
        compiled = worker.artifact_files(samples.job(candidate, "o", "ic"))[MODEL_FILE]
        divided = ModelProto.FromString(compiled)
        ours = answers(divided, candidate.engine, tmp_path)
        for found, wanted in zip(ours, answers(proto, CPU, tmp_path), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)

    def test_a_name_that_no_operator_has(self, worker):
        candidate = Candidate(OnnxRuntimeWebGpu(on_cpu=("steam",)))
        report = trial(worker, image_net(), candidate, "ic")
        assert report.outcome is Outcome.COMPILE_ERROR
        assert report.message == (
            "Operator 'steam' cannot run on the CPU provider: the graph has none of that name. "
            "Did you mean stem or stem_relu?"
        )

    def test_a_session_that_is_not_labelled_is_refused(self, tmp_path):
        """The labels of an artifact were lost: ONNX Runtime would run all of it on the GPU."""
        with pytest.raises(
            Exception, match="took 2 operators that CPUExecutionProvider was to run"
        ):
            answers(image_net(), OnnxRuntimeWebGpu(on_cpu=FRONT), tmp_path)

    def test_it_runs_as_it_is_delivered(self, worker, tmp_path):
        proto, candidate = image_net(), Candidate(OnnxRuntimeWebGpu(on_cpu=FRONT))
        worker.prepare(samples.workload(proto, "ic"))
        files = worker.artifact_files(samples.job(candidate, "s", "ic"))
        folder, model = tmp_path / "delivered", load_model(models.save(proto, tmp_path))
        spec = session_spec(candidate)
        np.savez(tmp_path / "given.npz", image=graphs.feeds(proto, 1)[0]["image"])
        for content in (files[MODEL_FILE], proto.SerializeToString()):
            write_delivery(
                folder, content, spec, model.inputs, json.dumps({}), variables=SOFTWARE.variables
            )
            done = run_delivered(folder, tmp_path / "given.npz")
            if content is files[MODEL_FILE]:
                assert (done.stdout, done.returncode) == ("y (1, 4) float32\n", 0), done.stderr
        assert done.returncode == 1
        assert done.stderr == (
            "The processor is to run stem, norm, stem_relu, and here it runs nothing.\n"
        )

    def test_what_was_made_of_labelled_operators_is_delivered(self, worker, tmp_path):
        proto, candidate = (
            dense_net((2, 8)),
            Candidate(OnnxRuntimeWebGpu(on_cpu=("times", "plus"))),
        )
        worker.prepare(samples.workload(proto, "dense-2"))
        content = worker.artifact_files(samples.job(candidate, "f", "dense-2"))[MODEL_FILE]
        folder, model = tmp_path / "delivered", load_model(models.save(proto, tmp_path))
        write_delivery(
            folder,
            content,
            session_spec(candidate),
            model.inputs,
            json.dumps({}),
            variables=SOFTWARE.variables,
        )
        np.savez(tmp_path / "given.npz", x=np.ones((2, 8), np.float32))
        done = run_delivered(folder, tmp_path / "given.npz")
        assert (done.stdout, done.returncode) == ("y (2, 4) float32\n", 0), done.stderr


def test_without_a_driver_nothing_runs_on_the_processor(tmp_path):
    nowhere = replace(SOFTWARE, variables={"VK_ICD_FILENAMES": "/nowhere.json"})
    found = device_availability(nowhere)
    assert found.reason == "its Vulkan driver /nowhere.json is not installed"
    made = Worker(nowhere, tmp_path / "cache")
    try:
        report = trial(made, models.mlp(), Candidate(GPU), "mlp")
    finally:
        made.close()
    assert report.outcome is Outcome.RUN_ERROR
    assert report.message == "Failed to get a WebGPU adapter: No supported adapters"
    assert report.measurements == ()


def test_float16_where_the_device_has_it(worker):
    half = Candidate(GPU, Precision(FloatType.FLOAT16))
    report = trial(worker, keyword_net(), half, "kws")
    expected = Outcome.OK if webgpu_computes_float16(SOFTWARE) else Outcome.RUN_ERROR
    assert report.outcome is expected, report.message


def test_what_it_does_not_compute_in(worker):
    int8 = Candidate(GPU, Precision(quantization=DynamicInt8()))
    report = trial(worker, keyword_net(), int8, "kws")
    assert report.outcome is Outcome.COMPILE_ERROR
    assert report.message == (
        "The onnxruntime-webgpu engine computes in float32 or float16, and not in dynamic-int8."
    )


def test_an_option_that_the_provider_does_not_know_is_refused(tmp_path):
    """It reads the options that a session is created with."""
    spec = session_spec(Candidate(GPU))
    wrong = dict.fromkeys(spec.config_entries, "NWHC")  # type: ignore[union-attr]
    interpreters = Interpreters(SOFTWARE)
    children = Children(interpreters, variables=SOFTWARE.variables)
    try:
        with pytest.raises(Exception, match="Invalid preferred layout: NWHC"):
            children.load(
                "x",
                Loading(
                    "onnxruntime",
                    asdict(replace(spec, config_entries=wrong)),
                    str(models.save(models.mlp(), tmp_path)),
                ),
                samples.LIMITS,
                interpreters.of(GPU.kind),
            )
    finally:
        children.close()
        interpreters.close()


def run_delivered(folder: Path, given: Path) -> subprocess.CompletedProcess[str]:
    interpreters = Interpreters(SOFTWARE)
    try:
        python = interpreters.of(GPU.kind)
        command = [python, "-I", str(folder / "run.py"), str(given)]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
        )
    finally:
        interpreters.close()


def test_it_runs_as_it_is_delivered(worker, tmp_path):
    proto = keyword_net()
    worker.prepare(samples.workload(proto, "kws"))
    files = worker.artifact_files(samples.job(Candidate(GPU), "d", "kws"))
    folder, model = tmp_path / "delivered", load_model(models.save(proto, tmp_path))
    write_delivery(
        folder,
        files[MODEL_FILE],
        session_spec(Candidate(GPU)),
        model.inputs,
        json.dumps({}),
        variables=SOFTWARE.variables,
    )
    np.savez(tmp_path / "given.npz", sound=np.ones((1, 1, 25, 10), np.float32))
    done = run_delivered(folder, tmp_path / "given.npz")
    assert (done.stdout, done.returncode) == ("y (1, 12) float32\n", 0), done.stderr


class TestSplit:
    """The first half of a model on the device, the rest on the processor."""

    CANDIDATE = Candidate(
        Pipeline((PipelinePart("gpu-software", GPU, FRONT), PipelinePart("cpu", CPU, BACK)))
    )

    @pytest.mark.parametrize("device", ["cpu", "gpu-software"])
    def test_it_is_tried_like_every_other(self, device, tmp_path_factory):
        profiles = load_profiles()
        made = Worker(profiles[device], tmp_path_factory.mktemp("cache"), profiles)
        try:
            report = trial(made, graphs.residual_net(), self.CANDIDATE, "ic")
        finally:
            made.close()
        assert report.outcome is Outcome.OK, report.message
        assert report.assignment.keys() == {
            f"gpu-software/onnxruntime-webgpu: {PROVIDER}",
            "cpu/onnxruntime-cpu: CPUExecutionProvider",
        }
        found = {m.metric: m.value for m in report.measurements}
        assert found[Metric.ACCURACY] == pytest.approx(1.0)

    def test_it_answers_what_the_whole_does(self, tmp_path):
        loader = Loader(tmp_path)
        try:
            assert isinstance(self.CANDIDATE.engine, Pipeline)
            split = loader(self.CANDIDATE.engine)
            ours = [split.run(feeds)[0] for feeds in FEEDS]
            for found, wanted in zip(ours, loader.whole(CPU), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)
        finally:
            loader.close()

    def test_it_runs_as_it_is_delivered(self, worker, tmp_path):
        proto = graphs.residual_net()
        worker.prepare(samples.workload(proto, "ic"))
        files = worker.artifact_files(samples.job(self.CANDIDATE, "s", "ic"))
        folder, model = tmp_path / "delivered", load_model(models.save(proto, tmp_path))
        write_pipeline(
            folder,
            files,
            sessions_of(self.CANDIDATE, files[PIPELINE_FILE]),
            model.inputs,
            json.dumps({}),
            {},
            confirmed=True,
            variables=SOFTWARE.variables,
        )
        np.savez(tmp_path / "given.npz", image=graphs.feeds(proto, 1)[0]["image"])
        done = run_delivered(folder, tmp_path / "given.npz")
        assert (done.stdout, done.returncode) == ("y (1, 4) float32\n", 0), done.stderr


def test_the_command_says_that_there_is_no_gpu(farm: Command, data: Path, few_blocks):
    (farm.folder / "data").symlink_to(data)
    ended = farm("bench", "model.onnx", "--device", "gpu-software")
    assert ended.code == 0, ended.err
    assert "onnxruntime-webgpu float32" in ended.out
    assert "gpu-software is no GPU, but a program on this machine's processor" in " ".join(
        (ended.out + ended.err).split()
    )
