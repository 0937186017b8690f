"""Operands of which some are constant; the others are the next of a step's inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from farm.codegen.program import Array, Binding, Tensor

_T = TypeVar("_T", Tensor, Array)


def operands(constants: Sequence[Array | None], inputs: Iterable[_T]) -> list[Array | _T]:
    """Every operand in order. constants: None where it is the next of the inputs."""
    following = iter(inputs)
    return [next(following) if constant is None else constant for constant in constants]


def operand_names(
    constants: Sequence[Array | None],
    inputs: Iterable[Tensor],
    bind: Binding,
    hint: str,
    dtype: DTypeLike | None = None,
) -> list[str]:
    """C expressions of every operand.

    hint: part of the names of constants. dtype: that they are converted to, None for their own.
    """
    return [
        bind.tensor(each)
        if isinstance(each, Tensor)
        else bind.constant(np.ascontiguousarray(each, dtype), hint)
        for each in operands(constants, inputs)
    ]
