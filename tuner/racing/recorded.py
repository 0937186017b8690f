"""What is recorded of races, as the statistics take it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby

import numpy as np

from db.records import Block
from tuner.racing.statistics import FloatArray

MIN_COMMON_BLOCKS = 8
"""Fewer say little of a difference: with 8 pairs the smallest two-sided p is 1/128."""

FEWEST_PAIRS = 6
"""Of a confirmation: of fewer no signed-rank test tells anything at 5 %."""


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


def deciding_pairs(
    blocks: Iterable[Block], first: Collection[str], second: Collection[str]
) -> FloatArray:
    """As ``pairs_of``, of the one race by which a confirmation decided; none where no race did.

    It is the first with enough pairs: later ones of a run, which was given more time, compare
    others with the winner and leave what was found of it. blocks: race by race.
    """
    for _, race in groupby(blocks, key=lambda block: block.race):
        pairs = pairs_of(race, first, second)
        if len(pairs) >= FEWEST_PAIRS:
            return pairs
    return np.empty((0, 2))
