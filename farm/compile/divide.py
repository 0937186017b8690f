"""Divides the operators of a model between the two providers of one session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnx import ModelProto

from farm.compile.annotate import annotated
from farm.compile.passes import PassResult
from farm.errors import CompileError
from farm.session.assignment import ON_CPU, ON_GPU
from farm.text import did_you_mean


@dataclass(frozen=True, slots=True)
class DividedInSession:
    """Label operators for a session with two providers: these for the CPU's, all others not."""

    on_cpu: tuple[str, ...]

    name: ClassVar[str] = "divided-in-session"
    requires: ClassVar[str] = "a name for every operator"
    ensures: ClassVar[str] = "every operator says which of two providers is to run it"

    def __call__(self, model: ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError: there is no operator of such a name."""
        names = [node.name for node in model.graph.node]
        for name in self.on_cpu:
            if name not in names:
                raise CompileError(
                    f"Operator {name!r} cannot run on the CPU provider: the graph has none of "
                    f"that name. {did_you_mean(name, names)}".rstrip()
                )
        chosen = set(self.on_cpu)
        labels = {name: ON_CPU if name in chosen else ON_GPU for name in names}
        return PassResult(annotated(model, labels), changed=True)
