"""The memory problem of a model: its tensors as buffers, and which of them can share a place."""

from __future__ import annotations

from collections.abc import Iterator

from farm.errors import PlanError
from farm.model.graph import Graph, Operator, Tensor, TensorKind
from farm.plan.memory.problem import UNALIGNED, Alias, Buffer, Problem
from farm.units import Bytes

_ONNX = frozenset(["", "ai.onnx", "com.microsoft"])  # of others, a Relu may be anything
_VIEWS = frozenset(["Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"])
_IN_PLACE = frozenset(
    [
        *("Abs", "Add", "BatchNormalization", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish"),
        *("LeakyRelu", "Mul", "Neg", "PRelu", "Relu", "Sigmoid", "Sub", "Tanh"),
    ]
)


def model_problem(
    graph: Graph, *, alignment: Bytes = UNALIGNED, capacity: Bytes | None = None
) -> Problem:
    """Inputs and activations of a graph as a problem; weights do not lie in the arena.

    What only views a tensor lies in it, and an element-wise operator overwrites an input that
    nothing needs any more. The model's outputs are needed in one step after the last operator's,
    so nothing overwrites them. Raises PlanError: a tensor whose size is not known.
    """
    live = {
        tensor.name: tensor
        for tensor in graph.tensors.values()
        if tensor.kind is not TensorKind.WEIGHT and tensor.start < tensor.end
    }
    for tensor in live.values():
        if tensor.dtype == "string":
            raise PlanError(
                f"Tensor '{tensor.name}' is text, whose size is not known before the model runs, "
                "so it cannot be planned."
            )
        if tensor.shape is None or not tensor.dtype:
            raise PlanError(
                f"The size of tensor '{tensor.name}' is not known before the model runs, so it "
                "cannot be planned; fix the shapes of the model's inputs."
            )
    return Problem(
        buffers=tuple(Buffer(t.name, t.start, t.end, t.bytes) for t in live.values()),
        alignment=alignment,
        capacity=capacity,
        aliases=tuple(_aliases(graph, live)),
    )


def _aliases(graph: Graph, live: dict[str, Tensor]) -> Iterator[Alias]:
    """One alias per output at most. Of a tensor that is viewed, nothing is overwritten."""
    viewed: set[str] = set()
    for step, operator in enumerate(graph.operators):
        known = operator.domain in _ONNX and not operator.folded
        if not known or len(operator.outputs) != 1 or operator.outputs[0] not in live:
            continue
        output = live[operator.outputs[0]]
        if operator.op_type in _VIEWS and operator.inputs[0] in live:
            viewed |= {operator.inputs[0], output.name}
            yield Alias(output.name, operator.inputs[0])
        elif operator.op_type in _IN_PLACE:
            for name in _overwritable(operator, live, step, output):
                if name not in viewed:
                    yield Alias(output.name, name)
                    break


def _overwritable(
    operator: Operator, live: dict[str, Tensor], step: int, output: Tensor
) -> Iterator[str]:
    """Inputs that die in this step and have an element for each of the output's.

    Equal bytes alone are too little: one of several types may be read for many elements each.
    """
    wanted = (step + 1, output.bytes, output.dtype)
    for name in operator.inputs:
        tensor = live.get(name)
        if tensor is not None and (tensor.end, tensor.bytes, tensor.dtype) == wanted:
            yield name
