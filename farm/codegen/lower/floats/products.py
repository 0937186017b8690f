"""Lowers products of float matrices: MatMul and Gemm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from farm.codegen.front.source import Node, UnsupportedOperator
from farm.codegen.ops.floats.elementwise import BinaryFunction, FloatBinary, broadcast_loops
from farm.codegen.ops.floats.matmul import MOST_BATCH_LOOPS, FloatMatMul
from farm.codegen.ops.movement import Move, transposition
from farm.codegen.program import Array, Step, Tensor

Tensors = tuple[Tensor, ...]
Operand = Tensor | Array
"""A tensor, or its elements where they are constant."""


def lower_matmul(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """One product of stacks of matrices."""
    a, b = node.inputs
    assert a is not None
    assert b is not None
    batches = a.shape[:-2], b.shape[:-2]
    loops, _ = broadcast_loops(np.broadcast_shapes(*batches), batches)
    if len(loops) > MOST_BATCH_LOOPS:
        reason = f"it broadcasts over more than {MOST_BATCH_LOOPS} groups of axes"
        raise UnsupportedOperator(node, reason)
    yield FloatMatMul(inputs, outputs, (a.constant, b.constant))


def lower_gemm(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """Y = alpha * a @ b + beta * c: one product, if its constants can take in all the rest."""
    y, gemm = outputs[0], _Gemm(outputs[0])
    following = iter(inputs)
    operands: list[Operand] = [
        next(following) if value.constant is None else value.constant.astype(np.float32)
        for value in node.inputs
        if value is not None
    ]
    a, b = (
        gemm.transposed(operand) if node.attributes.get(flag, 0) else operand
        for operand, flag in zip(operands[:2], ("transA", "transB"), strict=True)
    )
    alpha, beta = (np.float32(node.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    c = gemm.scaled(operands[2], beta) if len(operands) > 2 else None
    if isinstance(b, np.ndarray):
        b, alpha = b * alpha, np.float32(1.0)
    if isinstance(c, np.ndarray) and c.size in (1, *c.shape[-1:]) and alpha == 1:
        gemm.multiply(a, b, np.resize(c, y.shape[1]).astype(np.float32))
    else:
        product = gemm.scaled(gemm.multiply(a, b), alpha)
        if c is not None:
            gemm.add(product, c)
    yield from gemm.steps()


class _Gemm:
    """The steps of one Gemm, each of which writes a tensor of its own, the last one y."""

    def __init__(self, y: Tensor) -> None:
        self._y = y
        self._steps: list[FloatBinary | FloatMatMul | Move] = []

    def steps(self) -> Iterator[Step]:
        yield from self._steps[:-1]
        yield replace(self._steps[-1], outputs=(self._y,))

    def transposed(self, operand: Operand) -> Operand:
        if isinstance(operand, np.ndarray):
            return operand.T
        result = self._between(operand.shape[::-1])
        self._steps.append(transposition(operand, result, (1, 0)))
        return result

    def multiply(self, a: Operand, b: Operand, bias: Array | None = None) -> Tensor:
        result = self._between(self._y.shape)
        self._steps.append(FloatMatMul(_tensors(a, b), (result,), _constants(a, b), bias))
        return result

    def scaled(self, operand: Operand, factor: np.float32) -> Operand:
        if factor == 1:
            return operand
        if isinstance(operand, np.ndarray):
            return operand * factor
        return self._binary(BinaryFunction.MUL, operand, np.asarray(factor), operand.shape)

    def add(self, a: Operand, b: Operand) -> Operand:
        return self._binary(BinaryFunction.ADD, a, b, self._y.shape)

    def _binary(
        self, function: BinaryFunction, a: Operand, b: Operand, shape: tuple[int, ...]
    ) -> Tensor:
        result = self._between(shape)
        self._steps.append(FloatBinary(_tensors(a, b), (result,), function, _constants(a, b)))
        return result

    def _between(self, shape: tuple[int, ...]) -> Tensor:
        return replace(self._y, name=f"{self._y.name}.{len(self._steps)}", shape=shape)


def _tensors(*operands: Operand) -> Tensors:
    return tuple(operand for operand in operands if isinstance(operand, Tensor))


def _constants(a: Operand, b: Operand) -> tuple[Array | None, Array | None]:
    return (
        None if isinstance(a, Tensor) else a,
        None if isinstance(b, Tensor) else b,
    )
