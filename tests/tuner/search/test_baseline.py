"""What takes the place of a baseline that cannot be run."""

from __future__ import annotations

import pytest

from farm.candidate import (
    Candidate,
    CPackageEmulated,
    GraphLevel,
    OnnxRuntimeCpu,
    Precision,
    StaticInt8,
)
from farm.errors import InfrastructureError
from farm.measurement import Outcome
from tuner.runs.history import Entry
from tuner.search.baseline import Baseline, find_baseline

ALL, BASIC, NONE = LEVELS = tuple(
    Candidate(OnnxRuntimeCpu(graph_level=level))
    for level in (GraphLevel.ALL, GraphLevel.BASIC, GraphLevel.NONE)
)
FLOAT = Candidate(CPackageEmulated())
INT8 = Candidate(CPackageEmulated(), Precision(quantization=StaticInt8()))
OK, FAILS, LARGE = Outcome.OK, Outcome.RUN_ERROR, Outcome.REJECTED


def found(candidates: tuple[Candidate, ...], *outcomes: Outcome) -> Baseline:
    """Each candidate that is run ends as the next of the outcomes."""
    left = iter(outcomes)

    def run(candidate: Candidate) -> Entry:
        outcome = next(left)
        return Entry(candidate.id, candidate, outcome, f"{candidate.label()}: {outcome}.")

    return find_baseline(candidates, run)


@pytest.mark.parametrize(
    ("candidates", "outcomes", "baseline", "original"),
    [
        (LEVELS, [OK], ALL, ALL),
        (LEVELS, [FAILS, OK], BASIC, BASIC),
        (LEVELS, [FAILS, FAILS, OK], NONE, NONE),
        ((FLOAT, INT8), [OK], FLOAT, FLOAT),
        ((FLOAT, INT8), [LARGE, OK], INT8, FLOAT),
    ],
)
def test_the_first_that_runs(
    candidates: tuple[Candidate, ...],
    outcomes: list[Outcome],
    baseline: Candidate,
    original: Candidate,
) -> None:
    result = found(candidates, *outcomes)
    assert (result.entry.candidate, result.original.candidate) == (baseline, original)
    assert [entry.outcome for entry in result.tried] == outcomes
    notes = tuple(result.notes())
    assert len(notes) == (original not in (ALL, FLOAT)), "packages are told of elsewhere"


@pytest.mark.parametrize(
    ("candidates", "outcomes", "told"),
    [
        (LEVELS, [FAILS, FAILS, FAILS], ALL),  # the level that users have says it best
        (LEVELS, [Outcome.TIMEOUT], ALL),  # at another level it takes as long
        ((FLOAT, INT8), [FAILS], FLOAT),  # and integers change nothing where that fails
        ((FLOAT, INT8), [LARGE, LARGE], INT8),
    ],
)
def test_nothing_takes_its_place(
    candidates: tuple[Candidate, ...], outcomes: list[Outcome], told: Candidate
) -> None:
    with pytest.raises(InfrastructureError) as caught:
        found(candidates, *outcomes)
    label, outcome = told.label(), outcomes[0]
    expected = f"the baseline cannot be measured ({outcome}): {label}: {outcome}."
    assert str(caught.value) == expected
