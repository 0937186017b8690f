"""Accuracy: from the outputs of a run to one number between 0 and 1 (unless the user's differs).

Outputs are a list over the model's outputs of arrays [samples, *output shape].
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from farm.errors import DataError, OptionError

Array = NDArray[np.generic]
Outputs = Sequence[Array]
Labels = NDArray[np.int64]
UserMetric = Callable[[list[Array], Labels | None], float]

CONFIDENCE_Z = 1.959964  # two-sided 95 %
PROBABILITY_TOLERANCE = 1e-2  # how far a row of probabilities may be from a sum of 1
CLEAR_MARGIN = 1e-3  # by how much the first class must lead to be the answer


class MetricKind(StrEnum):
    """How accuracy is computed."""

    TOP1 = "top1"  # share of samples whose highest score is at the label
    AGREEMENT = "top1-agreement"  # the same, with the baseline's answer as the label
    COSINE = "cosine"  # mean cosine similarity with the baseline's output, of the worst output
    EXACT = "exact-match"  # share of samples whose outputs are all those of the baseline
    USER = "user"


@dataclass(frozen=True, slots=True)
class AccuracyMetric:
    """A way of computing accuracy.

    name: for tables and the store; ``module:function`` of a user's metric.
    output: position of the output that holds class scores (top1, agreement).
    """

    kind: MetricKind
    name: str
    output: int = 0
    function: UserMetric | None = None


@dataclass(frozen=True, slots=True)
class AccuracyResult:
    """One accuracy value.

    low, high: Wilson's 95 % interval of a share of samples, None for other metrics.
    sqnr_db: signal to quantisation noise of all float outputs against the baseline's, in
    decibels, None where they are equal or cannot be compared.
    note: why the value is 0 although the run gave outputs, "" where there is nothing to say.
    """

    metric: str
    value: float
    samples: int
    low: float | None = None
    high: float | None = None
    sqnr_db: float | None = None
    note: str = ""


def choose_metric(reference: Outputs, labels: Labels | None) -> AccuracyMetric:
    """The metric for a model, from its baseline's outputs and the labels.

    With labels: top1 on the first output that has one score per class. Without: agreement, if
    the only output is a row of probabilities per sample, most rows have a clear first, and the
    firsts are not all the same; else cosine similarity; exact match if no output is float.

    Raises DataError: there are labels, and no output has a score for each of them.
    """
    if labels is not None:
        return AccuracyMetric(MetricKind.TOP1, "top1", _scores_output(reference, labels))
    if len(reference) == 1 and _is_one_hot_like(reference[0]):
        return AccuracyMetric(MetricKind.AGREEMENT, str(MetricKind.AGREEMENT))
    kind = MetricKind.COSINE if any(_is_float(o) for o in reference) else MetricKind.EXACT
    return AccuracyMetric(kind, str(kind))


def load_metric(name: str) -> AccuracyMetric:
    """The metric ``module:function`` of the user: ``function(outputs, labels)`` gives a float.

    The module is one that Python finds, or a file ``module.py`` in the current folder.

    Raises OptionError: not of this form, no such module or function, the module fails to load.
    """
    module_name, colon, function_name = name.partition(":")
    if not (module_name and colon and function_name):
        raise OptionError(f"Metric '{name}' must have the form module:function.")
    try:
        module = _import(module_name)
    except ModuleNotFoundError as error:
        raise OptionError(
            f"Metric '{name}' needs the module '{error.name}', which Python does "
            "not find; install it or run the command in its folder."
        ) from None
    except Exception as error:  # the user's module may raise anything
        raise OptionError(
            f"Metric '{name}' cannot be used: loading '{module_name}' raised {error!r}."
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise OptionError(f"Metric '{name}': module '{module_name}' has no such function.")
    return AccuracyMetric(MetricKind.USER, name, function=function)


def accuracy(
    metric: AccuracyMetric, outputs: Outputs, reference: Outputs, labels: Labels | None
) -> AccuracyResult:
    """How good outputs are by a metric. reference: the baseline's outputs for the same samples.

    Outputs of another shape than the baseline's, or with NaN or infinity where the baseline has
    a number, have the accuracy 0 and a note.

    Raises OptionError: a user's metric raised, or did not give a finite number.
    """
    samples = len(reference[0])
    if note := _broken(outputs, reference):
        return AccuracyResult(metric.name, 0.0, samples, note=note)
    sqnr = sqnr_db(outputs, reference)
    if metric.kind is MetricKind.COSINE:
        return AccuracyResult(metric.name, _cosine(outputs, reference), samples, sqnr_db=sqnr)
    if metric.kind is MetricKind.USER:
        value = _user_value(metric, outputs, labels)
        return AccuracyResult(metric.name, value, samples, sqnr_db=sqnr)
    hits = _hits(metric, outputs, reference, labels)
    low, high = wilson(hits, samples)
    return AccuracyResult(metric.name, hits / samples, samples, low, high, sqnr)


def wilson(hits: int, samples: int, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """Interval of a share. E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212."""
    share = hits / samples
    spread = z * math.sqrt(share * (1 - share) / samples + (z / (2 * samples)) ** 2)
    centre = share + z * z / (2 * samples)
    scale = 1 + z * z / samples
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def sqnr_db(outputs: Outputs, reference: Outputs) -> float | None:
    """10 log10(signal energy / error energy) over all float outputs; None without either."""
    signal = error = 0.0
    for output, truth in _float_pairs(outputs, reference):
        signal += float(np.square(truth).sum())
        error += float(np.square(output - truth).sum())
    return 10 * math.log10(signal / error) if signal > 0 and error > 0 else None


def _hits(
    metric: AccuracyMetric, outputs: Outputs, reference: Outputs, labels: Labels | None
) -> int:
    """Samples that are right."""
    if metric.kind is MetricKind.EXACT:
        pairs = zip(outputs, reference, strict=True)
        equal = [_rows(output == truth).all(axis=1) for output, truth in pairs]
        return int(np.logical_and.reduce(equal).sum())
    truth = _answers(reference[metric.output]) if metric.kind is MetricKind.AGREEMENT else labels
    if truth is None:
        raise DataError("The metric top1 needs labels: add an array 'label' to the data file.")
    return int((_answers(outputs[metric.output]) == truth).sum())


def _scores_output(reference: Outputs, labels: Labels) -> int:
    largest = int(labels.max(initial=0))
    for position, output in enumerate(reference):
        rows = _rows(output)
        if _is_class(output) or (_is_row(output) and rows.shape[1] > max(1, largest)):
            return position
    shapes = ", ".join(str(list(output.shape[1:])) for output in reference)
    raise DataError(
        f"The data has labels up to {largest}, and no output of the model has one score per "
        f"class (their shapes: {shapes}); give a metric with --metric module:function, or leave "
        "the labels out."
    )


def _is_one_hot_like(output: Array) -> bool:
    rows = _rows(output)
    if not (_is_float(output) and _is_row(output) and np.isfinite(rows).all()):
        return False
    sums = rows.sum(axis=1, dtype=np.float64)
    if rows.min() < 0 or np.abs(sums - 1).max() > PROBABILITY_TOLERANCE:
        return False
    second, first = np.sort(rows, axis=1)[:, -2:].T
    clear = np.median(first - second) >= CLEAR_MARGIN
    return bool(clear) and len(np.unique(rows.argmax(axis=1))) > 1


def _is_row(output: Array) -> bool:
    """[samples, 1, ..., classes] with at least two classes."""
    return (
        output.ndim >= 2 and output.shape[-1] >= 2 and _rows(output).shape[1] == output.shape[-1]
    )


def _is_class(output: Array) -> bool:
    """One integer per sample: the model gives the class itself."""
    return np.issubdtype(output.dtype, np.integer) and output.size == len(output)


def _answers(output: Array) -> Labels:
    rows = _rows(output)
    answers = rows[:, 0] if _is_class(output) else rows.argmax(axis=1)
    return answers.astype(np.int64)


def _cosine(outputs: Outputs, reference: Outputs) -> float:
    """Of each output the mean over samples, of these the lowest; 1 where all are empty.

    An output of one number per sample has no direction; it is one vector over all samples.
    """
    means = []
    for output, truth in _float_pairs(outputs, reference):
        one_number = truth.shape[1] == 1
        similar = _similarity(output.T, truth.T) if one_number else _similarity(output, truth)
        means.append(float(similar.mean()))
    return min(means, default=1.0)


def _similarity(output: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine of the angle between rows, 1 for equal rows, 0 if only one of them is zero."""
    dot = (output * truth).sum(axis=1)
    length = np.linalg.norm(output, axis=1) * np.linalg.norm(truth, axis=1)
    cosine = np.divide(dot, length, out=np.zeros_like(dot), where=length > 0)
    cosine[(output == truth).all(axis=1)] = 1.0
    return np.asarray(np.clip(cosine, 0.0, 1.0))


