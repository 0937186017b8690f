"""Agreement of decisions: of classes, of scores above a half, of whole numbers.

A class that is decided for is what counts, not the score that it got. Where one decision is made
per sample, agreement is the share of equal ones, or (1 + kappa) / 2 with Cohen's kappa where that
is less: a model that always answers alike agrees in most samples if most have one class, and its
kappa is 0 (J. Cohen, Educ. Psychol. Meas. 20 (1960), 37-46). Where many are made, most of them say
"background", and the share would say nothing of those that matter: agreement is then the F1 score
(the Dice coefficient) of the decisions for another class than the baseline's most frequent one,
and of each class that the baseline chooses often enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.accuracy.outputs import Floats

PROBABILITY_TOLERANCE = 1e-2  # how far a row of probabilities may be from a sum of 1
CLEAR_MARGIN = 1e-3  # by how much the first class must lead to be the answer
OFTEN = 20  # a class is judged alone from so many decisions of the baseline on
POSITIVE = 0.5  # a score from here on is a detection
QUIET = 0.05  # a score column that never reaches it has detected nothing, nor nearly so
_SKEWED = 0.3  # median of such a column's scores beside the largest, at most
_UNDECIDED = (0.1, 0.9)  # scores between are neither no nor yes ...
_MOST_UNDECIDED = 0.25  # ... and more of them than this share are no scores but values


@dataclass(frozen=True, slots=True)
class Decided:
    """Agreement of decisions. channel: the class that agrees worst, None for all together."""

    value: float
    channel: int | None = None


def class_axis(truth: Floats) -> int | None:
    """The axis whose positions are the classes of one-hot-like rows; None if there is none.

    truth: [samples, *shape], the shape with its batch. Along the axis nothing is negative, sums
    are 1, and the first class leads clearly in most rows.
    """
    if truth.ndim < 2 or not truth.size or truth.min() < 0:
        return None
    for axis in dict.fromkeys((truth.ndim - 1, min(2, truth.ndim - 1), 1)):
        if truth.shape[axis] < 2:
            continue
        if np.abs(truth.sum(axis=axis) - 1.0).max() > PROBABILITY_TOLERANCE:
            continue
        second, first = np.moveaxis(np.sort(truth, axis=axis), axis, 0)[-2:]
        if np.median(first - second) >= CLEAR_MARGIN:
            return axis
    return None


def agreement_of_classes(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], again: NDArray[np.int64] | None = None
) -> Decided | None:
    """Agreement of decisions [samples, decisions]; None if the baseline decides always alike.

    again: the baseline's second answer, by which its own disagreement is not held against ours.
    """
    classes, counts = np.unique(theirs, return_counts=True)
    if len(classes) < 2:
        return None
    if theirs.shape[1] == 1:
        value = min(_share(ours, theirs), (1.0 + _kappa(ours, theirs)) / 2.0)
        return Decided(_excused(value, theirs, again))
    background = classes[counts.argmax()]
    worst = Decided(_f1(ours != background, theirs != background, ours == theirs))
    for found in classes[counts >= OFTEN]:
        value = _f1(ours == found, theirs == found, ours == theirs)
        if value < worst.value:
            worst = Decided(value, int(found))
    return Decided(_excused(worst.value, theirs, again), worst.channel)


def agreement_of_scores(values: Floats, truth: Floats) -> float | None:
    """F1 of a score column's decisions; None if the baseline's column has values, not scores.

    values, truth: of one column over all samples. Scores lie between 0 and 1, most of them near
    either end, and some are detections. None is 0, as what passed a Relu often is.
    """
    if truth.min() <= 0 or truth.max() > 1 or truth.max() < POSITIVE:
        return None
    low, high = _UNDECIDED
    if np.mean((truth > low) & (truth < high)) > _MOST_UNDECIDED:
        return None
    ours, theirs = values >= POSITIVE, truth >= POSITIVE
    equal = ours == theirs
    return min(_f1(ours, theirs, equal), _f1(~ours, ~theirs, equal))


def is_quiet(values: Floats, truth: Floats) -> bool:
    """Whether a score column detects nothing, nor nearly so, by either side.

    Scores of what is not there lie far below the largest of them; small sizes or rates do not.
    """
    silent = truth.min() > 0 and max(truth.max(), values.max()) < QUIET
    return bool(silent and np.median(truth) <= _SKEWED * truth.max())


def _share(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    return float(np.mean(ours == theirs))


def _kappa(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    """Agreement beyond what the frequencies of the classes give by chance, at least 0."""
    classes = np.union1d(ours, theirs)
    chance = sum(float(np.mean(ours == c) * np.mean(theirs == c)) for c in classes)
    return max(0.0, (_share(ours, theirs) - chance) / (1.0 - chance))


def _f1(ours: NDArray[np.bool_], theirs: NDArray[np.bool_], equal: NDArray[np.bool_]) -> float:
    found = int(ours.sum()) + int(theirs.sum())
    return 1.0 if found == 0 else 2.0 * int((ours & theirs & equal).sum()) / found


def _excused(value: float, theirs: NDArray[np.int64], again: NDArray[np.int64] | None) -> float:
    """The value on the scale of what the baseline reaches itself, with what chance takes."""
    if again is None:
        return value
    own = _share(again, theirs)
    chance = 2.0 * np.sqrt(own * (1.0 - own) / theirs.size)
    return float(min(1.0, value + (1.0 - own) + chance))
