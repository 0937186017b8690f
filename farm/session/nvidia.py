"""Sessions on NVIDIA's GPUs: data stays in their memory, and arithmetic is said in full."""

from __future__ import annotations

from farm.candidate import FloatType, OnnxRuntimeCuda, OnnxRuntimeTensorRt, Precision
from farm.session.spec import TENSORRT_PROVIDER, SessionSpec

_CUDA = "CUDAExecutionProvider"
_ARENAS = {"power-of-two": "kNextPowerOfTwo", "as-requested": "kSameAsRequested"}
# TensorRT uses it where it can; ONNX Runtime has no option of it, NVIDIA's libraries a variable.
_WITHOUT_TF32 = {"NVIDIA_TF32_OVERRIDE": "0"}


def cuda_spec(engine: OnnxRuntimeCuda) -> SessionSpec:
    """The session of ONNX Runtime's CUDA provider."""
    options = {"use_tf32": str(int(engine.tf32))}  # the provider's own default is to use it
    if engine.layout == "nhwc":
        options["prefer_nhwc"] = "1"
    if engine.cuda_graph:
        options["enable_cuda_graph"] = "1"
    if engine.arena != "power-of-two":
        options["arena_extend_strategy"] = _ARENAS[engine.arena]
    return SessionSpec(
        provider=_CUDA,
        provider_options=options,
        intra_op_num_threads=engine.cpu_threads,
        allow_cpu_fallback=engine.cpu_operators,
        memory="cuda",
    )


def tensorrt_spec(engine: OnnxRuntimeTensorRt, precision: Precision) -> SessionSpec:
    """The session of ONNX Runtime's TensorRT provider.

    Nothing that it builds is kept: how long loading takes is measured with the building.
    """
    options = {
        "trt_builder_optimization_level": str(engine.builder_level),
        "trt_engine_cache_enable": "0",
        "trt_timing_cache_enable": "0",
    }
    if precision.float_type is FloatType.FLOAT16:  # refused by its parser without this
        options["trt_fp16_enable"] = "1"
    if engine.cuda_graph:
        options["trt_cuda_graph_enable"] = "1"
    beside = {_CUDA: {"use_tf32": str(int(engine.tf32))}} if engine.cuda_operators else {}
    return SessionSpec(
        provider=TENSORRT_PROVIDER,
        provider_options=options,
        intra_op_num_threads=engine.cpu_threads,
        allow_cpu_fallback=engine.cpu_operators,
        memory="cuda",
        beside=beside,
        variables={} if engine.tf32 else dict(_WITHOUT_TF32),
    )
