"""The one sentence of a bisection."""

from __future__ import annotations

from collections.abc import Sequence

from farm.measurement import Estimate, Metric
from farm.units import counted, format_seconds
from tuner.nightly.bisect.operators import OperatorChange
from tuner.nightly.tonight import Tonight
from tuner.nightly.verdicts.sentences import difference

_NAMED = 3  # operators of one group
_ENOUGH = 0.5  # of the step, which a group has before it is called most of it


def guilty_sentence(
    what: str,
    than: str,
    metric: Metric,
    ratio: Estimate,
    unknown: Sequence[str],
    operators: Sequence[OperatorChange],
) -> str:
    """``onnxruntime 1.32.0: 18.4 % slower than 1.31.1 [17.0, 19.9]; ...``."""
    told = f"{what}: {difference(metric, ratio, f' than {than}')}"
    if unknown:
        told += f"; it may have begun with {', '.join(unknown)}, which could not be measured"
    return f"{told}{_most(operators)}."


def nothing_sentence(package: str, metric: Metric, whole: Tonight) -> str:
    """That one state is not worse than the other one."""
    what = f"only {package} differs" if package else "only their options differ"
    return (
        f"Nothing was found: where {what}, "
        f"{difference(metric, whole.ratio, ' than the good state')} "
        f"(p = {whole.p_value:.2g}, {whole.pairs} pairs)."
    )


def _most(operators: Sequence[OperatorChange]) -> str:
    """Where most of it is spent, if anywhere."""
    if not operators or operators[0].increase <= 0:
        return ""
    most = operators[0]
    whole = sum(max(0.0, change.increase) for change in operators)
    share = "most of it" if most.increase >= _ENOUGH * whole else "the largest part of it"
    return (
        f"; {share} {_where(most)}: "
        f"{format_seconds(most.bad_seconds)} in place of {format_seconds(most.good_seconds)}"
    )


def _where(change: OperatorChange) -> str:
    kernels = ", ".join(change.bad_kernels or change.good_kernels)
    if not kernels:
        return "outside of all operators"
    if not change.operators:
        return f"in kernels that stand for no operator of the model ({kernels})"
    more = len(change.operators) - _NAMED
    rest = f" and {counted(more, 'more operator')}" if more > 0 else ""
    return f"in {', '.join(change.operators[:_NAMED])}{rest} ({kernels})"
