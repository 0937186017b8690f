"""Comparing latencies on a noisy machine: paired rank statistics and distribution-free intervals.

Pairs come from blocks: both values of a pair were measured in the same block, so that the drift
of the machine cancels in their log ratio. Nothing here assumes a normal distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from math import ceil, exp, inf, log1p, sqrt
from typing import Literal

import numpy as np
import scipy  # its packages are loaded where they are used, which takes long
from numpy.typing import NDArray

from farm.measurement import Estimate

FloatArray = NDArray[np.float64]
Alternative = Literal["two-sided", "less", "greater"]

# Up to here the null distribution is counted, beyond it is approximated by a normal one.
_EXACT_PAIRS = 64

# Relative efficiency of the signed-rank test against the t test under normal noise: 3 / pi.
_EFFICIENCY = 0.955


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much faster a candidate is than a reference.

    ratio: reference latency over candidate latency, 2.0 = the candidate is twice as fast.
    p_value: two-sided, of the hypothesis that both are equally fast. pairs: blocks compared.
    """

    ratio: Estimate
    p_value: float
    pairs: int


def compare(
    candidate_seconds: FloatArray, reference_seconds: FloatArray, confidence: float = 0.95
) -> Comparison:
    """Compare two series of latencies, [blocks] each, of which equal positions share a block.

    Raises ValueError when the series differ in length, are empty or hold a value that is not a
    positive finite time.
    """
    candidate = _log_seconds(candidate_seconds, "candidate")
    reference = _log_seconds(reference_seconds, "reference")
    if len(candidate) != len(reference):
        raise ValueError(
            f"a paired comparison needs one time of each per block; got {len(candidate)} of the "
            f"candidate and {len(reference)} of the reference"
        )
    ratios = reference - candidate
    return Comparison(ratio_interval(ratios, confidence), signed_rank_p(ratios), len(ratios))


def compare_net(
    candidate: FloatArray, reference: FloatArray, confidence: float = 0.95
) -> Comparison:
    """As ``compare``, of net values, [blocks] each, which may be 0 and below.

    Raises ValueError when the series differ in length or are empty.
    """
    if len(candidate) != len(reference) or not len(candidate):
        raise ValueError(
            f"a paired comparison needs one value of each per block; got {len(candidate)} of the "
            f"candidate and {len(reference)} of the reference"
        )
    ratio = net_ratio(reference, candidate, confidence)
    return Comparison(ratio, signed_rank_p(reference - candidate), len(candidate))


def net_ratio(over: FloatArray, under: FloatArray, confidence: float) -> Estimate:
    """The ratio r >= 0 of two paired series of net values, [n] each: where over - r under is 0.

    The rank analogue of Fieller's interval: all r of which the signed-rank test does not reject
    that ``over - r under`` is centred on zero, by the signs of its Walsh averages; 1 lies outside
    exactly when the test of the differences rejects. Noise is in the differences alone, so that a
    value near 0 spoils its own pair and no ratio. Limits are 0 and infinity where the blocks do
    not tell them, as where ``under`` is not told from 0.
    """
    sums, scales = _walsh_averages(over), _walsh_averages(under)
    turns = np.unique(np.divide(sums, scales, out=np.zeros_like(sums), where=scales != 0))
    turns = turns[turns > 0]
    edges = np.concatenate([[0.0], turns, [2 * turns[-1] + 1 if len(turns) else 1.0]])
    between = (edges[:-1] + edges[1:]) / 2  # one more than turns
    above = np.array([np.count_nonzero(sums > r * scales) for r in between])
    depth = _interval_depth(len(over), (1 - confidence) / 2)
    low, high = _bounds(turns, above, len(sums) - depth, depth) if depth else (0.0, inf)
    first, last = _bounds(turns, above, len(sums) / 2, len(sums) / 2)
    return Estimate(float((first + last) / 2), low, high)


def is_told(values: FloatArray, alpha: float = 0.05) -> bool:
    """Whether net ``values`` [n], n >= 1, are above 0, by a one-sided test at ``alpha``.

    Where n is too small for one (below 5 for 5 %): whether all of them are.
    """
    low = paired_interval(values, 1 - 2 * alpha).low
    return bool(low > 0 or (low == -inf and np.all(values > 0)))


