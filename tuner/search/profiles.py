"""Profiles at the end of a run: what each kernel takes, of the baseline and the best per engine.

After them, what quantising does at each operator of the winner, for those who read its report.

To time kernels disturbs what is measured, so nothing else is measured any more. A profile that
fails is a sentence about it, and takes nothing from the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farm.candidate import (
    DynamicInt8,
    Fake,
    OnnxRuntimeTensorRt,
    OpenVino,
    Pipeline,
    StaticInt8,
)
from farm.errors import CompileError, InfrastructureError, NotInStore
from tuner.events import Listener, StageStarted
from tuner.runs.clock import Budget
from tuner.runs.history import Entry, ranked
from tuner.runs.record.journal import Journal
from workers.trials.process import ChildError

_LEAST_SECONDS, _SECONDS = 0.3, 0.5  # that one candidate is run for
_ALWAYS = 2  # the baseline and the winner are profiled, however long that takes
_NEVER = Fake | Pipeline  # what has no kernels, or none that is timed
_SILENT = frozenset(
    {OpenVino().kind, OnnxRuntimeTensorRt().kind}
)  # one kernel is all of the model
_SHARE, _MOST_SECONDS = 0.05, 30.0  # of a device's budget, kept for profiles


def kept_for_profiles(total: float) -> float:
    """Seconds of a device's budget that are kept for profiles."""
    return min(_SHARE * total, _MOST_SECONDS)


def worth_profiling(confirmed: Sequence[Entry], tried: Sequence[Entry]) -> tuple[Entry, ...]:
    """Whose kernels are timed, the most important first.

    confirmed: the baseline and the winner. tried: all of the search, of which follows the best of
    every engine that tells what is in its kernels, unless it is one of these two.
    """
    chosen = {entry.candidate.id: entry for entry in confirmed}
    engines: set[str] = set(_SILENT)
    for entry in ranked(tried):
        if entry.candidate.engine.kind not in engines:
            engines.add(entry.candidate.engine.kind)
            chosen.setdefault(entry.candidate.id, entry)
    real = (e for e in chosen.values() if not isinstance(e.candidate.engine, _NEVER))
    return tuple(entry for entry in real if entry.ok)


def take_profiles(
    journal: Journal, entries: Sequence[Entry], budget: Budget, listen: Listener
) -> tuple[str, ...]:
    """Profile candidates, each once in a run; sentences on what failed.

    entries: see ``worth_profiling``. After the first two, only while there is time. budget: of
    profiles alone, so that a confirmation that took longer than planned takes none from them.
    """
    if entries:
        listen(StageStarted(journal.scope.device, "profiles"))
    return tuple(_profiled(journal, entries, budget))


def take_damage(journal: Journal, winner: Entry) -> tuple[str, ...]:
    """Measure what quantising does at each operator of a winner; sentences on what failed."""
    candidate = winner.candidate
    is_whole = not isinstance(candidate.engine, Fake | Pipeline)
    is_int8 = isinstance(candidate.precision.quantization, StaticInt8 | DynamicInt8)
    if not (is_whole and is_int8):
        return ()
    try:
        journal.damage(candidate)
    except (InfrastructureError, NotInStore) as error:
        return (f"What quantising does at each operator was not measured: {error}",)
    return ()


def _profiled(journal: Journal, entries: Sequence[Entry], budget: Budget) -> Iterator[str]:
    for at, entry in enumerate(entries):
        if at >= _ALWAYS and not budget.left:
            return
        try:
            journal.profile(entry, min(_SECONDS, max(_LEAST_SECONDS, budget.left)))
        except (ChildError, CompileError, InfrastructureError) as error:
            yield f"{entry.candidate.label()} has no profile of its operators: {error}"
