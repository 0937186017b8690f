"""Options of engines on NVIDIA's GPUs."""

from __future__ import annotations

from dataclasses import replace

from farm.candidate import Engine, OnnxRuntimeCuda, OnnxRuntimeTensorRt
from tuner.search.options.family import Family, Width

_BUILDER_LEVELS = (2, 3, 4, 5)  # below, the builder leaves out what makes it worth its time


class _Cuda(Family):
    default = OnnxRuntimeCuda()

    def main(self, width: Width) -> list[Engine]:
        del width
        return [
            OnnxRuntimeCuda(layout=layout, cuda_graph=recorded)
            for recorded in (False, True)
            for layout in ("nchw", "nhwc")
        ]

    def near(self, engine: OnnxRuntimeCuda, width: Width) -> list[Engine]:
        del width
        return [
            replace(engine, layout="nhwc" if engine.layout == "nchw" else "nchw"),
            replace(engine, cuda_graph=not engine.cuda_graph),
            replace(engine, tf32=not engine.tf32),
            replace(
                engine,
                arena="as-requested" if engine.arena == "power-of-two" else "power-of-two",
            ),
        ]


class _TensorRt(Family):
    default = OnnxRuntimeTensorRt()

    def main(self, width: Width) -> list[Engine]:
        del width
        return [OnnxRuntimeTensorRt(cuda_graph=recorded) for recorded in (False, True)]

    def near(self, engine: OnnxRuntimeTensorRt, width: Width) -> list[Engine]:
        del width
        return [
            *(replace(engine, builder_level=level) for level in _BUILDER_LEVELS),
            replace(engine, cuda_graph=not engine.cuda_graph),
            replace(engine, tf32=not engine.tf32),
            replace(engine, cuda_operators=not engine.cuda_operators),
        ]


CUDA = _Cuda()
TENSORRT = _TensorRt()
