"""The session that a candidate asks for, by its engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    Fake,
    FloatType,
    GivenFormat,
    GraphLevel,
    NvidiaEngine,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeQnn,
    OnnxRuntimeTensorRt,
    OnnxRuntimeWebGpu,
    OpenVino,
    OpenVinoGpu,
    OpenVinoRuntime,
    PackageEngine,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.errors import CompileError
from farm.session.assignment import ON_CPU, ON_GPU, SETTINGS, assignment_settings
from farm.session.nvidia import cuda_spec, tensorrt_spec
from farm.session.qnn import qnn_spec
from farm.session.spec import (
    CPU_PROVIDER,
    THREAD_AFFINITIES,
    WEBGPU_LAYOUT,
    WEBGPU_PROVIDER,
    OpenVinoSpec,
    SessionSpec,
)

_GRAPH_LEVELS = {
    GraphLevel.NONE: 0,
    GraphLevel.BASIC: 1,
    GraphLevel.EXTENDED: 2,
    GraphLevel.ALL: 99,
}
_PART_SPIN_MICROSECONDS = 20
_OPENVINO_GPU = "GPU"  # the first one; with several GPU.1, GPU.2...
_OPENVINO_PRECISION: dict[FloatType, Literal["f32", "bf16", "f16"]] = {
    FloatType.FLOAT32: "f32",
    FloatType.BFLOAT16: "bf16",
    FloatType.FLOAT16: "f16",
}


def session_spec(candidate: Candidate) -> SessionSpec | OpenVinoSpec:
    """The session that this candidate asks for.

    Raises CompileError when the engine offers no such arithmetic.
    """
    match candidate.engine:
        case OnnxRuntimeCpu() as engine:
            return onnxruntime_spec(engine)
        case OpenVino() as engine:
            return _openvino(engine, candidate.precision.float_type)
        case OpenVinoRuntime() as engine:
            return _openvino_runtime(engine, candidate.precision)
        case OpenVinoGpu() as engine:
            return _openvino_gpu(engine, candidate.precision.float_type)
        case OnnxRuntimeCuda() as engine:
            return cuda_spec(engine)
        case OnnxRuntimeTensorRt() as engine:
            return tensorrt_spec(engine, candidate.precision)
        case OnnxRuntimeWebGpu() as engine:
            return _webgpu(engine)
        case OnnxRuntimeQnn() as engine:
            return qnn_spec(engine, candidate.precision)
        case CPackage() | CPackageEmulated():
            raise CompileError("A compiled package has no session.")
        case Pipeline():
            raise CompileError("A pipeline has a session for each of its parts.")
        case Fake():
            raise CompileError("The fake engine has no session.")


def part_session(
    candidate: Candidate, part: PipelinePart, *, quantised: bool
) -> SessionSpec | OpenVinoSpec:
    """The session of a part that a candidate's pipeline has.

    Threads that wait for the next part's end must not spin: beside another pool of threads that
    costs several times what the model takes. They do for 20 microseconds where the engine says
    nothing else.

    quantised: whether the part has operators whose weights are integers.

    Raises CompileError when the engine offers no such arithmetic, or has no session.
    """
    match part.engine:
        case OnnxRuntimeCpu(spinning=True, spin_microseconds=0) as engine:
            return onnxruntime_spec(replace(engine, spin_microseconds=_PART_SPIN_MICROSECONDS))
        case OnnxRuntimeCpu() as engine:
            return onnxruntime_spec(engine)
        case OnnxRuntimeCuda() as engine:
            return cuda_spec(engine)
        case OnnxRuntimeTensorRt() as engine:
            return tensorrt_spec(engine, candidate.precision)
        case OnnxRuntimeWebGpu(on_cpu=()) as engine:
            return _webgpu(engine)
        case OnnxRuntimeWebGpu():
            raise CompileError(
                f"The part at {part.place} is at one place: what is to run on the processor is a "
                "part of its own, and on_cpu is for whole models."
            )
        case OpenVinoGpu() as engine:
            return _openvino_gpu(engine, candidate.precision.float_type)
        case OpenVinoRuntime() as engine:
            spec = _openvino_runtime(engine, candidate.precision)
            is_short = spec.integers == "needed" and not quantised
            return replace(spec, integers="allowed") if is_short else spec
        case _:
            raise CompileError("A compiled package has no session.")


def on_gpu(session: SessionSpec | OpenVinoSpec, number: int) -> SessionSpec | OpenVinoSpec:
    """The session on the GPU of this number, as its process counts them; others stay."""
    if isinstance(session, OpenVinoSpec):
        is_other = session.device == _OPENVINO_GPU and number
        return replace(session, device=f"{_OPENVINO_GPU}.{number}") if is_other else session
    if not session.memory or not number:
        return session
    told = {"device_id": str(number)}
    beside = {name: given | told for name, given in session.beside.items()}
    return replace(session, provider_options=session.provider_options | told, beside=beside)


def check_sessions(candidate: Candidate, engine: Pipeline) -> None:
    """Raise CompileError where a part of a candidate's pipeline can have no session."""
    for part in engine.parts:
        if not isinstance(part.engine, PackageEngine):
            part_session(candidate, part, quantised=True)
        if engine.overlapped and part.is_emulated:
            raise CompileError(
                f"An overlapped pipeline has no emulated part like that at {part.place}: how long "
                "others wait for it cannot be measured."
            )
    if len({each.tf32 for each in engine.engines if isinstance(each, NvidiaEngine)}) > 1:
        raise CompileError(
            "Parts of a pipeline on NVIDIA's GPUs have either all tf32 or none: their libraries "
            "are told so once for a process, and a delivered pipeline is one."
        )
    vulkan = {each.device for each in engine.parts if isinstance(each.engine, OnnxRuntimeWebGpu)}
    if len(vulkan) > 1:
        raise CompileError(
            "Parts of a pipeline are at one Vulkan GPU at most: a process sees no other, and a "
            "delivered pipeline is one."
        )


