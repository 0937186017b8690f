"""Operators and places that tests price."""

from __future__ import annotations

from farm.costs.families import Family
from farm.costs.operators import CostedOperator, Operand


def operand(name: str, count: int, *, stored: bool = False) -> Operand:
    """Of float32."""
    return Operand(name, 4 * count, count, is_float=True, stored=stored)


def operator(
    name: str,
    reads: list[Operand],
    writes: list[Operand],
    op_type: str = "Relu",
    family: Family = Family.ELEMENTWISE,
    flops: int = 0,
) -> CostedOperator:
    """An operator whose signature is its type."""
    return CostedOperator(name, op_type, family, op_type, flops, tuple(reads), tuple(writes))


def chain(*types: str, count: int = 100) -> tuple[CostedOperator, ...]:
    """Operators one after another: the first reads ``t0`` and writes ``t1``."""
    families = {"Conv": Family.CONVOLUTION, "Reshape": Family.VIEW, "Cast": Family.CONVERSION}
    return tuple(
        operator(
            f"{op_type.lower()}{at}",
            [operand(f"t{at}", count)],
            [operand(f"t{at + 1}", count)],
            op_type,
            families.get(op_type, Family.ELEMENTWISE),
            flops=1000 if op_type == "Conv" else count,
        )
        for at, op_type in enumerate(types)
    )
