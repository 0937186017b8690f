"""What predictions alone would have a search try first, without planners, samplers and luck."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

import numpy as np

from farm.candidate import Candidate
from tuner.search.prior import Expected, Prior
from tuner.search.proposing.families import Family, family, one_of_each
from tuner.search.proposing.surrogate import Surrogate
from tuner.search.regression.process import Rows

TOGETHER = 6
"""Candidates that a search tries before it predicts anew."""


def rank(
    pool: Sequence[Candidate], prior: Prior, tried: Rows, count: int
) -> tuple[tuple[Candidate, Expected], ...]:
    """The most promising first, at most so many, with what is expected of each.

    As many as a search tries together are chosen one after the other, as it does; what comes after
    these follows from what they will measure, so that the rest goes by its bounds.
    """
    surrogate = Surrogate(pool, prior, tried)
    known = {family(candidate) for candidate in tried.candidates}
    order = list(islice(_order(surrogate, pool, known), count))
    return tuple((pool[at], surrogate.expected(at)) for at in order)


def _order(
    surrogate: Surrogate, pool: Sequence[Candidate], known: Collection[Family]
) -> Iterator[int]:
    """Indices of the pool. known: families of what was tried."""
    left, asked = list(range(len(pool))), set[Family]()
    for _ in range(min(TOGETHER, len(pool))):
        at = surrogate.best(one_of_each(left, pool, known, asked))
        surrogate.believe(at)
        asked.add(family(pool[at]))
        left.remove(at)
        yield at
    yield from (left[at] for at in np.argsort(surrogate.bounds()[left], kind="stable"))
