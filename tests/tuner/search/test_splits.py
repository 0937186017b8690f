"""Devices that run nothing but splits, and splits among the proposals of others."""

from __future__ import annotations

import pytest

from db.store import Store
from farm.candidate import Candidate, CPackageEmulated, OnnxRuntimeCpu, Pipeline, PipelinePart
from farm.errors import InfrastructureError
from farm.measurement import Outcome
from tests.tuner.imagined import CountedBudget, Imagined, ImaginedExecutor, Traits, fakes
from tuner.results import Verdict
from tuner.runs.history import Entry
from tuner.search.proposing.propose import Proposer
from tuner.search.space import Space
from tuner.search.stages import Stage

SPLIT = Candidate(
    Pipeline(
        (
            PipelinePart("dsp", CPackageEmulated(), ("conv",)),
            PipelinePart("cpu", OnnxRuntimeCpu(), ("best",)),
        )
    )
)


def proposer(space: Space) -> Proposer:
    return Proposer(space, lambda _: (), seed=0)


def test_a_slower_split_wins_where_nothing_else_runs(store: Store) -> None:
    imagined = Imagined(store, ImaginedExecutor(), fakes(30.0, 20.0), only_splits=True)
    found, confirmed = imagined.run()
    assert [e.candidate for e in found.finalists] == [fakes(30.0, 20.0)[1], fakes(30.0, 20.0)[0]]
    assert confirmed.verdict is Verdict.SPLIT
    assert confirmed.winner.candidate == fakes(30.0, 20.0)[1]
    assert confirmed.ratio is not None
    assert confirmed.ratio.value == pytest.approx(0.05, rel=0.05)


def test_a_faster_one_is_improved_as_everywhere(store: Store) -> None:
    _, confirmed = Imagined(store, ImaginedExecutor(), fakes(0.5), only_splits=True).run()
    assert confirmed.verdict is Verdict.IMPROVED


def test_one_is_tried_however_little_time_there_is(store: Store) -> None:
    executor = ImaginedExecutor()
    imagined = Imagined(store, executor, fakes(2.0), only_splits=True)
    imagined.budget = CountedBudget(1.0, executor)
    assert len(imagined.search().entries) == 2


def test_where_no_split_runs_the_device_says_why(store: Store) -> None:
    broken = Traits(outcome=Outcome.COMPILE_ERROR, message="there is no such instruction.")
    (split,) = fakes(2.0)
    imagined = Imagined(store, ImaginedExecutor({split: broken}), [split], only_splits=True)
    found = imagined.search()
    with pytest.raises(InfrastructureError, match="no split of the model can be run: there is no"):
        imagined.confirm(found)


def test_a_device_of_splits_has_no_other_proposals() -> None:
    space = Space(("onnxruntime-cpu",), 4, splits=(SPLIT,), only_splits=True)
    first = proposer(space).propose([], 6)
    assert (first.stage, first.candidates) == (Stage.SPLITS, (SPLIT,))
    tried = Entry("trial", SPLIT, Outcome.OK)
    assert proposer(space).propose([tried], 6).stage is Stage.EXHAUSTED


def test_elsewhere_they_come_after_the_first_cohort() -> None:
    space = Space(("onnxruntime-cpu",), 2, splits=(SPLIT,))
    history = [Entry("base", space.baseline(), Outcome.OK, ratio=1.0)]
    first = proposer(space).propose(history, 6).candidates
    assert SPLIT not in first
    history += [Entry(c.id, c, Outcome.OK, ratio=0.9) for c in first]
    second = proposer(space).propose(history, 6).chosen
    assert [why.stage for c, why in second if c == SPLIT] == [Stage.SPLITS]
