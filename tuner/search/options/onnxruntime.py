"""Options of ONNX Runtime's own CPU provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from farm.candidate import Engine, GraphLevel, OnnxRuntimeCpu
from tuner.search.options.family import Choice, Family, Width

# Graph transformers that change which kernels run, and are not always a gain.
OPTIONAL_OPTIMIZERS = ("NchwcTransformer", "ConvAddActivationFusion", "TransposeOptimizer")
SPIN_MICROSECONDS = (20, 200, 2000)
"""How long idle threads may spin: about as long as to wake one, and ten times that, twice."""
_QUICK_LEVELS = (GraphLevel.NONE, GraphLevel.BASIC)  # to load
_OWN, _NONE = 0, -1  # of the flat parameter ``spin``: ONNX Runtime's own, and no spinning at all


class _OnnxRuntime(Family):
    default = OnnxRuntimeCpu()
    defaults: Mapping[str, Choice] = {
        "spin": _OWN,
        "memory_pattern": True,
        "memory_arena": True,
        "denormals_as_zero": False,
        "graph_level": "all",
        "saved_graph": False,
        "disabled": "",
        "pinning": False,
    }

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

    def choices(self, width: Width) -> dict[str, tuple[Choice, ...]]:
        most = width.counts[-1]
        return {
            "spin": (_OWN, _NONE, *SPIN_MICROSECONDS) if most > 1 else (_OWN,),
            "pinning": (False, True),
            "memory_pattern": (True, False),
            "memory_arena": (True, False),
            "denormals_as_zero": (False, True),
            "graph_level": tuple(str(level) for level in GraphLevel),
            "saved_graph": (False, True),
            "disabled": ("", *OPTIONAL_OPTIMIZERS),
        }

    def flatten(self, engine: OnnxRuntimeCpu) -> dict[str, Choice]:
        return {
            "threads": engine.threads,
            "spin": engine.spin_microseconds if engine.spinning else _NONE,
            "pinning": engine.pinning,
            "memory_pattern": engine.memory_pattern,
            "memory_arena": engine.memory_arena,
            "denormals_as_zero": engine.denormals_as_zero,
            "graph_level": str(engine.graph_level),
            "saved_graph": engine.saved_graph,
            "disabled": "".join(engine.disabled_optimizers),
        }

    def unflatten(self, parameters: Mapping[str, Choice]) -> Engine:
        threads, spin = int(parameters["threads"]), int(parameters["spin"])
        optimizer = str(parameters["disabled"])
        several = threads != 1
        return OnnxRuntimeCpu(
            threads=threads,
            spinning=not several or spin != _NONE,
            memory_pattern=bool(parameters["memory_pattern"]),
            graph_level=GraphLevel(str(parameters["graph_level"])),
            saved_graph=bool(parameters["saved_graph"]),
            disabled_optimizers=(optimizer,) if optimizer else (),
            spin_microseconds=max(spin, 0) if several else 0,
            pinning=bool(parameters["pinning"]) and threads > 1,
            memory_arena=bool(parameters["memory_arena"]),
            denormals_as_zero=bool(parameters["denormals_as_zero"]),
        )


def _of_several_threads(engine: OnnxRuntimeCpu) -> Iterator[Engine]:
    """Without other threads than the caller's nothing spins, and nothing is pinned."""
    if engine.threads > 1:
        yield replace(engine, pinning=not engine.pinning)
    if not engine.spin_microseconds:
        yield replace(engine, spinning=not engine.spinning)
    if engine.spinning:
        yield from (replace(engine, spin_microseconds=s) for s in (0, *SPIN_MICROSECONDS))


FAMILY = _OnnxRuntime()
