"""Engines: those that a device has for packages, and the sessions of ONNX Runtime's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    Fake,
    FloatType,
    GraphLevel,
    HexagonTarget,
    HostCompiler,
    HostTarget,
    OnnxRuntimeCpu,
    OpenVino,
    PackageEngine,
)
from farm.codegen.build.compilers import Target, find_compilers, host_targets
from farm.device import DeviceProfile
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
        case CPackage() | CPackageEmulated():
            raise CompileError("A compiled package has no ONNX Runtime session.")
        case Fake():
            raise CompileError("The fake engine has no ONNX Runtime session.")


def package_engines(profile: DeviceProfile) -> tuple[PackageEngine, ...]:
    """The engines of a device that run compiled packages here, the most promising first.

    On the host these are the best instruction set by every compiler that is there, then the
    others by the default one.
    """
    engines: list[PackageEngine] = []
    if "cpackage" in profile.engines:
        engines += _host_engines()
    target = profile.package.target if profile.package else "host"
    emulated = "cpackage-emulated" in profile.engines and target != "host"
    if emulated and find_compilers(Target(target)):
        engines.append(CPackageEmulated(target=cast("HexagonTarget", target)))
    return tuple(engines)


def _host_engines() -> Iterator[CPackage]:
    best, *others = host_targets()
    kinds = [cast("HostCompiler", str(compiler.kind)) for compiler in find_compilers(best)]
    for kind in kinds:
        yield CPackage(target=cast("HostTarget", str(best)), compiler=kind)
    for target in others if kinds else ():
        yield CPackage(target=cast("HostTarget", str(target)), compiler=kinds[0])


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
    if float_type not in _OPENVINO_PRECISION:
        raise CompileError(f"OpenVINO's CPU device does not compute in {float_type}.")
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
