"""Saves the graph as ONNX Runtime optimises it, so that loading needs no optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx
import onnxruntime as ort

from farm.candidate import GraphLevel
from farm.compile.passes import PassResult, cpu_session, reported_as, session_options
from farm.host.temporary import temporary_folder

_LEVELS = {
    GraphLevel.NONE: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    GraphLevel.BASIC: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    GraphLevel.EXTENDED: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    GraphLevel.ALL: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


@dataclass(frozen=True, slots=True)
class SaveOptimised:
    """Optimise for the CPU provider of this machine and keep the result.

    The names that ONNX Runtime gives to new operators may differ from one time to the next.

    disabled: names of ONNX Runtime graph transformers that are left out.
    """

    level: GraphLevel
    disabled: tuple[str, ...] = ()

    name: ClassVar[str] = "save-optimised"
    requires: ClassVar[str] = "a model that ONNX Runtime's CPU provider loads"
    ensures: ClassVar[str] = "the graph is optimised for the machine that compiled it"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError when ONNX Runtime does not load the model."""
        with temporary_folder("compile") as folder, reported_as(self.name):
            target = folder / "optimised.onnx"
            options = session_options()
            options.graph_optimization_level = _LEVELS[self.level]
            options.optimized_model_filepath = str(target)
            cpu_session(model, options, self.disabled)
            optimised = onnx.load(target)
        before, after = len(model.graph.node), len(optimised.graph.node)
        note = f"Graph optimised at level {self.level}: {before} operators became {after}."
        return PassResult(optimised, changed=True, notes=(note,))
