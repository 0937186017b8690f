"""Accuracy of the outputs of a run by a metric, as one result."""

from __future__ import annotations

import math

import numpy as np

from farm.accuracy.agreement import agreement
from farm.accuracy.metric import AccuracyMetric, MetricKind
from farm.accuracy.outputs import (
    Array,
    Labels,
    Output,
    Outputs,
    Reference,
    is_class,
    is_float,
    rows,
)
from farm.accuracy.result import AccuracyResult
from farm.errors import DataError, OptionError

CONFIDENCE_Z = 1.959964  # two-sided 95 %
_NO_ANSWER = -1


def accuracy(
    metric: AccuracyMetric, outputs: Outputs, reference: Reference, labels: Labels | None
) -> AccuracyResult:
    """How good outputs are by a metric. reference: the baseline's answers to the same samples.

    Outputs of another shape than the baseline's, or with NaN or infinity where the baseline has
    a number, have the accuracy 0 and a note. The value is None where accuracy cannot be judged.

    Raises OptionError: a user's metric raised, or did not give a finite number.
    """
    samples = reference.samples
    if note := _broken(outputs, reference):
        return AccuracyResult(metric.name, 0.0, samples, notes=(note,))
    match metric.kind:
        case MetricKind.AGREEMENT:
            return agreement(outputs, reference)
        case MetricKind.USER:
            return AccuracyResult(metric.name, _user_value(metric, outputs, labels), samples)
        case MetricKind.TOP1:
            return _top1(metric, outputs, reference, labels)


def wilson(hits: int, samples: int, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """Interval of a share. E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212."""
    share = hits / samples
    spread = z * math.sqrt(share * (1 - share) / samples + (z / (2 * samples)) ** 2)
    centre = share + z * z / (2 * samples)
    scale = 1 + z * z / samples
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _top1(
    metric: AccuracyMetric, outputs: Outputs, reference: Reference, labels: Labels | None
) -> AccuracyResult:
    if labels is None:
        raise DataError("The metric top1 needs labels: add an array 'label' to the data file.")
    ours, theirs = (_answers(each[metric.output]) for each in (outputs, reference.outputs))
    lost, samples = int((theirs == _NO_ANSWER).sum()), len(labels)
    notes: tuple[str, ...] = ()
    if lost:
        name = reference.name(metric.output)
        notes = (f"Output '{name}' has NaN or infinity in {lost} of {samples} samples.",)
    if lost == samples:
        return AccuracyResult(metric.name, None, samples, notes=notes)
    hits = int((ours == labels).sum())
    low, high = wilson(hits, samples)
    return AccuracyResult(metric.name, hits / samples, samples, low, high, notes)


def _answers(output: Output) -> Labels:
    """The class of every sample, ``_NO_ANSWER`` where its scores are not finite."""
    assert not isinstance(output, tuple), "choose_metric takes none whose shape varies"
    if is_class(output):
        return rows(output)[:, 0].astype(np.int64)
    scores = rows(output).astype(np.float64)
    finite = np.isfinite(scores).all(axis=1)
    return np.where(finite, scores.argmax(axis=1), _NO_ANSWER).astype(np.int64)


def _broken(outputs: Outputs, reference: Reference) -> str:
    """What makes outputs worthless, "" if nothing does."""
    if len(outputs) != len(reference.outputs):
        return f"The run gave {len(outputs)} outputs, the baseline {len(reference.outputs)}."
    for position, (output, truth) in enumerate(zip(outputs, reference.outputs, strict=True)):
        name = reference.name(position)
        if isinstance(truth, tuple):
            continue  # compared sample by sample
        if isinstance(output, tuple):
            return f"Output '{name}' has another shape in some samples, the baseline's has not."
        if output.shape != truth.shape:
            return (
                f"Output '{name}' has shape {list(output.shape[1:])}, the baseline's has "
                f"{list(truth.shape[1:])}."
            )
        if is_float(output) and (lost := _lost(output, truth)):
            return f"Output '{name}' has NaN or infinity in {lost} samples."
    return ""


def _lost(output: Array, truth: Array) -> int:
    """Samples with NaN or infinity where the baseline has a number."""
    ours, theirs = output.astype(np.float64), truth.astype(np.float64)
    return int(rows(~np.isfinite(ours) & np.isfinite(theirs)).any(axis=1).sum())


def _user_value(metric: AccuracyMetric, outputs: Outputs, labels: Labels | None) -> float:
    assert metric.function is not None
    try:
        value = float(metric.function([_plain(each) for each in outputs], labels))
    except Exception as error:  # the user's function may raise anything
        raise OptionError(f"Metric '{metric.name}' raised {error!r}.") from error
    if not math.isfinite(value):
        raise OptionError(f"Metric '{metric.name}' gave {value}, which is not a finite number.")
    return value


def _plain(output: Output) -> Array:
    """One array for the user's function; of objects where the shape varies."""
    if not isinstance(output, tuple):
        return output
    array = np.empty(len(output), dtype=object)
    array[:] = list(output)
    return array
