"""Kernels that are made up: convolutions whose speed follows a law."""

from __future__ import annotations

import math

import numpy as np

from farm.costs.families import Family
from farm.costs.operators import CostedOperator, Operand, Window
from farm.units import Seconds
from tuner.learning.kernels.rows import KernelRow, Setting

SETTING = Setting("cpu", "onnxruntime-cpu", "float32", "onnxruntime-cpu")
CACHES = (32768.0, 1048576.0)


def tensor(name: str, *shape: int, stored: bool = False) -> Operand:
    """Of float32."""
    count = math.prod(shape)
    return Operand(name, 4 * count, count, is_float=True, stored=stored, shape=shape)


def convolution(read: int, written: int, side: int, kernel: int = 3) -> CostedOperator:
    """One whose output is as large as its input."""
    return CostedOperator(
        f"conv_{read}_{written}_{side}",
        "Conv",
        Family.CONVOLUTION,
        f"conv {read} {written} {side} {kernel}",
        2 * read * written * side**2 * kernel**2,
        (
            tensor("x", 1, read, side, side),
            tensor("w", written, read, kernel, kernel, stored=True),
        ),
        (tensor("y", 1, written, side, side),),
        window=Window((kernel, kernel), (1, 1)),
    )


def law(op: CostedOperator) -> float:
    """Seconds: channels that do not fill 16 lanes cost as if they did."""
    read, written = op.reads[0].shape[1], op.writes[0].shape[1]
    filled = -(-read // 16) * 16 / read * -(-written // 16) * 16 / written
    return 2e-6 + 1e-11 * op.flops * filled


def row(model: str, op: CostedOperator, seconds: float, setting: Setting = SETTING) -> KernelRow:
    """A kernel of one operator."""
    return KernelRow(model, setting, (op,), 1e6, Seconds(seconds))


def law_rows(models: int, each: int, noise: float = 0.02, seed: int = 0) -> list[KernelRow]:
    """Kernels of so many models, so many each, that follow the law, but for noise."""
    random = np.random.default_rng(seed)
    made = []
    for model in range(models):
        for _ in range(each):
            read, written = (int(2 ** random.uniform(2, 7)) for _ in range(2))
            op = convolution(read, written, int(random.integers(4, 40)))
            made.append(row(f"m{model}", op, law(op) * math.exp(noise * random.standard_normal())))
    return made
