"""ONNX Runtime on a GPU by WebGPU, which reaches every GPU that has a Vulkan driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from farm.candidate.fields import ADDED, STRICT, ThreadCount, threads_label


@dataclass(frozen=True, slots=True)
class OnnxRuntimeWebGpu:
    """ONNX Runtime's WebGPU provider.

    layout: of images between operators; with ``nhwc`` channels lie next to each other.
    cpu_operators: operators that the provider refuses, or leaves to the CPU because they compute
        shapes, may run on ONNX Runtime's CPU provider; without it such a model is a run error,
        never a silent mix.
    on_cpu: names of operators that ONNX Runtime's CPU provider runs in the same session, these and
        no others, unless cpu_operators lets it.
    cpu_threads: of that provider; 0 leaves the number to it.
    """

    __pydantic_config__ = STRICT
    kind: Literal["onnxruntime-webgpu"] = "onnxruntime-webgpu"
    layout: Literal["nhwc", "nchw"] = "nhwc"
    cpu_operators: bool = False
    on_cpu: tuple[str, ...] = field(default=(), metadata=ADDED)
    cpu_threads: ThreadCount = field(default=0, metadata=ADDED)

    def label(self) -> str:
        """The engine with the options that differ from its defaults, for tables."""
        text = "onnxruntime-webgpu"
        if self.cpu_operators or self.on_cpu:
            text += " + onnxruntime-cpu" + threads_label(self.cpu_threads)
        text += f" {len(self.on_cpu)} in one session" if self.on_cpu else ""
        return text + ("" if self.layout == "nhwc" else f" {self.layout}")
