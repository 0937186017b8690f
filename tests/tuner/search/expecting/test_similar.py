"""A warm start: near models say much, far ones little, and all of it in the right direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from db.records import Model
from farm.candidate import Candidate, OnnxRuntimeCpu, OpenVino, Precision, StaticInt8
from farm.measurement import Outcome
from tests.tuner.search.proposals import SPACE, entry
from tuner.search.expecting.likeness import Traits, likeness, likenesses, most_alike
from tuner.search.expecting.similar import Other, SimilarPrior
from tuner.search.prior import Expected
from tuner.search.proposing.pool import pool
from tuner.search.regression.process import Rows

POOL = pool(SPACE, [])
FAST = Candidate(OpenVino(threads=1))
NEAR, FAR = Candidate(OpenVino(threads=1, pinning=True)), Candidate(OnnxRuntimeCpu(threads=2))
INT8 = Candidate(OpenVino(threads=1), Precision(quantization=StaticInt8()))


class Even:
    """Expects the same of all."""

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        return (Expected(1.0, 0.6, 0, 0.1),) * len(candidates)


def prior(like: float, *ratios: float) -> SimilarPrior:
    """By models of a likeness in which FAST had these ratios, as NEAR and FAR had theirs."""
    others = tuple(Other(like, Rows.of([entry(FAST, ratio), entry(FAR, 1.0)])) for ratio in ratios)
    count = len(others)
    return SimilarPrior(Even(), others, np.full((count, count), 0.8) + 0.2 * np.eye(count))


def test_a_like_model_says_more_than_an_unlike_one() -> None:
    alike, unlike = (prior(like, 0.3).expect([FAST])[0] for like in (0.95, 0.2))
    assert alike.ratio < unlike.ratio < 1.0
    assert alike.spread < unlike.spread <= 0.6
    assert alike.rows == 2


def test_it_says_more_of_what_is_near_to_what_was_tried() -> None:
    own, near, far = prior(0.9, 0.3).expect([FAST, NEAR, FAR])
    assert own.ratio < near.ratio < far.ratio
    assert far.ratio == pytest.approx(1.0, abs=0.35)


def test_models_that_agree_say_more_than_one() -> None:
    one, three = prior(0.6, 0.3), prior(0.6, 0.3, 0.3, 0.3)
    assert three.expect([FAST])[0].ratio < one.expect([FAST])[0].ratio
    assert three.expect([FAST])[0].spread < one.expect([FAST])[0].spread


def test_what_failed_there_may_fail_here() -> None:
    failed = Rows.of([entry(INT8, None, Outcome.REJECTED), entry(FAR, 1.0)])
    found = SimilarPrior(Even(), (Other(0.9, failed),), np.ones((1, 1))).expect([INT8, FAR])
    assert found[0].failure > 0.3 > found[1].failure


def test_what_nobody_could_judge_says_nothing_of_failures() -> None:
    rows = Rows.of([entry(INT8, 0.5), entry(FAR, 1.0)])
    unknown = Rows(rows.candidates, rows.log_ratios, np.array([np.nan, 0.0]), rows.refused)
    found = SimilarPrior(Even(), (Other(0.9, unknown),), np.ones((1, 1))).expect([INT8, FAR])
    assert found[0].failure == pytest.approx(0.1, abs=0.03)
    assert found[0].ratio < 0.9, "and yet how fast it is"


def test_it_answers_alike_however_it_is_asked() -> None:
    one, other = prior(0.9, 0.3, 0.4), prior(0.9, 0.3, 0.4)
    together = one.expect(POOL[:20])
    assert [other.expect([c])[0] for c in POOL[:20]] == [
        Expected(pytest.approx(e.ratio), pytest.approx(e.spread), e.rows, pytest.approx(e.failure))
        for e in together
    ]
    assert one.expect(POOL[:20]) == together


def model(sha256: str, operators: dict[str, int], macs: int) -> Model:
    import json

    kept = {f"{t}{i}": [t, True] for t, count in operators.items() for i in range(count)}
    details = json.dumps({"operators": kept})
    return Model(sha256, sha256, 17, sum(operators.values()), 1000, macs, details)


def test_likeness_is_of_operators_and_sizes() -> None:
    conv = Traits.of(model("a", {"Conv": 8, "Relu": 8}, 10**6))
    more = Traits.of(model("b", {"Conv": 16, "Relu": 16}, 10**6))
    large = Traits.of(model("c", {"Conv": 8, "Relu": 8}, 10**9))
    other = Traits.of(model("d", {"MatMul": 9, "Softmax": 3}, 10**6))
    assert likeness(conv, conv) == 1.0
    assert likeness(conv, more) == pytest.approx(1.0)
    assert 0.0 == likeness(conv, other) < likeness(conv, large) < 0.8
    assert [name for _, name in most_alike(conv, [("d", other), ("c", large), ("b", more)])] == [
        "b",
        "c",
        "d",
    ]
    assert np.linalg.eigvalsh(likenesses([conv, more, large, other])).min() > -1e-9