def _float_pairs(
    outputs: Outputs, reference: Outputs
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Float outputs as [samples, values] with their references, without what is not finite."""
    pairs = []
    for output, truth in zip(outputs, reference, strict=True):
        if _is_float(truth) and truth.size:
            rows = _rows(truth).astype(np.float64)
            finite = np.isfinite(rows)
            other = _rows(output).astype(np.float64)
            pairs.append((np.where(finite, other, 0.0), np.where(finite, rows, 0.0)))
    return pairs


def _broken(outputs: Outputs, reference: Outputs) -> str:
    """What makes outputs worthless, "" if nothing does."""
    if len(outputs) != len(reference):
        return f"the run gave {len(outputs)} outputs, the baseline {len(reference)}"
    for position, (output, truth) in enumerate(zip(outputs, reference, strict=True)):
        if output.shape != truth.shape:
            return (
                f"output {position} has shape {list(output.shape[1:])}, the baseline's has "
                f"{list(truth.shape[1:])}"
            )
        if _is_float(output):
            lost = ~np.isfinite(output) & np.isfinite(truth)
            if lost.any():
                return (
                    f"output {position} has NaN or infinity in {_rows(lost).any(1).sum()} samples"
                )
    return ""


def _user_value(metric: AccuracyMetric, outputs: Outputs, labels: Labels | None) -> float:
    assert metric.function is not None
    try:
        value = float(metric.function(list(outputs), labels))
    except Exception as error:  # the user's function may raise anything
        raise OptionError(f"Metric '{metric.name}' raised {error!r}.") from error
    if not math.isfinite(value):
        raise OptionError(f"Metric '{metric.name}' gave {value}, which is not a finite number.")
    return value


def _import(name: str) -> ModuleType:
    file = Path(name.replace(".", "/") + ".py")
    spec = importlib.util.spec_from_file_location(name, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        return importlib.import_module(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows(output: Array) -> Array:
    return output.reshape(len(output), -1)


def _is_float(output: Array) -> bool:
    return "float" in output.dtype.name  # bfloat16 is not a float to numpy
