"""Options of ONNX Runtime's WebGPU provider."""

from __future__ import annotations

from dataclasses import replace

from farm.candidate import Engine, OnnxRuntimeWebGpu
from tuner.search.options.family import Family, Width


class _WebGpu(Family):
    default = OnnxRuntimeWebGpu()

    def main(self, width: Width) -> list[Engine]:
        del width
        return [OnnxRuntimeWebGpu(), OnnxRuntimeWebGpu(layout="nchw")]

    def near(self, engine: OnnxRuntimeWebGpu, width: Width) -> list[Engine]:
        del width
        return [replace(engine, layout="nchw" if engine.layout == "nhwc" else "nhwc")]


FAMILY = _WebGpu()
