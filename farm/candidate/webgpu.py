"""ONNX Runtime on a GPU by WebGPU, which reaches every GPU that has a Vulkan driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from farm.candidate.fields import STRICT


@dataclass(frozen=True, slots=True)
class OnnxRuntimeWebGpu:
    """ONNX Runtime's WebGPU provider.

    layout: of images between operators; with ``nhwc`` channels lie next to each other.
    cpu_operators: operators that the provider refuses, or leaves to the CPU because they compute
        shapes, may run on ONNX Runtime's CPU provider; without it such a model is a run error,
        never a silent mix.
    """

    __pydantic_config__ = STRICT
    kind: Literal["onnxruntime-webgpu"] = "onnxruntime-webgpu"
    layout: Literal["nhwc", "nchw"] = "nhwc"
    cpu_operators: bool = False

    def label(self) -> str:
        """The engine with the options that differ from its defaults, for tables."""
        text = "onnxruntime-webgpu" + (" + onnxruntime-cpu" if self.cpu_operators else "")
        return text + ("" if self.layout == "nhwc" else f" {self.layout}")
