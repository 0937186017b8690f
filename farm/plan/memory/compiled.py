"""The planner's inner loops as they stand or as machine code; nothing else knows numba."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from farm.plan.memory.kernels import (
    SEARCH_HELPERS,
    Board,
    Ints,
    Shelf,
    first_fit,
    first_fit_in_time,
    search,
)
from farm.plan.memory.sweep import SWEEP_HELPERS, Strip, sweep


class Kernels(NamedTuple):
    """The functions that are called from outside, and what makes the integers that they take."""

    search: Callable[[Board, int, int], int]
    first_fit: Callable[[Shelf, Ints, int], int]
    first_fit_in_time: Callable[[Shelf, Ints], int]
    sweep: Callable[[Strip, int], int]
    ints: Callable[[Sequence[int]], Ints]
    zeros: Callable[[int], Ints]


def _zeros(count: int) -> list[int]:
    return [0] * count


PLAIN = Kernels(search, first_fit, first_fit_in_time, sweep, list, _zeros)


@cache
def compiled() -> Kernels:
    """The same functions as machine code; compiled on first use, then cached on disk."""
    from numba import njit  # noqa: PLC0415
    from numba.extending import register_jitable  # noqa: PLC0415

    for helper in (*SEARCH_HELPERS, *SWEEP_HELPERS):
        register_jitable(helper)
    try:
        compile_ = njit(nogil=True, cache=True)
        compiled_search = compile_(search)
    except RuntimeError:  # numba found no place for its cache that can be written
        compile_ = njit(nogil=True)
        compiled_search = compile_(search)
    return Kernels(
        search=compiled_search,
        first_fit=compile_(first_fit),
        first_fit_in_time=compile_(first_fit_in_time),
        sweep=compile_(sweep),
        ints=partial(np.array, dtype=np.int64),
        zeros=partial(np.zeros, dtype=np.int64),
    )
