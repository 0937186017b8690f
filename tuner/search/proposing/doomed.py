"""What is bound to fail for what another candidate failed for, so that it is not tried."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from farm.candidate import Candidate, GraphLevel, OnnxRuntimeCpu, PackageEngine
from farm.measurement import Outcome
from tuner.runs.history import Entry

_LEVELS = tuple(GraphLevel)  # the least first
_COMPILER_FAILURES = 2
_COMPILING_FAILED = frozenset({Outcome.COMPILE_ERROR, Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY})


def is_doomed(candidate: Candidate, history: Sequence[Entry]) -> bool:
    """Whether a candidate would fail for certain.

    What the baseline failed for at a graph level it fails for at higher ones.
    What the generator does not support it supports for no compiler; a compiler that failed
    twice goes on failing; what was too large or too slow was so in int8, or in float.
    """
    if not isinstance(candidate.engine, PackageEngine):
        return _is_above_runnable_level(candidate, history)
    failed = [
        e
        for e in history
        if isinstance(e.candidate.engine, PackageEngine) and e.outcome in _COMPILING_FAILED
    ]
    crashes = [e for e in failed if e.message.startswith("The compiler")]
    same = [e for e in crashes if e.candidate.engine == candidate.engine]
    others = [e for e in failed if e not in crashes]
    return len(same) >= _COMPILER_FAILURES or any(_stops(e, candidate) for e in others)


def _is_above_runnable_level(candidate: Candidate, history: Sequence[Entry]) -> bool:
    failed = [entry.candidate for entry in takewhile(lambda entry: not entry.ok, history)]
    if not failed or len(failed) == len(history):
        return False
    works = history[len(failed)].candidate
    match candidate.engine, works.engine:
        case OnnxRuntimeCpu(graph_level=level), OnnxRuntimeCpu(graph_level=runnable):
            alike = candidate.precision == works.precision == failed[-1].precision
            return alike and _LEVELS.index(level) > _LEVELS.index(runnable)
    return False


def _stops(failed: Entry, candidate: Candidate) -> bool:
    """Whether what a package failed for holds for another one."""
    quantised = candidate.precision.quantization is not None
    is_unsupported = (
        failed.outcome is Outcome.COMPILE_ERROR and "weights need" not in failed.message
    )
    failed_quantised = failed.candidate.precision.quantization is not None
    return is_unsupported or quantised == failed_quantised