def onnxruntime_spec(engine: OnnxRuntimeCpu) -> SessionSpec:
    """The session of ONNX Runtime's own CPU provider."""
    level = GraphLevel.NONE if engine.saved_graph else engine.graph_level
    return SessionSpec(
        provider=CPU_PROVIDER,
        config_entries=dict(_config_entries(engine)),
        intra_op_num_threads=engine.threads,
        enable_mem_pattern=engine.memory_pattern,
        enable_cpu_mem_arena=engine.memory_arena,
        graph_optimization_level=_GRAPH_LEVELS[level],
        disabled_optimizers=() if engine.saved_graph else engine.disabled_optimizers,
        allow_cpu_fallback=True,
    )


def _config_entries(engine: OnnxRuntimeCpu) -> Iterator[tuple[str, str]]:
    """What differs from ONNX Runtime's defaults, by its keys."""
    if not engine.spinning:
        yield "session.intra_op.allow_spinning", "0"
    elif engine.spin_microseconds:
        yield "session.intra_op.spin_duration_us", str(engine.spin_microseconds)
    if engine.pinning and engine.threads > 1:  # of the calling thread it takes no care
        processors = range(2, engine.threads + 1)
        yield THREAD_AFFINITIES, ";".join(map(str, processors))
    if engine.denormals_as_zero:
        yield "session.set_denormal_as_zero", "1"


def _openvino(engine: OpenVino, float_type: FloatType) -> SessionSpec:
    config: dict[str, str] = {"INFERENCE_PRECISION_HINT": _openvino_type(float_type)}
    if engine.threads:
        config["INFERENCE_NUM_THREADS"] = str(engine.threads)
    if engine.pinning:
        config["ENABLE_CPU_PINNING"] = "YES"
    return SessionSpec(
        provider="OpenVINOExecutionProvider",
        plugin="onnxruntime_ep_openvino",
        provider_options={"load_config": json.dumps({"CPU": config}, sort_keys=True)},
        intra_op_num_threads=engine.threads,
        allow_cpu_fallback=engine.cpu_operators,
    )


def _webgpu(engine: OnnxRuntimeWebGpu) -> SessionSpec:
    entries = {WEBGPU_LAYOUT: engine.layout.upper()}
    if engine.on_cpu:
        labels = {WEBGPU_PROVIDER: [ON_GPU], CPU_PROVIDER: [ON_CPU]}
        entries[SETTINGS] = assignment_settings(labels)
    return SessionSpec(
        provider=WEBGPU_PROVIDER,
        config_entries=entries,
        intra_op_num_threads=engine.cpu_threads,
        allow_cpu_fallback=engine.cpu_operators,
        on_cpu=engine.on_cpu,
    )


def _openvino_runtime(engine: OpenVinoRuntime, precision: Precision) -> OpenVinoSpec:
    """Without options it would choose the arithmetic itself, and quantise what it likes."""
    float_type = _openvino_type(precision.float_type)
    config: dict[str, str] = {
        "INFERENCE_PRECISION_HINT": float_type,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "PERFORMANCE_HINT": engine.hint.upper(),
    }
    if engine.threads:
        config["INFERENCE_NUM_THREADS"] = str(engine.threads)
    if engine.streams:
        config["NUM_STREAMS"] = str(engine.streams)
    if not engine.pinning:
        config["ENABLE_CPU_PINNING"] = "NO"
    return OpenVinoSpec("CPU", config, float_type, _openvino_integers(precision))


def _openvino_gpu(engine: OpenVinoGpu, float_type: FloatType) -> OpenVinoSpec:
    """Without a hint it would compute in float16 whatever the model says."""
    if float_type not in (FloatType.FLOAT32, FloatType.FLOAT16):
        raise CompileError(f"OpenVINO's GPU device does not compute in {float_type}.")
    hint = _OPENVINO_PRECISION[float_type]
    config = {
        "INFERENCE_PRECISION_HINT": hint,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "PERFORMANCE_HINT": engine.hint.upper(),
    }
    if engine.streams:
        config["NUM_STREAMS"] = str(engine.streams)
    return OpenVinoSpec(_OPENVINO_GPU, config, hint)


def _openvino_integers(precision: Precision) -> Literal["needed", "allowed", "none"]:
    """Integers are needed where they were asked for, and the engine is known to have kernels."""
    if isinstance(precision.quantization, StaticInt8):
        return "needed"
    free = precision.quantization is not None or precision.given is GivenFormat.QUANTISED
    return "allowed" if free else "none"


def _openvino_type(float_type: FloatType) -> Literal["f32", "bf16", "f16"]:
    if float_type not in _OPENVINO_PRECISION:
        raise CompileError(f"OpenVINO's CPU device does not compute in {float_type}.")
    return _OPENVINO_PRECISION[float_type]
