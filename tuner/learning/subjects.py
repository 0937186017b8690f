"""Models as cost models see them."""

from __future__ import annotations

from farm.costs.operators import CostedOperator, costed_operators
from farm.errors import ModelError
from farm.model.formats import given_format
from farm.model.graph import Graph, TensorKind
from farm.model.model import Model
from farm.units import Bytes
from tuner.learning.values import Subject
from tuner.runs.record.operators import costed_in


def subject_of(model: Model, graph: Graph) -> Subject:
    """What a model's costs depend on. graph: the view of it.

    Raises ModelError: a size is not known before the model runs, so that its costs are not either.
    """
    operators = costed_operators(model.proto, graph)
    if unknown := next((op for op in operators if _stays_dynamic(op)), None):
        raise ModelError(
            f"What {model.name} takes cannot be predicted: the shapes around its operator "
            f"'{unknown.name}' ({unknown.op_type}) stay dynamic. Fix them with --shape NAME=SIZE, "
            f"or measure the model: farm bench {model.path}"
        )
    return Subject(
        model.sha256,
        operators,
        graph.macs,
        graph.weight_bytes,
        Bytes(sum(t.bytes for t in graph.tensors.values() if t.kind is not TensorKind.WEIGHT)),
        given_format(model.proto),
    )


def stored_subject(sha256: str, macs: int, details: str) -> Subject | None:
    """A model of a store; None where an older farm kept too little of it, or sizes are unknown.

    details: of the model, as the store has them.
    """
    operators = costed_in(details)
    if not operators or any(map(_stays_dynamic, operators)):
        return None
    sizes = {t.name: (t.stored, t.size) for op in operators for t in (*op.reads, *op.writes)}
    weights = sum(size for stored, size in sizes.values() if stored)
    activations = sum(size for stored, size in sizes.values() if not stored)
    return Subject(sha256, operators, macs, Bytes(weights), Bytes(activations))


def _stays_dynamic(operator: CostedOperator) -> bool:
    """Whether a size is missing; that of a further output, like a mask, is never looked at."""
    if operator.complete:
        return False
    return any(operand.count == 0 for operand in (*operator.reads, *operator.writes[:1]))
