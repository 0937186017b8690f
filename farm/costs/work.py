"""What a kernel computes and moves: the two axes of a roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farm.costs.families import Family
from farm.costs.operators import CostedOperator, Operand

_HARDER: Mapping[str, float] = {"LRN": 40.0}
"""How many operations one is worth: a power of each element takes as long as so many others."""
_WIDTHS: Mapping[str, int] = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True, slots=True)
class KernelWork:
    """The work of one kernel. flops: operations. traffic: bytes that it reads and writes."""

    family: Family
    flops: float
    traffic: float


def kernel_work(operators: Sequence[CostedOperator], precision: str) -> KernelWork:
    """The work of one kernel that stands for these operators, one at least.

    What one of them writes and another one reads stays inside and is no traffic. Of operators
    that move elements, what is read is as much as what is written at most: a Gather does not read
    its whole table. The family is that of the operator with the most work.

    precision: of the numbers, which decides how wide they are: ``float32``, ``int8``...
    """
    outside, results = operands_outside(operators)
    reads, writes = _bytes(outside, precision), _bytes(results, precision)
    most = main_operator(operators)
    if most.family is Family.MOVEMENT:
        reads = min(reads, writes)
    if most.family is Family.VIEW:
        reads = writes = 0.0
    flops = float(sum(op.flops for op in operators))
    return KernelWork(most.family, flops, reads + writes)


def main_operator(operators: Sequence[CostedOperator]) -> CostedOperator:
    """The operator with the most work of those that a kernel stands for."""

    def work(op: CostedOperator) -> tuple[bool, float]:
        return op.family is not Family.VIEW, op.flops * _HARDER.get(op.op_type, 1.0)

    return max(operators, key=work)


def operands_outside(
    operators: Sequence[CostedOperator],
) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
    """What a kernel reads and writes, each tensor once, without what stays inside."""
    written = {operand.name for op in operators for operand in op.writes}
    read = {operand.name for op in operators for operand in op.reads}
    outside = {t.name: t for op in operators for t in op.reads if t.name not in written}
    results = {t.name: t for op in operators for t in op.writes if t.name not in read}
    return tuple(outside.values()), tuple(results.values())


def width_of(precision: str) -> int:
    """Bytes of a number; of a format that is not known those of float32."""
    return _WIDTHS.get(precision, 4)


def conversion_work(operand: Operand, precision: str) -> KernelWork:
    """The work of a kernel that takes a tensor to another number format, from or to floats."""
    width = width_of(precision)
    return KernelWork(Family.CONVERSION, 0.0, operand.count * (4.0 + width))


def reorder_work(operand: Operand, precision: str) -> KernelWork:
    """The work of a kernel that takes a tensor to another layout."""
    return KernelWork(Family.REORDER, 0.0, 2.0 * operand.count * width_of(precision))


def _bytes(tensors: Sequence[Operand], precision: str) -> float:
    width = width_of(precision)
    return float(sum(t.count * width if t.is_float else t.size for t in tensors))
