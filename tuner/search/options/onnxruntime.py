"""Options of ONNX Runtime's own CPU provider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from farm.candidate import Engine, GraphLevel, OnnxRuntimeCpu
from tuner.search.options.family import Family, Width

# Graph transformers that change which kernels run, and are not always a gain.
OPTIONAL_OPTIMIZERS = ("NchwcTransformer", "ConvAddActivationFusion", "TransposeOptimizer")
SPIN_MICROSECONDS = (20, 200, 2000)
"""How long idle threads may spin: about as long as to wake one, and ten times that, twice."""
_QUICK_LEVELS = (GraphLevel.NONE, GraphLevel.BASIC)  # to load


class _OnnxRuntime(Family):
    default = OnnxRuntimeCpu()

    def main(self, width: Width) -> list[Engine]:
        counts, most = width.counts, width.counts[-1]
        several: list[Engine] = [
            OnnxRuntimeCpu(threads=most, spin_microseconds=SPIN_MICROSECONDS[0]),
            OnnxRuntimeCpu(threads=most, spinning=False),
        ]
        early: list[Engine] = [
            OnnxRuntimeCpu(threads=counts[0], saved_graph=True),
            *(OnnxRuntimeCpu(threads=counts[0], graph_level=level) for level in _QUICK_LEVELS),
        ]
        return [
            *(OnnxRuntimeCpu(threads=t) for t in counts),
            *(several if most > 1 else []),
            *(early if width.loads else []),
            OnnxRuntimeCpu(threads=counts[0], graph_level=GraphLevel.EXTENDED),
        ]

    def near(self, engine: OnnxRuntimeCpu, width: Width) -> list[Engine]:
        return [
            *(replace(engine, threads=t) for t in width.options),
            *(_of_several_threads(engine) if engine.threads != 1 else ()),
            replace(engine, memory_pattern=not engine.memory_pattern),
            replace(engine, memory_arena=not engine.memory_arena),
            replace(engine, denormals_as_zero=not engine.denormals_as_zero),
            replace(engine, saved_graph=not engine.saved_graph),
            *(replace(engine, graph_level=level) for level in GraphLevel),
            replace(engine, disabled_optimizers=()),
            *(replace(engine, disabled_optimizers=(name,)) for name in OPTIONAL_OPTIMIZERS),
        ]


def _of_several_threads(engine: OnnxRuntimeCpu) -> Iterator[Engine]:
    """Without other threads than the caller's nothing spins, and nothing is pinned."""
    if engine.threads > 1:
        yield replace(engine, pinning=not engine.pinning)
    if not engine.spin_microseconds:
        yield replace(engine, spinning=not engine.spinning)
    if engine.spinning:
        yield from (replace(engine, spin_microseconds=s) for s in (0, *SPIN_MICROSECONDS))


FAMILY = _OnnxRuntime()
