"""From a candidate's engine and precision to the session that runs it."""

from __future__ import annotations

import json

from farm.candidate import (
    Candidate,
    Fake,
    FloatType,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVino,
)
from farm.errors import CompileError
from farm.session import SessionSpec

_GRAPH_LEVELS = {
    GraphLevel.NONE: 0,
    GraphLevel.BASIC: 1,
    GraphLevel.EXTENDED: 2,
    GraphLevel.ALL: 99,
}
_OPENVINO_PRECISION = {
    FloatType.FLOAT32: "f32",
    FloatType.BFLOAT16: "bf16",
    FloatType.FLOAT16: "f16",
}


def session_spec(candidate: Candidate) -> SessionSpec:
    """The session that this candidate asks for.

    Raises CompileError when the engine offers no such arithmetic.
    """
    match candidate.engine:
        case OnnxRuntimeCpu() as engine:
            return _onnxruntime_cpu(engine)
        case OpenVino() as engine:
            return _openvino(engine, candidate.precision.float_type)
        case Fake():
            raise CompileError("The fake engine has no ONNX Runtime session.")


def _onnxruntime_cpu(engine: OnnxRuntimeCpu) -> SessionSpec:
    level = GraphLevel.NONE if engine.saved_graph else engine.graph_level
    entries = {} if engine.spinning else {"session.intra_op.allow_spinning": "0"}
    return SessionSpec(
        provider="CPUExecutionProvider",
        config_entries=entries,
        intra_op_num_threads=engine.threads,
        enable_mem_pattern=engine.memory_pattern,
        graph_optimization_level=_GRAPH_LEVELS[level],
        disabled_optimizers=() if engine.saved_graph else engine.disabled_optimizers,
        allow_cpu_fallback=True,
    )


def _openvino(engine: OpenVino, float_type: FloatType) -> SessionSpec:
    config = {"INFERENCE_PRECISION_HINT": _OPENVINO_PRECISION[float_type]}
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
