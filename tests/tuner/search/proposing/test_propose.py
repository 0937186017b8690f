"""Whose turn it is, nothing twice, nothing that is bound to fail, and the same again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    Fake,
    GivenFormat,
    GraphLevel,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    OpenVino,
    Precision,
    StaticInt8,
)
from farm.measurement import Outcome
from tests.tuner.search.proposals import SPACE, entry
from tuner.runs.history import Entry
from tuner.search.expecting.cold import ColdPrior
from tuner.search.proposing.doomed import is_doomed
from tuner.search.proposing.pool import pool
from tuner.search.proposing.propose import TURNS, Proposal, Proposer
from tuner.search.space import Space
from tuner.search.stages import Stage

DAMAGED = tuple(f"op{i}" for i in range(7))
FIRST = [entry(SPACE.baseline(), 1.0)]


def proposer(space: Space = SPACE, seed: int = 5) -> Proposer:
    return Proposer(space, lambda _: DAMAGED, seed)


def searched(
    space: Space, ratio: Callable[[Candidate], float], cohorts: int, count: int = 6
) -> list[Entry]:
    """What a search of so many cohorts tries where candidates have these ratios."""
    history = [entry(space.baseline(), 1.0)]
    for _ in range(cohorts):
        proposed = proposer(space).propose(history, count).candidates
        history += [entry(c, ratio(c)) for c in proposed]
    return history


def stages(proposal: Proposal) -> list[str]:
    return [why.stage for _, why in proposal.chosen]


def test_of_ten_trials_seven_are_predicted_two_sampled_and_one_drawn() -> None:
    assert stages(proposer().propose(FIRST, 6)) == [*["predicted"] * 5, "sample"]
    found = stages(proposer().propose(FIRST, len(TURNS)))
    counts = {stage: found.count(stage) for stage in set(found)}
    assert counts == {"predicted": 7, "sample": 2, "random": 1}


def test_the_turns_go_on_from_cohort_to_cohort() -> None:
    history = searched(SPACE, lambda _: 0.9, 1)
    assert stages(proposer().propose(history, 4)) == ["predicted", "predicted", "random", "sample"]


def test_what_is_promising_comes_first_and_is_not_all_alike() -> None:
    first = proposer().propose(FIRST, 5)
    assert first.candidates[0].engine.kind == "openvino"
    assert {c.engine.kind for c in first.candidates} == {"openvino", "onnxruntime-cpu"}
    assert len({c.precision for c in first.candidates}) > 1


def test_a_search_finds_what_is_good() -> None:
    """An engine in int8 at one thread, which nothing expects to be ten times as fast."""

    def ratio(candidate: Candidate) -> float:
        is_int8 = isinstance(candidate.precision.quantization, StaticInt8)
        good = is_int8 and candidate.engine.kind == "onnxruntime-cpu"
        return (0.1 if good else 0.9) * (0.8 if candidate.engine.threads == 1 else 1.0)

    history = searched(SPACE, ratio, 4)
    assert min(e.ratio or 9.0 for e in history) == pytest.approx(0.08)
    late = [ratio(e.candidate) for e in history[-6:]]
    assert sum(each < 0.2 for each in late) >= 4, "and looks around there"


def test_every_proposal_says_what_was_predicted() -> None:
    candidate, why = proposer().propose(FIRST, 1).chosen[0]
    expected = ColdPrior(SPACE).expect([candidate])[0].ratio
    assert why.ratio == pytest.approx(expected, rel=0.2)
    assert why.why.startswith(f"predicted {1 / (why.ratio or 1):.2g}x [")
    assert why.why.endswith("] by rules of thumb"), "what the baseline took says nothing of ratios"
    compared = [*FIRST, entry(candidate, 0.5)]
    _, later = proposer().propose(compared, 1).chosen[0]
    assert later.why.endswith("] from 1 row")


@pytest.mark.parametrize("engine", [OpenVino(threads=1), OnnxRuntimeWebGpu(layout="nchw")])
def test_a_provider_that_refused_operators_is_tried_with_help(
    engine: OpenVino | OnnxRuntimeWebGpu,
) -> None:
    message = "the provider did not take 1 of 9 operators: Loop."
    refused = Candidate(engine)
    history = [*FIRST, entry(refused, None, Outcome.RUN_ERROR, message)]
    candidate, why = proposer().propose(history, 1).chosen[0]
    assert candidate == Candidate(replace(engine, cpu_operators=True))
    assert why.stage == Stage.ENGINES
    other = [*FIRST, entry(refused, None, Outcome.RUN_ERROR, "it fell.")]
    assert stages(proposer().propose(other, 1)) == ["predicted"]


class TestRepairs:
    INT8 = Candidate(OpenVino(threads=1), Precision(quantization=StaticInt8(bias_correction=True)))

    def history(self, ratio: float, outcome: Outcome = Outcome.REJECTED) -> list[Entry]:
        others = searched(SPACE, lambda _: 0.5, 1)
        others = [replace(e, ratio=0.5) for e in others if e.candidate != self.INT8]
        return [*others, entry(self.INT8, ratio, outcome)]

    def repairs(self, history: list[Entry], names: tuple[str, ...] = DAMAGED) -> list[int]:
        """How many operators each repair keeps."""
        found = Proposer(SPACE, lambda _: names, 5).propose(history, 10)
        kept = [c.precision.quantization for c, why in found.chosen if why.stage == Stage.REPAIR]
        return [len(each.keep_float) for each in kept if each is not None]

    def test_a_fast_candidate_rejected_for_accuracy_is_repaired(self) -> None:
        assert self.repairs(self.history(0.2)) == [1, 2, 4]

    def test_a_slow_one_is_not_worth_it(self) -> None:
        plain = [e for e in self.history(0.9) if e.candidate.precision.quantization is None]
        assert self.repairs([*plain, *FIRST * 6, entry(self.INT8, 0.9, Outcome.REJECTED)]) == []

    def test_one_of_one_operator_cannot_be_repaired(self) -> None:
        assert self.repairs(self.history(0.2), ("op",)) == []

    def test_they_take_every_second_turn_of_predictions(self) -> None:
        found = stages(proposer().propose(self.history(0.2), 3))
        assert found.count("repair") <= 2


class TestPackages:
    ENGINES = (
        CPackage(target="avx2", compiler="zig"),
        CPackage(target="avx2", compiler="gcc"),
        CPackage(target="portable", compiler="zig"),
    )
    SPACE = replace(SPACE, engines=(*SPACE.engines, "cpackage"), packages=ENGINES)
    INT8 = next(p for p in SPACE.package_precisions() if p.quantization)
    FIRST = Candidate(ENGINES[0], INT8)

    def test_of_a_small_model_are_among_the_first(self) -> None:
        found = proposer(self.SPACE).propose(FIRST, 6).candidates
        assert found[0] == self.FIRST
        large = replace(self.SPACE, small=False)
        assert "cpackage" not in {
            c.engine.kind for c in proposer(large).propose(FIRST, 5).candidates
        }

    def doomed(
        self, message: str, outcome: Outcome = Outcome.COMPILE_ERROR, times: int = 1
    ) -> list[bool]:
        """Of packages, who is bound to fail after these failures of the first engine."""
        second = Candidate(self.ENGINES[0], Precision(quantization=StaticInt8()))
        failed = [entry(c, None, outcome, message) for c in (self.FIRST, second)[:times]]
        others = (Candidate(self.ENGINES[1], self.INT8), Candidate(self.ENGINES[0]), self.FIRST)
        return [is_doomed(c, [*FIRST, *failed]) for c in others]

    def test_what_the_generator_does_not_support_ends_them(self) -> None:
        message = "The code generator does not support operator 'x' (RNN): it has no code for RNN."
        assert self.doomed(message) == [True, True, True]

    def test_a_compiler_that_fails_twice_is_given_up(self) -> None:
        message = "The compiler zig failed: x."
        assert self.doomed(message) == [False, False, False]
        assert self.doomed(message, times=2) == [False, True, True]

    def test_what_is_too_large_or_slow_in_one_precision_may_not_be_in_another(self) -> None:
        for outcome in (Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY):
            assert self.doomed("", outcome) == [True, False, True]

    def test_rejected_ones_do_not_stop_the_others(self) -> None:
        assert self.doomed("4 bytes more.", Outcome.REJECTED) == [False, False, False]

    def test_what_fails_is_expected_of_its_like(self) -> None:
        """Nothing is certain here, and yet it is not tried again and again."""
        history = [entry(self.SPACE.baseline(), 1.0)]
        for _ in range(4):
            for c in proposer(self.SPACE).propose(history, 6).candidates:
                fails = isinstance(c.engine, CPackage) and c.precision.quantization is not None
                outcome = Outcome.RUN_ERROR if fails else Outcome.OK
                history.append(entry(c, None if fails else 0.9, outcome))
        failed = [e for e in history if not e.ok]
        assert 1 <= len(failed) <= 5

    def test_a_dsp_has_nothing_else(self) -> None:
        engine = CPackageEmulated()
        space = Space(("cpackage-emulated",), 2, quantizable=SPACE.quantizable, packages=(engine,))
        first, *others = space.baselines()
        assert first == space.baseline() == Candidate(engine)
        found = proposer(space).propose([entry(first, 1.0)], 9).candidates
        assert set(found) == set(others)
        history = [entry(first, 1.0), *(entry(c, 0.1) for c in others)]
        refined = proposer(space).propose(history, 9).candidates
        assert {c.precision.label() for c in refined} >= {"int8 per-channel entropy corrected"}


def test_callers_are_tried_where_their_results_count() -> None:
    space = replace(SPACE, many=True, packages=(CPackage(), CPackageEmulated()))
    found = proposer(space).propose([entry(space.baseline(), 1.0)], 30).candidates
    assert {c.callers for c in found} == {1, 2}
    assert all(space.offers(c) for c in found)
    assert {c.callers for c in found if c.engine == CPackage()} == {2}


def test_it_goes_on_until_nothing_is_left() -> None:
    space = Space(("openvino",), cores=1, quantizable={"dynamic-int8": ("a",)})
    history = [entry(space.baseline(), 1.0)]
    while chosen := proposer(space).propose(history, 6).candidates:
        assert len(chosen) <= 6
        history += [entry(c, 0.5 + 0.001 * len(history)) for c in chosen]
    assert proposer(space).propose(history, 6).stage is Stage.EXHAUSTED
    assert len({e.candidate for e in history}) == len(history) > 8


def test_the_fake_space_is_exhausted_after_its_engines() -> None:
    space = Space(("fake",), cores=2)
    history = [entry(space.baseline(), 1.0)]
    history += [entry(Candidate(engine), 0.9) for engine in space.float_engines()]
    assert proposer(space).propose(history, 6).candidates == ()
    assert {type(c.engine) for c in proposer(space).propose(history[:2], 9).candidates} == {Fake}


OUTCOMES = st.sampled_from(
    [(Outcome.OK, ""), (Outcome.REJECTED, "accuracy"), (Outcome.RUN_ERROR, "did not take 1")]
)


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_never_proposes_what_was_tried_and_never_differs(data: st.DataObject) -> None:
    history = list(FIRST)
    for _ in range(data.draw(st.integers(1, 4), "rounds")):
        count = data.draw(st.integers(1, 9), "count")
        proposal = proposer().propose(history, count)
        assert proposal == proposer().propose(history, count), "deterministic"
        seen = {e.candidate for e in history}
        assert not seen & set(proposal.candidates)
        assert len(set(proposal.candidates)) == len(proposal.candidates) == count
        for candidate in proposal.candidates:
            outcome, message = data.draw(OUTCOMES, "outcome")
            failed = outcome is Outcome.RUN_ERROR
            ratio = None if failed else data.draw(st.floats(0.1, 3.0), "ratio")
            history.append(entry(candidate, ratio, outcome, message))


def test_other_seeds_draw_otherwise() -> None:
    history = searched(SPACE, lambda _: 0.9, 1)
    drawn = {proposer(seed=seed).propose(history, 4).candidates[2] for seed in range(5)}
    assert len(drawn) > 2


def test_among_a_few_nothing_else_is_proposed() -> None:
    few = [Candidate(OpenVino(threads=1)), Candidate(OnnxRuntimeCpu(threads=1)), SPACE.baseline()]
    limited = Proposer(SPACE, lambda _: DAMAGED, 5, among=few)
    assert set(limited.propose(FIRST, 9).candidates) == set(few[:2])


def test_float32_inside_goes_with_the_models_own_16_bits() -> None:
    space = replace(SPACE, given=GivenFormat.FLOAT16)
    found = proposer(space).propose([entry(space.baseline(), 1.0)], 60).candidates
    labels = {c.precision.label() for c in found}
    assert {"float32 inside", "float16", "int8 per-channel percentile corrected"} <= labels


def test_what_the_baseline_failed_for_is_not_tried_again() -> None:
    int8 = {"dynamic-int8": ("b",)}
    space = replace(SPACE, engines=("onnxruntime-cpu",), quantizable=int8)
    higher, basic, none = space.baselines()
    failed = [entry(c, None, Outcome.RUN_ERROR) for c in (higher, basic)]
    history = [*failed, entry(none, 1.0)]
    found = [c for c in pool(space, history) if not is_doomed(c, history)]
    floats = {c.engine.graph_level for c in found if c.precision.quantization is None}
    quantised = {c.engine.graph_level for c in found if c.precision.quantization}
    assert floats == {GraphLevel.NONE}
    assert quantised == set(GraphLevel), "another graph may be optimised"
    assert set(proposer(space).propose(history, 6).candidates) <= set(found)
