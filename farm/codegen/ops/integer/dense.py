"""Dense layers of quantised tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.arithmetic import Requantization, requantize
from farm.codegen.ops.integer.packing import (
    DENSE_ROWS,
    dense_strips,
    pack_dense,
    pad_outputs,
)
from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import (
    NO_SCRATCH,
    Array,
    Binding,
    Call,
    Loop,
    Pointer,
    Tensor,
    Work,
)
from farm.units import Bytes


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """y = requantize(bias + x weights^T): x U8 PLAIN [..., K], y U8 PLAIN [..., O].

    weights: int8 [O, K]. bias: int32 [O], complete as in :class:`Convolution`.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    rule: Requantization
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Words of x times a strip of outputs or less, for four rows at once; then the outputs."""
        outputs, depth = self.weights.shape
        rows, words = math.prod(self.inputs[0].shape[:-1]), -(-depth // 4)
        wide, narrow = dense_strips(outputs)
        kind = "" if depth % 4 == 0 or rows == 1 else "_unaligned"
        together, alone = divmod(rows, DENSE_ROWS)
        loops = (
            Loop(f"rows{kind}", alone * -(-outputs // 8), words),
            Loop(f"wide_rows{kind}", alone * wide, words),
            Loop(f"narrow_rows{kind}", alone * narrow, words),
            Loop(f"four_rows{kind}", together * -(-outputs // 4), words),
            Loop(f"wide_four_rows{kind}", together * wide, words),
            Loop(f"narrow_four_rows{kind}", together * narrow, words),
            Loop("outputs", rows, outputs),
        )
        return Work("dense", loops)

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """One matrix product."""
        accumulators = inputs[0].astype(np.int32) @ self.weights.T.astype(np.int32) + self.bias
        return (requantize(accumulators, self.rule, accumulators.ndim - 1),)

    def call(self, bind: Binding) -> Call:
        """One call of ``dense``."""
        outputs, depth = self.weights.shape
        multiplier = np.broadcast_to(self.rule.multiplier, self.bias.shape)
        pointers = (
            Pointer("const uint8_t *", bind.tensor(self.inputs[0])),
            Pointer("const int8_t *", bind.constant(pack_dense(self.weights), "weights")),
            Pointer("const int32_t *", bind.constant(pad_outputs(self.bias), "bias")),
            Pointer("const int16_t *", bind.constant(pad_outputs(multiplier), "scale")),
            Pointer("uint8_t *", bind.tensor(self.outputs[0])),
        )
        shape = shape_literal(
            "DenseShape",
            rows=math.prod(self.inputs[0].shape[:-1]),
            inputs=depth,
            outputs=outputs,
            shift=self.rule.shift,
            post_shift=self.rule.post_shift,
            lowest=self.rule.lowest,
            highest=self.rule.highest,
        )
        return Call("dense.h", "dense", pointers, shape)
