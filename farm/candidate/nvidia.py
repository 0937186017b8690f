"""Engines on NVIDIA's GPUs with their options: ONNX Runtime with CUDA, and with TensorRT."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from farm.candidate.fields import ADDED, STRICT, ThreadCount, threads_label


@dataclass(frozen=True, slots=True)
class OnnxRuntimeCuda:
    """ONNX Runtime's CUDA provider.

    layout: of convolutions; ``nhwc`` is that of tensor cores, and is transposed at its borders.
    cuda_graph: all kernels of a run are recorded once and then started together.
    tf32: products of float32 round their operands to 10 bits of mantissa, which changes results.
    arena: by what the memory for activations grows: to the next power of two, or as asked for.
    cpu_operators: operators that the provider refuses may run on ONNX Runtime's CPU provider;
        without it such a model is a run error, never a silent mix.
    cpu_threads: of that provider; 0 leaves the number to it.
    """

    __pydantic_config__ = STRICT
    kind: Literal["onnxruntime-cuda"] = "onnxruntime-cuda"
    layout: Literal["nchw", "nhwc"] = "nchw"
    cuda_graph: bool = False
    tf32: bool = False
    arena: Literal["power-of-two", "as-requested"] = "power-of-two"
    cpu_operators: bool = False
    cpu_threads: ThreadCount = field(default=0, metadata=ADDED)


@dataclass(frozen=True, slots=True)
class OnnxRuntimeTensorRt:
    """ONNX Runtime's TensorRT provider, which builds kernels for a model as it is loaded.

    builder_level: from 0 to 5, how long it searches for the best kernels.
    cuda_graph, tf32: as of the CUDA provider.
    cuda_operators: operators that TensorRT refuses may run on the CUDA provider.
    cpu_operators: what is left then may run on the CPU provider.
    cpu_threads: as of the CUDA provider.
    """

    __pydantic_config__ = STRICT
    kind: Literal["onnxruntime-tensorrt"] = "onnxruntime-tensorrt"
    builder_level: Annotated[int, Field(ge=0, le=5)] = 3
    cuda_graph: bool = False
    tf32: bool = False
    cuda_operators: bool = False
    cpu_operators: bool = False
    cpu_threads: ThreadCount = field(default=0, metadata=ADDED)


NvidiaEngine = OnnxRuntimeCuda | OnnxRuntimeTensorRt


def nvidia_label(engine: NvidiaEngine) -> str:
    """The engine with the options that differ from its defaults, for tables."""
    kinds: list[str] = [engine.kind]
    options: list[str] = []
    match engine:
        case OnnxRuntimeCuda():
            options += [] if engine.layout == "nchw" else [engine.layout]
            options += [] if engine.arena == "power-of-two" else [f"arena={engine.arena}"]
        case OnnxRuntimeTensorRt():
            kinds += [OnnxRuntimeCuda().kind] if engine.cuda_operators else []
            options += [] if engine.builder_level == 3 else [f"level={engine.builder_level}"]
    threads = threads_label(engine.cpu_threads)
    kinds += [f"onnxruntime-cpu{threads}"] if engine.cpu_operators else []
    options += ["cuda-graph"] if engine.cuda_graph else []
    options += ["tf32"] if engine.tf32 else []
    return " ".join([" + ".join(kinds), *options])