def hodges_lehmann(d: FloatArray) -> float:
    """The centre of ``d`` [n], n >= 1: the median of its n (n + 1) / 2 Walsh averages."""
    return float(np.median(_walsh_averages(d)))


def paired_interval(d: FloatArray, confidence: float) -> Estimate:
    """The Hodges-Lehmann centre of ``d`` [n] and its interval from the ordered Walsh averages.

    The interval inverts the signed-rank test (Hollander, Wolfe and Chicken 2014, section 3.3);
    ties and zeros make it wider, never too narrow. Where n is too small for the confidence
    (below 6 for 95 %) no interval exists, and the limits are infinite.
    """
    averages = np.sort(_walsh_averages(d))
    depth = _interval_depth(len(d), (1 - confidence) / 2)
    centre = float(np.median(averages))
    if depth == 0:
        return Estimate(centre, -inf, inf)
    return Estimate(centre, float(averages[depth - 1]), float(averages[-depth]))


def ratio_interval(log_ratios: FloatArray, confidence: float) -> Estimate:
    """The ratio behind paired ``log_ratios`` [n]; limits 0 and infinity where none exist."""
    interval = paired_interval(log_ratios, confidence)
    return Estimate(exp(interval.value), exp(interval.low), exp(interval.high))


def signed_rank_p(d: FloatArray, alternative: Alternative = "two-sided") -> float:
    """Wilcoxon's signed-rank test of ``d`` [n] being centred on zero.

    Zeros are left out, ties share their mean rank; exact given the ties up to 64 pairs, then
    normal with continuity correction. ``greater`` asks whether d tends to be above zero. Returns
    1.0 when nothing but zeros is there.
    """
    d = d[d != 0]
    if d.size == 0:
        return 1.0
    ranks = _doubled_ranks(np.abs(d))
    above = int(ranks[d > 0].sum())
    below = int(ranks.sum()) - above
    match alternative:
        case "less":
            return _null_probability(ranks, above)
        case "greater":
            return _null_probability(ranks, below)
        case "two-sided":
            return min(1.0, 2 * _null_probability(ranks, min(above, below)))


def pairs_needed(effect: float, noise: float, alpha: float = 0.05, power: float = 0.9) -> int:
    """How many pairs a two-sided signed-rank test needs to find an effect.

    effect: relative difference in latency, 0.02 = 2 %, not 0 and above -1. noise: standard
    deviation of the log ratio within a block. The sample size of the paired z test over the
    asymptotic efficiency of the rank test (Lehmann 1975, appendix 4).
    """
    if effect == 0 or effect <= -1:
        raise ValueError(f"an effect must not be 0 and must be above -1; got {effect}")
    quantiles = float(scipy.special.ndtri(1 - alpha / 2) + scipy.special.ndtri(power))
    return max(1, ceil((quantiles * noise / log1p(effect)) ** 2 / _EFFICIENCY))


def quantile(samples: FloatArray, q: float, confidence: float = 0.95) -> Estimate | None:
    """The q quantile of independent ``samples`` [n], with an interval between order statistics.

    Holds for every distribution (Conover 1999, section 3.2). None when there are fewer than
    ``quantile_samples(q)`` samples, or too few for an interval with this confidence.
    """
    n = len(samples)
    if n < quantile_samples(q):
        return None
    tail = (1 - confidence) / 2
    at_most = _binomial(n, q)  # P(so many samples lie below the quantile)
    low, high = np.searchsorted(at_most, [tail, 1 - tail])
    if low < 1 or high >= n:
        return None
    ordered = np.sort(samples)
    return Estimate(float(np.quantile(ordered, q)), float(ordered[low - 1]), float(ordered[high]))


def quantile_samples(q: float) -> int:
    """How many samples a quantile needs before it is reported: 64 for 0.9, 662 for 0.99.

    The rule of MLPerf LoadGen's early stopping (``loadgen/early_stopping.cc`` with one query
    over the latency, tolerance 0, confidence 0.99): the smallest n of which, at 99 %, at least
    two lie beyond the quantile, so that it never hangs on the single worst sample.
    """
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies between 0 and 1, both excluded; got {q}")
    q = max(q, 1 - q)
    return next(n for n in count(2) if q ** (n - 1) * (q + n * (1 - q)) <= 0.01)


