"""What is ranked without a search is what a search chooses by its predictions."""

from __future__ import annotations

import numpy as np

from tests.tuner.search.proposals import SPACE, entry
from tuner.search.expecting.cold import ColdPrior
from tuner.search.proposing.pool import pool
from tuner.search.proposing.propose import TURNS, Proposer
from tuner.search.proposing.rank import TOGETHER, rank
from tuner.search.proposing.surrogate import Surrogate
from tuner.search.regression.process import Rows
from tuner.search.stages import Stage

FIRST = [entry(SPACE.baseline(), 1.0)]
OFFERED = tuple(c for c in pool(SPACE, FIRST) if c != SPACE.baseline())
TRIED = Rows.of(FIRST)


def test_the_first_are_those_of_a_search_with_its_sentences() -> None:
    predicted = [turn is TURNS[0] for turn in TURNS].index(False)
    proposal = Proposer(SPACE, lambda _: (), 5).propose(FIRST, predicted)
    assert {why.stage for _, why in proposal.chosen} == {Stage.PREDICTED}
    ranked = rank(OFFERED, ColdPrior(SPACE), TRIED, predicted)
    assert tuple(c for c, _ in ranked) == proposal.candidates
    assert [said.sentence for _, said in ranked] == [why.why for _, why in proposal.chosen]


def test_the_rest_goes_by_its_bounds() -> None:
    ranked = [candidate for candidate, _ in rank(OFFERED, ColdPrior(SPACE), TRIED, 100_000)]
    assert sorted(c.id for c in ranked) == sorted(c.id for c in OFFERED), "each is there once"
    surrogate = Surrogate(OFFERED, ColdPrior(SPACE), TRIED)
    for candidate in ranked[:TOGETHER]:
        surrogate.believe(OFFERED.index(candidate))
    bounds = [surrogate.bounds()[OFFERED.index(c)] for c in ranked[TOGETHER:]]
    assert np.all(np.diff(bounds) >= 0.0)


def test_of_few_all_are_ranked() -> None:
    assert len(rank(OFFERED[:3], ColdPrior(SPACE), TRIED, 10)) == 3
    assert len(rank(OFFERED, ColdPrior(SPACE), TRIED, 2)) == 2
