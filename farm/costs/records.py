"""Operators as the store keeps them with a model, so that their costs can be told without it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from farm.costs.families import Family
from farm.costs.operators import CostedOperator, Operand, Window

Plain = list[Any]


def plain_operators(operators: Iterable[CostedOperator]) -> list[Plain]:
    """Lists that JSON takes, to be read again by :func:`operators_of`."""
    return [
        [
            op.name,
            op.op_type,
            str(op.family),
            op.signature,
            op.flops,
            [_plain(operand) for operand in op.reads],
            [_plain(operand) for operand in op.writes],
            int(op.complete),
            [list(op.window.kernel), list(op.window.strides), op.window.group],
        ]
        for op in operators
    ]


def operators_of(plain: Sequence[Plain]) -> tuple[CostedOperator, ...]:
    """What :func:`plain_operators` wrote."""
    return tuple(map(_operator, plain))


def _plain(operand: Operand) -> Plain:
    return [
        operand.name,
        operand.size,
        operand.count,
        int(operand.is_float),
        int(operand.stored),
        list(operand.shape),
    ]


def _operator(plain: Plain) -> CostedOperator:
    name, op_type, family, signature, flops, reads, writes, complete, window = plain
    kernel, strides, group = window
    return CostedOperator(
        name,
        op_type,
        Family(family),
        signature,
        flops,
        tuple(map(_operand, reads)),
        tuple(map(_operand, writes)),
        bool(complete),
        Window(tuple(kernel), tuple(strides), group),
    )


def _operand(plain: Plain) -> Operand:
    name, size, count, is_float, stored, shape = plain
    return Operand(name, size, count, bool(is_float), bool(stored), tuple(shape))
