"""What is recorded of races, as the statistics take it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from db.records import Block
from tuner.racing.statistics import FloatArray

MIN_COMMON_BLOCKS = 8
"""Fewer say little of a difference: with 8 pairs the smallest two-sided p is 1/128."""


def pairs_of(
    blocks: Iterable[Block], first: Collection[str], second: Collection[str]
) -> FloatArray:
    """Latencies in the kept blocks in which one of each ran, [blocks, 2] in seconds.

    first, second: ids of the trials of either candidate.
    """
    pairs: list[tuple[float, float]] = []
    for block in blocks:
        seconds = {sample.trial_id: sample.seconds for sample in block.samples}
        ours = [seconds[trial] for trial in first if trial in seconds]
        theirs = [seconds[trial] for trial in second if trial in seconds]
        if block.kept and ours and theirs:
            pairs.append((ours[0], theirs[0]))
    return np.asarray(pairs, np.float64).reshape(-1, 2)