def median_interval(samples: FloatArray, confidence: float = 0.95) -> Estimate | None:
    """The median of independent ``samples`` [n] with its interval; None below 11 samples."""
    return quantile(samples, 0.5, confidence)


def _bounds(
    turns: FloatArray, above: NDArray[np.int64], most: float, least: float
) -> tuple[float, float]:
    """The first turn after which at most so many are above, the last before which so many are.

    above: how many before each turn, and after the last one.
    """
    few, many = np.flatnonzero(above <= most), np.flatnonzero(above >= least)
    starts, ends = np.concatenate([[0.0], turns]), np.concatenate([turns, [inf]])
    return (
        float(starts[few[0]]) if len(few) else inf,
        float(ends[many[-1]]) if len(many) else 0.0,
    )


def _log_seconds(seconds: FloatArray, whose: str) -> FloatArray:
    if len(seconds) == 0:
        raise ValueError(f"a paired comparison needs at least one block; the {whose} has none")
    if not np.all((seconds > 0) & np.isfinite(seconds)):
        raise ValueError(f"the times of the {whose} must be positive and finite")
    return np.log(seconds)


def _doubled_ranks(values: FloatArray) -> NDArray[np.int64]:
    """Twice the ranks of ``values`` [n]: ties share a mean rank, which doubled is an integer."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    doubled: NDArray[np.int64] = (2 * np.cumsum(counts) - counts + 1)[inverse]
    return doubled


def _walsh_averages(d: FloatArray) -> FloatArray:
    """(d[i] + d[j]) / 2 for all i <= j, [n (n + 1) / 2]."""
    rows, columns = np.triu_indices(len(d))
    averages: FloatArray = (d[rows] + d[columns]) / 2
    return averages


def _interval_depth(pairs: int, tail: float) -> int:
    """The position, from 1, of the Walsh average that bounds the interval; 0 when none does."""
    ranks = range(1, pairs + 1)
    if pairs <= _EXACT_PAIRS:
        return int(np.searchsorted(_null_distribution(tuple(ranks)), tail, side="right"))
    mean, deviation = sum(ranks) / 2, sqrt(sum(rank**2 for rank in ranks)) / 2
    return int(mean + scipy.special.ndtri(tail) * deviation - 0.5) + 1


def _null_probability(doubled_ranks: NDArray[np.int64], statistic: int) -> float:
    """P(T <= statistic), T the sum of doubled ranks whose signs are tosses of a fair coin."""
    if len(doubled_ranks) <= _EXACT_PAIRS:
        ranks = tuple(sorted(doubled_ranks.tolist()))
        return float(_null_distribution(ranks)[statistic])
    mean, deviation = doubled_ranks.sum() / 2, np.sqrt((doubled_ranks**2).sum()) / 2
    return float(scipy.special.ndtr((statistic + 1 - mean) / deviation))


def _binomial(n: int, q: float) -> FloatArray:
    """P(X <= k) for k = 0 ... n, X successes in n tries of which each has probability q."""
    tries = np.arange(n)
    steps = np.log((n - tries) / (tries + 1) * (q / (1 - q)))  # from one probability to the next
    logs = n * log1p(-q) + np.concatenate([[0.0], np.cumsum(steps)])
    distribution: FloatArray = np.minimum(np.cumsum(np.exp(logs)), 1.0)
    return distribution


@lru_cache(maxsize=512)
def _null_distribution(ranks: tuple[int, ...]) -> FloatArray:
    """P(T <= t) for t = 0 ... sum(ranks): every rank counts with probability one half."""
    mass = np.zeros(sum(ranks) + 1)
    mass[0] = 1.0
    for rank in ranks:
        mass[rank:] += mass[:-rank].copy()
        mass /= 2
    distribution = np.cumsum(mass)
    distribution.setflags(write=False)
    return distribution
