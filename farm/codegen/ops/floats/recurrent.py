"""Recurrent networks over a sequence of float vectors: LSTM and GRU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import (
    Array,
    Binding,
    Call,
    Loop,
    Pointer,
    Tensor,
    Work,
)
from farm.units import Bytes

Wide = NDArray[np.float64]


class Cell(StrEnum):
    """Kinds of recurrent networks; values are the ends of their kernels' names."""

    LSTM = "lstm"
    GRU = "gru"


@dataclass(frozen=True, slots=True, eq=False)
class FloatRecurrent:
    """States of an LSTM or GRU after every step of x [steps, batch, inputs].

    inputs: x, then the initial state and the initial cell, [directions, batch, hidden] each, as
    far as they are no constants. initial: both, where they are constant. outputs: the states
    [steps, directions, batch, hidden], the last state and the last cell, those that ``wanted``
    says. batch_first: the batch is the first axis of them all.
    weights: [directions, gates * hidden, inputs]. recurrence: the same of the states.
    bias: [directions, 4 * hidden]: of the gates; a GRU's new state has two, of the products with x
    and with the state. peephole: of an LSTM, [directions, 3 * hidden]. Gates are in ONNX's order.
    reverse: the first direction begins at the end. linear: a GRU resets after the product.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    cell: Cell
    weights: NDArray[np.float32]
    recurrence: NDArray[np.float32]
    bias: NDArray[np.float32]
    peephole: NDArray[np.float32]
    given: tuple[bool, bool]
    initial: tuple[Array | None, Array | None]
    wanted: tuple[bool, bool, bool]
    reverse: bool = False
    linear: bool = False
    batch_first: bool = False
    in_place: tuple[tuple[int, int], ...] = ()

    @property
    def scratch_bytes(self) -> Bytes:
        """States and gates of one batch entry."""
        rows = 6 if self.cell is Cell.LSTM else 5
        return Bytes(4 * rows * self._hidden)

    @property
    def work(self) -> Work:
        """Rows of products with x and with the state, and functions of the gates."""
        steps, batch, inputs = self._sizes
        times = steps * batch * len(self.weights)
        rows = times * self.weights.shape[1]
        return Work(
            f"float_{self.cell}",
            (
                Loop("given_rows", rows, inputs),
                Loop("state_rows", rows, self._hidden),
                Loop("gates", times, self._hidden),
            ),
        )

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """In double precision, then rounded."""
        x = inputs[0].astype(np.float64)
        x = x.swapaxes(0, 1) if self.batch_first else x
        following = iter(inputs[1:])
        starts = [self._start(i, following) for i in range(2)]
        directions = [self._run(d, x, *(start[d] for start in starts)) for d in range(self._count)]
        states, last, cell = (np.stack(each) for each in zip(*directions, strict=True))
        y = states.transpose(1, 0, 2, 3)
        if self.batch_first:
            y, last, cell = y.transpose(2, 0, 1, 3), last.swapaxes(0, 1), cell.swapaxes(0, 1)
        found = zip((y, last, cell), self.wanted, strict=True)
        return tuple(np.ascontiguousarray(each, np.float32) for each, wanted in found if wanted)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_lstm`` or ``float_gru``."""
        following, told = iter(self.inputs), iter(self.outputs)
        names = [bind.tensor(next(following))]
        names += [
            bind.constant(array, hint)
            for array, hint in (
                (self.weights, "weights"),
                (self.recurrence, "recurrence"),
                (self.bias, "bias"),
                *([(self.peephole, "peephole")] if self.cell is Cell.LSTM else []),
            )
        ]
        states = 2 if self.cell is Cell.LSTM else 1
        for position in range(states):
            constant = self.initial[position]
            if constant is not None:
                names.append(bind.constant(np.ascontiguousarray(constant, np.float32), "state"))
            else:
                names.append(bind.tensor(next(following)) if self.given[position] else "0")
        results = [bind.tensor(next(told)) if wanted else "0" for wanted in self.wanted]
        pointers = (
            *(Pointer("const float *", name) for name in names),
            *(Pointer("float *", name) for name in results[: states + 1]),
            Pointer("float *", f"(float *){bind.scratch()}"),
        )
        return Call("float_recurrent.h", f"float_{self.cell}", pointers, self._shape())

    @property
    def _hidden(self) -> int:
        return int(self.recurrence.shape[2])

    @property
    def _count(self) -> int:
        return len(self.weights)

    @property
    def _sizes(self) -> tuple[int, int, int]:
        first, second, inputs = self.inputs[0].shape
        return (second, first, inputs) if self.batch_first else (first, second, inputs)

    def _shape(self) -> str:
        steps, batch, inputs = self._sizes
        hidden, count = self._hidden, self._count
        strides = {
            "x_step": inputs if self.batch_first else batch * inputs,
            "x_batch": steps * inputs if self.batch_first else inputs,
            "y_step": count * hidden if self.batch_first else count * batch * hidden,
            "y_batch": steps * count * hidden if self.batch_first else hidden,
            "y_direction": hidden if self.batch_first else batch * hidden,
            "state_batch": count * hidden if self.batch_first else hidden,
            "state_direction": hidden if self.batch_first else batch * hidden,
        }
        flags = (*self._has_state, *self.wanted)
        names = ("has_h", "has_c", "has_y", "has_last", "has_cell")
        return shape_literal(
            "FloatRecurrentShape",
            steps=steps,
            batch=batch,
            inputs=inputs,
            hidden=hidden,
            directions=count,
            reverse=int(self.reverse),
            **strides,
            **{name: int(flag) for name, flag in zip(names, flags, strict=True)},
            linear=int(self.linear),
        )

    @property
    def _has_state(self) -> tuple[bool, bool]:
        first, second = (
            given or constant is not None
            for given, constant in zip(self.given, self.initial, strict=True)
        )
        return first, second

    def _start(self, position: int, following: Iterator[Array]) -> Wide:
        """An initial state: [directions, batch, hidden]."""
        constant = self.initial[position]
        if constant is None and not self.given[position]:
            return np.zeros((self._count, self._sizes[1], self._hidden))
        found = np.asarray(next(following) if constant is None else constant, np.float64)
        return found.swapaxes(0, 1) if self.batch_first else found

    def _run(self, direction: int, x: Wide, h: Wide, c: Wide) -> tuple[Wide, Wide, Wide]:
        """States after every step, and the last state and cell, of one direction."""
        backwards = direction == 1 or self.reverse
        states = np.zeros((len(x), *h.shape))
        order = range(len(x))
        for at in reversed(order) if backwards else order:
            step = self._lstm if self.cell is Cell.LSTM else self._gru
            h, c = step(direction, x[at], h, c)
            states[at] = h
        return states, h, c

    def _lstm(self, d: int, x: Wide, h: Wide, c: Wide) -> tuple[Wide, Wide]:
        gates = x @ self.weights[d].T + h @ self.recurrence[d].T + self.bias[d]
        i, o, f, fresh = np.split(gates, 4, 1)
        at_i, at_o, at_f = np.split(self.peephole[d].astype(np.float64), 3)
        c = _sigmoid(f + at_f * c) * c + _sigmoid(i + at_i * c) * np.tanh(fresh)
        return _sigmoid(o + at_o * c) * np.tanh(c), c

    def _gru(self, d: int, x: Wide, h: Wide, c: Wide) -> tuple[Wide, Wide]:
        n = self._hidden
        given = x @ self.weights[d].T + self.bias[d][: 3 * n]
        r = self.recurrence[d].astype(np.float64)
        update = _sigmoid(given[:, :n] + h @ r[:n].T)
        reset = _sigmoid(given[:, n : 2 * n] + h @ r[n : 2 * n].T)
        read = h if self.linear else reset * h
        before = read @ r[2 * n :].T + self.bias[d][3 * n :]
        fresh = np.tanh(given[:, 2 * n :] + (reset * before if self.linear else before))
        return (1 - update) * fresh + update * h, c


def _sigmoid(x: Wide) -> Wide:
    with np.errstate(over="ignore"):
        result: Wide = 1 / (1 + np.exp(-x))
    return result
