"""Which measure of accuracy suits a model and its data; the user's own."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import ModuleType

from farm.accuracy import agreement
from farm.accuracy.outputs import Array, Labels, Outputs, Reference, is_class, is_row, rows
from farm.errors import DataError, OptionError

UserMetric = Callable[[list[Array], Labels | None], float]

LABELLED_LIMIT = 0.01
UNLABELLED_LIMIT = 0.05
"""How far accuracy may fall by default. Without labels more is allowed, for what changes there
is most often a decision on which the baseline was unsure itself, right or wrong."""


class MetricKind(StrEnum):
    """How accuracy is computed."""

    TOP1 = "top1"  # share of samples whose highest score is at the label
    AGREEMENT = agreement.NAME  # with the baseline's outputs, see ``farm.accuracy.agreement``
    USER = "user"


@dataclass(frozen=True, slots=True)
class AccuracyMetric:
    """A way of computing accuracy.

    name: for tables and the store; ``module:function`` of a user's metric.
    output: position of the output that holds class scores (top1).
    """

    kind: MetricKind
    name: str
    output: int = 0
    function: UserMetric | None = None


def choose_metric(reference: Reference, labels: Labels | None) -> AccuracyMetric:
    """The metric for a model, from its baseline's outputs and the labels.

    With labels: top1 on the first output that has one score per class. Without: agreement.

    Raises DataError: there are labels, and no output has a score for each of them.
    """
    if labels is None:
        return AccuracyMetric(MetricKind.AGREEMENT, str(MetricKind.AGREEMENT))
    output = _scores_output(reference.outputs, labels)
    return AccuracyMetric(MetricKind.TOP1, str(MetricKind.TOP1), output)


def default_limit(metric: str) -> float:
    """How far accuracy by a metric of this name may fall where the user did not say."""
    return UNLABELLED_LIMIT if metric == MetricKind.AGREEMENT else LABELLED_LIMIT


def own_accuracy(metric: str, found: float | None) -> float | None:
    """The model's own accuracy as others are held against it; None where that cannot be said.

    found: as it was judged. Outputs that are constant say nothing of the model, but it agrees with
    itself, and what gives another constant does not.
    """
    return 1.0 if found is None and metric == MetricKind.AGREEMENT else found


def metric_source(name: str) -> str:
    """Text of the file ``module.py`` in the current folder; "" where Python finds the module.

    It goes to the workers, which have other folders or run on other machines. Raises OSError.
    """
    file = _file(name.partition(":")[0])
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def load_metric(name: str, source: str = "") -> AccuracyMetric:
    """The metric ``module:function`` of the user: ``function(outputs, labels)`` gives a float.

    source: text of the module, if it is a file in the user's folder; else Python finds it.

    Raises OptionError: not of this form, no such module or function, the module fails to load.
    """
    module_name, colon, function_name = name.partition(":")
    if not (module_name and colon and function_name):
        raise OptionError(f"Metric '{name}' must have the form module:function.")
    try:
        module = _module(module_name, source)
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


def _scores_output(reference: Outputs, labels: Labels) -> int:
    largest = int(labels.max(initial=0))
    for position, output in enumerate(reference):
        if isinstance(output, tuple):
            continue
        if is_class(output) or (is_row(output) and rows(output).shape[1] > max(1, largest)):
            return position
    shapes = ", ".join(_shape(output) for output in reference)
    raise DataError(
        f"The data has labels up to {largest}, and no output of the model has one score per "
        f"class (their shapes: {shapes}); give a metric with --metric module:function, or leave "
        "the labels out."
    )


def _shape(output: Array | tuple[Array, ...]) -> str:
    return "one that varies" if isinstance(output, tuple) else str(list(output.shape[1:]))


def _file(module: str) -> Path:
    return Path(module.replace(".", "/") + ".py")


def _module(name: str, source: str) -> ModuleType:
    if not source:
        return importlib.import_module(name)
    module = ModuleType(name)
    module.__file__ = str(_file(name))
    exec(compile(source, module.__file__, "exec"), vars(module))  # noqa: S102  (the user's own)
    return module
