"""Sessions on NVIDIA's GPUs, as their candidates ask for them."""

from __future__ import annotations

import json

from farm.candidate import Candidate, FloatType, OnnxRuntimeCuda, OnnxRuntimeTensorRt, Precision
from farm.session.of_candidate import session_spec
from farm.session.spec import SessionSpec


def spec(
    engine: OnnxRuntimeCuda | OnnxRuntimeTensorRt, float_type: FloatType = FloatType.FLOAT32
) -> SessionSpec:
    found = session_spec(Candidate(engine, Precision(float_type)))
    assert isinstance(found, SessionSpec)
    return found


class TestCuda:
    def test_the_baseline_computes_in_whole_float32(self):
        found = spec(OnnxRuntimeCuda())
        assert found.provider == "CUDAExecutionProvider"
        assert found.provider_options == {"use_tf32": "0"}
        assert found.memory == "cuda"
        assert not found.allow_cpu_fallback

    def test_every_option(self):
        found = spec(
            OnnxRuntimeCuda(
                layout="nhwc",
                cuda_graph=True,
                tf32=True,
                arena="as-requested",
                cpu_operators=True,
            )
        )
        assert found.provider_options == {
            "use_tf32": "1",
            "prefer_nhwc": "1",
            "enable_cuda_graph": "1",
            "arena_extend_strategy": "kSameAsRequested",
        }
        assert found.allow_cpu_fallback


class TestTensorRt:
    def test_nothing_that_it_builds_is_kept(self):
        found = spec(OnnxRuntimeTensorRt())
        assert found.provider == "TensorrtExecutionProvider"
        assert found.provider_options["trt_engine_cache_enable"] == "0"
        assert found.provider_options["trt_timing_cache_enable"] == "0"
        assert "trt_fp16_enable" not in found.provider_options

    def test_tf32_is_off_by_the_variable_that_its_libraries_read(self):
        assert spec(OnnxRuntimeTensorRt()).variables == {"NVIDIA_TF32_OVERRIDE": "0"}
        assert spec(OnnxRuntimeTensorRt(tf32=True)).variables == {}

    def test_every_option(self):
        engine = OnnxRuntimeTensorRt(
            builder_level=5, cuda_graph=True, cuda_operators=True, cpu_operators=True
        )
        found = spec(engine, FloatType.FLOAT16)
        assert found.provider_options["trt_builder_optimization_level"] == "5"
        assert found.provider_options["trt_cuda_graph_enable"] == "1"
        assert found.provider_options["trt_fp16_enable"] == "1"
        assert found.beside == {"CUDAExecutionProvider": {"use_tf32": "0"}}
        assert found.allow_cpu_fallback


def test_it_is_delivered_whole():
    found = spec(OnnxRuntimeTensorRt(cuda_operators=True))
    stored = json.loads(found.to_json())
    assert stored["memory"] == "cuda"
    assert SessionSpec(**stored | {"disabled_optimizers": ()}) == found
