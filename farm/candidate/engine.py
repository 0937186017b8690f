"""Engines with their options: what runs a whole model, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal, get_args

from pydantic import Field

from farm.candidate.fields import ADDED, STRICT, threads_label
from farm.candidate.nvidia import (
    NvidiaEngine,
    OnnxRuntimeCuda,
    OnnxRuntimeTensorRt,
    nvidia_label,
)
from farm.candidate.qnn import OnnxRuntimeQnn
from farm.candidate.webgpu import OnnxRuntimeWebGpu

HostTarget = Literal["portable", "avx2", "avx512-vnni"]
HostCompiler = Literal["zig", "clang", "gcc"]
HexagonTarget = Literal["hexagon-v67", "hexagon-v67-hvx"]


class GraphLevel(StrEnum):
    """ONNX Runtime's graph optimisation levels."""

    NONE = "none"
    BASIC = "basic"
    EXTENDED = "extended"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class OnnxRuntimeCpu:
    """ONNX Runtime's own CPU provider.

    threads: intra-operator threads; 0 leaves the number to ONNX Runtime.
    spinning: idle threads wait for the next operator without sleeping. spin_microseconds: for so
        long at most; 0 leaves it to ONNX Runtime, and without spinning it says nothing.
    pinning: the second thread stays on the second logical processor, the third on the third...
        With one thread it says nothing, but for overlapped parts of a pipeline: the process of
        each stays on a logical processor of its own.
    memory_arena: activations come from an arena that ONNX Runtime keeps.
    denormals_as_zero: floats below the smallest normal one count as 0, which spares slow paths.
    graph_level: graph optimisations applied when the session is created.
    saved_graph: the optimised graph was saved beforehand and is loaded with optimisation off.
    disabled_optimizers: names of ONNX Runtime graph transformers switched off, sorted.
    """

    __pydantic_config__ = STRICT
    kind: Literal["onnxruntime-cpu"] = "onnxruntime-cpu"
    threads: Annotated[int, Field(ge=0)] = 0
    spinning: bool = True
    memory_pattern: bool = True
    graph_level: GraphLevel = GraphLevel.ALL
    saved_graph: bool = False
    disabled_optimizers: tuple[str, ...] = ()
    spin_microseconds: Annotated[int, Field(ge=0)] = field(default=0, metadata=ADDED)
    pinning: bool = field(default=False, metadata=ADDED)
    memory_arena: bool = field(default=True, metadata=ADDED)
    denormals_as_zero: bool = field(default=False, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class OpenVino:
    """The OpenVINO execution provider, a plugin of ONNX Runtime, on its CPU device.

    threads: inference threads; 0 leaves the number to OpenVINO.
    pinning: threads are pinned to cores.
    cpu_operators: operators that the provider refuses may run on ONNX Runtime's CPU provider;
        without it such a model is a run error, never a silent mix.
    """

    __pydantic_config__ = STRICT
    kind: Literal["openvino"] = "openvino"
    threads: Annotated[int, Field(ge=0)] = 0
    pinning: bool = False
    cpu_operators: bool = False


@dataclass(frozen=True, slots=True)
class OpenVinoRuntime:
    """OpenVINO itself, by its own Python package, on its CPU device.

    threads: inference threads; 0 leaves the number to OpenVINO.
    hint: what OpenVINO sets itself up for: one request at a time, or many.
    streams: requests that run at the same time; 0 leaves the number to the hint.
    pinning: threads are pinned to cores, where the system can do that.
    """

    __pydantic_config__ = STRICT
    kind: Literal["openvino-runtime"] = "openvino-runtime"
    threads: Annotated[int, Field(ge=0)] = 0
    hint: Literal["latency", "throughput"] = "latency"
    streams: Annotated[int, Field(ge=0)] = 0
    pinning: bool = True


@dataclass(frozen=True, slots=True)
class OpenVinoGpu:
    """OpenVINO itself, on a GPU of Intel.

    hint: what OpenVINO sets itself up for: one request at a time, or many.
    streams: requests that run at the same time; 0 leaves the number to the hint.
    """

    __pydantic_config__ = STRICT
    kind: Literal["openvino-gpu"] = "openvino-gpu"
    hint: Literal["latency", "throughput"] = "latency"
    streams: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class CPackage:
    """A compiled package of generated C, run on this machine's processor in one thread.

    target: instruction set it is compiled for, a host's ``farm.codegen.build.compilers.Target``.
    compiler: the kind that compiles it.
    """

    __pydantic_config__ = STRICT
    kind: Literal["cpackage"] = "cpackage"
    target: HostTarget = "portable"
    compiler: HostCompiler = "zig"


@dataclass(frozen=True, slots=True)
class CPackageEmulated:
    """A compiled package of generated C for a Hexagon, executed by an instruction emulator.

    target: instruction set it is compiled for, a Hexagon's
        ``farm.codegen.build.compilers.Target``.
    """

    __pydantic_config__ = STRICT
    kind: Literal["cpackage-emulated"] = "cpackage-emulated"
    target: HexagonTarget = "hexagon-v67-hvx"


@dataclass(frozen=True, slots=True)
class Fake:
    """The fake engine, for tests of the farm's own logic. It runs nothing.

    seconds: the latency it pretends to have; noise: relative standard deviation of it.
    fault: what it does instead of running (really: it crashes, hangs, or allocates).
    """

    __pydantic_config__ = STRICT
    kind: Literal["fake"] = "fake"
    seconds: float = 1e-3
    noise: float = 0.01
    fault: Literal["none", "crash", "hang", "out-of-memory", "error", "wrong-engine"] = "none"
    serial: int = 0


PackageEngine = CPackage | CPackageEmulated
ThreadedEngine = OnnxRuntimeCpu | OpenVino | OpenVinoRuntime
OpenVinoEngine = OpenVino | OpenVinoRuntime | OpenVinoGpu
OnnxRuntimeGpu = NvidiaEngine | OnnxRuntimeWebGpu
GpuEngine = OnnxRuntimeGpu | OpenVinoGpu
"""Engines that compute in float32 or float16: nothing is quantised for them."""
GraphTypedEngine = OnnxRuntimeCpu | OnnxRuntimeGpu
"""Engines that compute in the types of the graph, so that a precision is written into it."""
WholeEngine = (
    OnnxRuntimeCpu
    | OpenVino
    | OpenVinoRuntime
    | OpenVinoGpu
    | OnnxRuntimeCuda
    | OnnxRuntimeTensorRt
    | OnnxRuntimeWebGpu
    | OnnxRuntimeQnn
    | CPackage
    | CPackageEmulated
    | Fake
)


def engine_kinds() -> tuple[str, ...]:
    """The kinds of all engines, as device profiles and environments name them."""
    return tuple(engine().kind for engine in get_args(WholeEngine))


def processor_threads(engine: WholeEngine) -> int:
    """Threads that an engine computes with on the processor; 0 where it sets no limit."""
    match engine:
        case OnnxRuntimeCpu() | OpenVino() | OpenVinoRuntime():
            return engine.threads
        case OnnxRuntimeWebGpu(on_cpu=names) if names:
            return engine.cpu_threads
        case OnnxRuntimeCuda() | OnnxRuntimeTensorRt() | OnnxRuntimeWebGpu():
            return engine.cpu_threads if engine.cpu_operators else 1
        case _:
            return 1


def whole_engine_label(engine: WholeEngine) -> str:
    """The engine with the options that differ from its defaults, for tables."""
    match engine:
        case CPackage(target=target, compiler=compiler):
            return f"cpackage {target} {compiler}"
        case CPackageEmulated(target=target):
            return f"cpackage {target}"
        case OnnxRuntimeCuda() | OnnxRuntimeTensorRt():
            return nvidia_label(engine)
        case Fake(seconds=seconds):
            return f"fake {seconds:g} s"
        case OnnxRuntimeWebGpu() | OnnxRuntimeQnn():
            return engine.label()
        case OpenVino(threads=threads, pinning=pinning, cpu_operators=mixed):
            text = "openvino" + (" + onnxruntime-cpu" if mixed else "") + threads_label(threads)
            return text + (" pinned" if pinning else "")
        case OpenVinoRuntime() as openvino:
            parts = ["openvino-runtime" + threads_label(openvino.threads), *_requests(openvino)]
            parts += [] if openvino.pinning else ["not pinned"]
            return " ".join(parts)
        case OpenVinoGpu() as openvino:
            return " ".join(["openvino-gpu", *_requests(openvino)])
        case OnnxRuntimeCpu() as ort:
            parts = ["onnxruntime-cpu" + threads_label(ort.threads)]
            parts += [] if ort.spinning else ["no-spin"]
            parts += [f"spin={ort.spin_microseconds}us"] if ort.spin_microseconds else []
            parts += ["pinned"] if ort.pinning else []
            parts += [] if ort.memory_pattern else ["no-pattern"]
            parts += [] if ort.memory_arena else ["no-arena"]
            parts += ["denormals=0"] if ort.denormals_as_zero else []
            parts += [] if ort.graph_level is GraphLevel.ALL else [f"graph={ort.graph_level}"]
            parts += ["saved"] if ort.saved_graph else []
            parts += [f"-{name}" for name in ort.disabled_optimizers]
            return " ".join(parts)


def _requests(engine: OpenVinoRuntime | OpenVinoGpu) -> list[str]:
    hint = [] if engine.hint == "latency" else [engine.hint]
    return [*hint, *([f"streams={engine.streams}"] if engine.streams else [])]
