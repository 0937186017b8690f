"""Candidates that no list of choices has: what follows from how others did.

- help: a provider that refused some operators is tried with the rest on ONNX Runtime;
- repair: operators that quantisation damages most go back to float, where a fast candidate was
  rejected for its accuracy; later also in the fastest quantised one, should other data reject it;
- splits: what a placement plan proposes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from farm.candidate import Candidate, OnnxRuntimeGpu, OpenVino, StaticInt8
from farm.measurement import Outcome
from tuner.runs.history import Entry, ranked
from tuner.search.space import Space, with_keep_float
from tuner.search.stages import Stage

Sensitivity = Callable[[Candidate], tuple[str, ...]]
"""Operators of a quantised candidate, the most damaged first."""

_BEST = 2
_SETTLED, _LATE = 6, 24  # trials before a split or a repair is worth one; before a precaution is
_REFUSED = "did not take"


def planned(
    space: Space, history: Sequence[Entry], sensitivity: Sensitivity
) -> Iterator[tuple[Stage, Candidate]]:
    """What planners propose by now, the most promising first; some may have been tried.

    sensitivity: asked only for candidates that were measured.
    """
    yield from ((Stage.ENGINES, candidate) for candidate in _helped(history))
    if len(history) <= _SETTLED and not space.only_splits:
        return
    yield from ((Stage.SPLITS, candidate) for candidate in space.splits)
    if not space.only_splits:
        yield from ((Stage.REPAIR, candidate) for candidate in _repairs(history, sensitivity))


def _helped(history: Sequence[Entry]) -> Iterator[Candidate]:
    for entry in history:
        engine, precision = entry.candidate.engine, entry.candidate.precision
        if not isinstance(engine, OpenVino | OnnxRuntimeGpu) or engine.cpu_operators:
            continue
        if _REFUSED in entry.message and precision.keeps_precision:
            yield replace(entry.candidate, engine=replace(engine, cpu_operators=True))


def _repairs(history: Sequence[Entry], sensitivity: Sensitivity) -> Iterator[Candidate]:
    """The fastest quantised candidates with their 1, 2, 4, ... most damaged operators kept.

    A rejected one is worth it only while it is faster than all that were not rejected.
    """
    best = min((e.ratio for e in ranked(history) if e.ratio is not None), default=1.0)
    rejected = [
        (e.ratio, i, e)
        for i, e in enumerate(history)
        if e.outcome is Outcome.REJECTED and _is_repairable(e) and e.ratio and e.ratio < best
    ]
    inaccurate = [entry for _, _, entry in sorted(rejected, key=lambda row: row[:2])]
    late = len(history) > _LATE
    accurate = [e for e in ranked(history)[:_BEST] if _is_repairable(e)] if late else []
    for entry in (*inaccurate[:_BEST], *accurate[:1]):
        names = sensitivity(entry.candidate)
        kept = 1
        while kept < len(names):
            yield with_keep_float(entry.candidate, names[:kept])
            kept *= 2


def _is_repairable(entry: Entry) -> bool:
    quantization = entry.candidate.precision.quantization
    return isinstance(quantization, StaticInt8) and not quantization.keep_float
