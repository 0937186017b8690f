"""From a candidate to the session that runs it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    Fake,
    FloatType,
    GraphLevel,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeTensorRt,
    OnnxRuntimeWebGpu,
    OpenVino,
    OpenVinoGpu,
    OpenVinoRuntime,
    Pipeline,
    PipelinePart,
    Precision,
)
from farm.errors import CompileError
from farm.session.of_candidate import check_sessions, on_gpu, part_session, session_spec
from farm.session.spec import SessionSpec


class TestOnnxRuntime:
    def test_the_baseline_has_default_options(self):
        spec = session_spec(Candidate())
        assert spec == SessionSpec("CPUExecutionProvider", allow_cpu_fallback=True)

    def test_every_option(self):
        engine = OnnxRuntimeCpu(
            threads=3,
            spinning=False,
            memory_pattern=False,
            graph_level=GraphLevel.BASIC,
            disabled_optimizers=("ConvAddFusion",),
        )
        spec = session_spec(Candidate(engine))
        assert spec.intra_op_num_threads == 3
        assert spec.config_entries == {"session.intra_op.allow_spinning": "0"}
        assert not spec.enable_mem_pattern
        assert spec.graph_optimization_level == 1
        assert spec.disabled_optimizers == ("ConvAddFusion",)

    def test_options_that_were_added(self):
        engine = OnnxRuntimeCpu(
            threads=3,
            spin_microseconds=20,
            pinning=True,
            memory_arena=False,
            denormals_as_zero=True,
        )
        spec = session_spec(Candidate(engine))
        assert not spec.enable_cpu_mem_arena
        assert spec.config_entries == {
            "session.intra_op.spin_duration_us": "20",
            "session.intra_op_thread_affinities": "2;3",
            "session.set_denormal_as_zero": "1",
        }

    def test_what_says_nothing_is_not_said(self):
        for engine in (
            OnnxRuntimeCpu(threads=2, spinning=False, spin_microseconds=20),
            OnnxRuntimeCpu(threads=1, spinning=False, pinning=True),
        ):
            spec = session_spec(Candidate(engine))
            assert spec.config_entries == {"session.intra_op.allow_spinning": "0"}

    def test_a_saved_graph_is_not_optimised_again(self):
        engine = OnnxRuntimeCpu(saved_graph=True, disabled_optimizers=("ConvAddFusion",))
        spec = session_spec(Candidate(engine))
        assert spec.graph_optimization_level == 0
        assert spec.disabled_optimizers == ()


class TestOpenVino:
    def test_every_option(self):
        engine = OpenVino(threads=2, pinning=True, cpu_operators=True)
        spec = session_spec(Candidate(engine, Precision(FloatType.BFLOAT16)))
        assert spec.provider == "OpenVINOExecutionProvider"
        assert spec.plugin == "onnxruntime_ep_openvino"
        assert json.loads(spec.provider_options["load_config"]) == {
            "CPU": {
                "INFERENCE_PRECISION_HINT": "bf16",
                "INFERENCE_NUM_THREADS": "2",
                "ENABLE_CPU_PINNING": "YES",
            }
        }
        assert spec.allow_cpu_fallback

    def test_float32_is_asked_for_by_name(self):
        """Left to itself OpenVINO computes in bfloat16 where the processor has it."""
        config = json.loads(session_spec(Candidate(OpenVino())).provider_options["load_config"])
        assert config == {"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}

    def test_operators_elsewhere_are_not_allowed_by_default(self):
        assert not session_spec(Candidate(OpenVino())).allow_cpu_fallback


@pytest.mark.parametrize("mixed", [False, True])
def test_webgpu_is_told_the_layout_and_whether_the_cpu_may_help(mixed):
    spec = session_spec(Candidate(OnnxRuntimeWebGpu(layout="nchw", cpu_operators=mixed)))
    assert spec == SessionSpec(
        "WebGpuExecutionProvider",
        config_entries={"ep.webgpuexecutionprovider.preferredLayout": "NCHW"},
        allow_cpu_fallback=mixed,
    )


class TestPartsOnGpus:
    PART = PipelinePart("gpu", OnnxRuntimeCuda(), ("a",))

    def split(self, *parts: PipelinePart) -> Candidate:
        return Candidate(Pipeline((PipelinePart("cpu", OnnxRuntimeCpu(), ("b",)), *parts)))

    @pytest.mark.parametrize("engine", [OnnxRuntimeCuda(), OnnxRuntimeTensorRt(), OpenVinoGpu()])
    def test_their_session_is_that_of_a_whole_model(self, engine):
        part = replace(self.PART, engine=engine)
        found = part_session(self.split(part), part, quantised=False)
        assert found == session_spec(Candidate(engine))

    def test_of_several_gpus_each_is_its_own(self):
        cuda, tensorrt = (
            session_spec(Candidate(engine))
            for engine in (OnnxRuntimeCuda(), OnnxRuntimeTensorRt(cuda_operators=True))
        )
        assert on_gpu(cuda, 0) == cuda
        assert on_gpu(cuda, 1).provider_options == cuda.provider_options | {"device_id": "1"}
        assert on_gpu(tensorrt, 2).beside["CUDAExecutionProvider"]["device_id"] == "2"
        assert on_gpu(session_spec(Candidate(OpenVinoGpu())), 1).device == "GPU.1"
        for here in (OnnxRuntimeCpu(), OpenVinoRuntime()):
            assert on_gpu(session_spec(Candidate(here)), 1) == session_spec(Candidate(here))

    def test_one_process_has_tf32_or_not(self):
        rounded = PipelinePart("gpu", OnnxRuntimeTensorRt(tf32=True), ("c",))
        alone = self.split(rounded)
        check_sessions(alone, alone.engine)
        both = self.split(self.PART, rounded)
        with pytest.raises(CompileError, match="have either all tf32 or none"):
            check_sessions(both, both.engine)

    def test_one_process_sees_one_vulkan_gpu(self):
        first, again, second = (
            PipelinePart(device, OnnxRuntimeWebGpu(), (device,))
            for device in ("gpu-vulkan", "gpu-vulkan", "gpu-vulkan1")
        )
        alone = self.split(first, again)
        check_sessions(alone, alone.engine)
        both = self.split(first, second)
        with pytest.raises(CompileError, match="are at one Vulkan GPU at most"):
            check_sessions(both, both.engine)

    def test_tf32_in_a_part_keeps_no_precision(self):
        rounded = PipelinePart("gpu", OnnxRuntimeCuda(tf32=True), ("c",))
        assert not self.split(rounded).keeps_precision
        assert self.split(self.PART).keeps_precision


def test_webgpu_shares_its_session_with_the_cpu():
    spec = session_spec(Candidate(OnnxRuntimeWebGpu(on_cpu=("stem",))))
    assert spec.on_cpu == ("stem",)
    assert not spec.allow_cpu_fallback
    assert spec.config_entries["session.layer_assignment_settings"] == (
        "WebGpuExecutionProvider(=gpu);CPUExecutionProvider(=cpu)"
    )


def test_a_part_is_at_one_place():
    part = PipelinePart("gpu-vulkan", OnnxRuntimeWebGpu(on_cpu=("stem",)), ("stem", "head"))
    with pytest.raises(CompileError, match="The part at gpu-vulkan/onnxruntime-webgpu is at one"):
        part_session(Candidate(), part, quantised=False)


def test_the_fake_engine_has_no_session():
    with pytest.raises(CompileError, match="The fake engine has no session"):
        session_spec(Candidate(Fake()))


def test_a_session_is_written_whole():
    spec = session_spec(Candidate(OpenVino(threads=1)))
    text = spec.to_json()
    stored = json.loads(text)
    # Left out, as sessions of earlier deliveries have none of them.
    added = {
        "enable_cpu_mem_arena": True,
        "memory": "",
        "beside": {},
        "variables": {},
        "on_cpu": [],
    }
    assert stored | added == json.loads(json.dumps(asdict(spec)))
    assert SessionSpec(**stored | {"disabled_optimizers": ()}) == spec
    assert text.endswith("}\n")


def test_packages_have_no_session():
    for engine in (CPackage(), CPackageEmulated()):
        with pytest.raises(CompileError, match=r"A compiled package has no session"):
            session_spec(Candidate(engine))
