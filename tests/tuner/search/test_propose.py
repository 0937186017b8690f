"""Stages in order, nothing twice, and the same again for the same history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from farm.candidate import (
    CalibrationMethod,
    Candidate,
    CPackage,
    CPackageEmulated,
    DynamicInt8,
    FloatType,
    GivenFormat,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVino,
    Precision,
    StaticInt8,
)
from farm.measurement import Measurement, Method, Metric, Outcome
from tuner.runs.history import Entry
from tuner.search.propose import Proposal, Proposer, Stage
from tuner.search.space import Space

SPACE = Space(
    ("onnxruntime-cpu", "openvino"),
    cores=2,
    openvino_float_types=(FloatType.FLOAT32, FloatType.BFLOAT16),
    quantizable={"static-int8": ("a", "b"), "dynamic-int8": ("b",), "weight-only-int4": ("b",)},
)
DAMAGED = tuple(f"op{i}" for i in range(7))
FLOATS = tuple(Candidate(engine) for engine in SPACE.float_engines())
ENGINES = tuple(dict.fromkeys((*FLOATS, *SPACE.recommended())))


def proposer(space: Space = SPACE) -> Proposer:
    return Proposer(space, lambda _: DAMAGED, seed=5)


def entry(
    candidate: Candidate, ratio: float | None, outcome: Outcome = Outcome.OK, message: str = ""
) -> Entry:
    measured = {}
    if ratio is not None:
        measured = {Metric.LATENCY: Measurement(Metric.LATENCY, ratio, Method.MEASURED)}
    return Entry(candidate.id, candidate, outcome, message, "", measured, ratio)


def engines_tried(**ratios: float) -> list[Entry]:
    """The baseline and every float setting, by kind of engine; the first of a kind is best."""
    tried = [entry(SPACE.baseline(), 1.0)]
    for i, candidate in enumerate(ENGINES):
        kind = candidate.engine.kind.replace("-", "_")
        tried.append(entry(candidate, ratios.get(kind, 0.9) + 0.01 * i))
    return tried


def precisions_tried(history: list[Entry], ratio: float) -> list[Entry]:
    """Everything that the stage of precisions proposes."""
    history = list(history)
    while (proposal := proposer().propose(history, 50)).stage is Stage.PRECISION:
        history += [entry(c, ratio) for c in proposal.candidates]
    return history


def test_engines_come_first() -> None:
    proposal = proposer().propose([entry(SPACE.baseline(), 1.0)], 100)
    assert proposal.stage is Stage.ENGINES
    assert set(proposal.candidates) == set(ENGINES)
    assert [c.label() for c in proposal.candidates[:2]] == [
        "openvino 2 threads float32",
        "openvino 2 threads bfloat16",
    ], "as its makers recommend it"
    assert {c.engine.kind for c in proposal.candidates} == {"onnxruntime-cpu", "openvino"}


def test_a_provider_that_refused_operators_is_tried_with_help() -> None:
    history = [entry(SPACE.baseline(), 1.0)]
    for candidate in ENGINES:
        refused = candidate.engine.kind == "openvino"
        message = "the OpenVINO provider did not take 1 of 9 operators: Loop." if refused else ""
        outcome = Outcome.RUN_ERROR if refused else Outcome.OK
        history.append(entry(candidate, None if refused else 0.9, outcome, message))
    proposal = proposer().propose(history, 100)
    assert proposal.stage is Stage.ENGINES
    assert proposal.candidates == (
        Candidate(OpenVino(threads=1, cpu_operators=True)),
        Candidate(OpenVino(threads=2, cpu_operators=True)),
    )


def test_other_failures_are_not_tried_again() -> None:
    history = [entry(SPACE.baseline(), 1.0)]
    history += [entry(c, None, Outcome.RUN_ERROR, "it fell.") for c in ENGINES]
    assert proposer().propose(history, 9).stage is not Stage.ENGINES


def test_callers_are_tried_with_the_engines_where_their_results_count() -> None:
    space = replace(SPACE, many=True, packages=(CPackage(), CPackageEmulated()))
    history = [entry(space.baseline(), 1.0)]
    found = proposer(space).propose(history, 100)
    assert found.stage is Stage.ENGINES
    one_thread = Candidate(OnnxRuntimeCpu(threads=1))
    assert {one_thread, replace(one_thread, callers=2)} <= set(found.candidates)
    assert all(space.offers(c) for c in found.candidates)
    history += [entry(c, 0.9 if c.callers == 1 else 0.5) for c in found.candidates]
    packaged = proposer(space).propose(history, 100)
    assert packaged.stage is Stage.PACKAGES
    assert {(c.engine.kind, c.callers) for c in packaged.candidates} == {("cpackage", 2)}
    history += [entry(c, 0.95) for c in packaged.candidates]
    after = proposer(space).propose(history, 100)
    assert {c.callers for c in after.candidates} == {2}, "of the best setting"


def test_precisions_are_tried_on_the_best_two_engines() -> None:
    proposal = proposer().propose(engines_tried(onnxruntime_cpu=0.8, openvino=0.4), 100)
    assert proposal.stage is Stage.PRECISION
    best = [e.candidate.engine for e in engines_tried() if e.candidate in ENGINES]
    first = {engine.kind: engine for engine in reversed(best)}
    assert {c.engine for c in proposal.candidates} == set(first.values())
    assert proposal.candidates[0] == Candidate(first["openvino"], Precision(FloatType.BFLOAT16)), (
        "the better engine goes first"
    )
    int8 = StaticInt8(calibration=CalibrationMethod.PERCENTILE, bias_correction=True)
    assert Precision(quantization=int8) in [c.precision for c in proposal.candidates]


def test_a_fast_candidate_rejected_for_accuracy_is_repaired() -> None:
    history = precisions_tried(engines_tried(onnxruntime_cpu=0.8), 0.95)
    quick = next(
        i
        for i, e in enumerate(history)
        if isinstance(e.candidate.precision.quantization, StaticInt8)
    )
    history[quick] = replace(history[quick], outcome=Outcome.REJECTED, ratio=0.2)
    proposal = proposer().propose(history, 3)
    assert proposal.stage is Stage.REPAIR
    quantization = history[quick].candidate.precision.quantization
    kept = [replace(quantization, keep_float=DAMAGED[:n]) for n in (1, 2, 4)]
    assert [c.precision.quantization for c in proposal.candidates] == kept
    assert {c.engine for c in proposal.candidates} == {history[quick].candidate.engine}


def test_a_slow_candidate_is_not_worth_a_repair() -> None:
    history = precisions_tried(engines_tried(onnxruntime_cpu=0.5, openvino=0.5), 0.95)
    rejected = [
        replace(e, outcome=Outcome.REJECTED, ratio=0.9)
        if e.candidate.precision.quantization
        else e
        for e in history
    ]
    assert proposer().propose(rejected, 9).stage is Stage.REFINE


def test_a_candidate_of_one_operator_cannot_be_repaired() -> None:
    history = precisions_tried(engines_tried(), 0.3)
    one = Proposer(SPACE, lambda _: ("op",), seed=5)
    assert one.propose(history, 9).stage is Stage.REFINE, "keeping it leaves nothing quantised"


def test_stages_come_in_order_until_nothing_is_left() -> None:
    space = Space(("onnxruntime-cpu",), cores=1, quantizable={"dynamic-int8": ("a",)})
    history = [entry(space.baseline(), 1.0)]
    stages: list[Stage] = []
    for _ in range(400):
        proposal = proposer(space).propose(history, 6)
        stages.append(proposal.stage)
        if proposal.stage is Stage.EXHAUSTED:
            break
        assert 1 <= len(proposal.candidates) <= 6
        history += [entry(c, 0.5 + 0.001 * len(history)) for c in proposal.candidates]
    assert stages[0] is Stage.ENGINES
    assert stages[-1] is Stage.EXHAUSTED
    assert proposal.candidates == ()
    firsts = list(dict.fromkeys(stages))
    order = list(Stage)
    assert firsts == sorted(firsts, key=order.index)
    assert len({e.candidate for e in history}) == len(history)


def test_the_fake_space_is_exhausted_after_its_engines() -> None:
    space = Space(("fake",), cores=2)
    history = [entry(space.baseline(), 1.0)]
    history += [entry(Candidate(engine), 0.9) for engine in space.float_engines()]
    assert proposer(space).propose(history, 6).stage is Stage.EXHAUSTED


OUTCOMES = st.sampled_from(
    [(Outcome.OK, ""), (Outcome.REJECTED, "accuracy"), (Outcome.RUN_ERROR, "did not take 1")]
)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_never_proposes_what_was_tried_and_never_differs(data: st.DataObject) -> None:
    history = [entry(SPACE.baseline(), 1.0)]
    for _ in range(data.draw(st.integers(1, 6), "rounds")):
        count = data.draw(st.integers(1, 9), "count")
        proposal = proposer().propose(history, count)
        assert proposal == proposer().propose(history, count), "deterministic"
        seen = {e.candidate for e in history}
        assert not seen & set(proposal.candidates)
        assert len(set(proposal.candidates)) == len(proposal.candidates) <= count
        for candidate in proposal.candidates:
            outcome, message = data.draw(OUTCOMES, "outcome")
            failed = outcome is Outcome.RUN_ERROR
            ratio = None if failed else data.draw(st.floats(0.1, 3.0), "ratio")
            history.append(entry(candidate, ratio, outcome, message))


def test_dynamic_quantisation_is_not_repaired() -> None:
    history = [
        replace(e, outcome=Outcome.REJECTED, ratio=0.1 if _dynamic(e) else 2.0)
        if e.candidate.precision.quantization
        else e
        for e in precisions_tried(engines_tried(), 0.9)
    ]
    assert proposer().propose(history, 9).stage is Stage.REFINE


def test_a_change_among_the_settings_does_not_start_all_precisions_again() -> None:
    history = precisions_tried(engines_tried(onnxruntime_cpu=0.5, openvino=0.7), 0.95)
    last = max(i for i, e in enumerate(history) if e.candidate in ENGINES)
    history[last] = replace(history[last], ratio=0.1)
    assert proposer().propose(history, 9).stage is Stage.REFINE


def _dynamic(tried: Entry) -> bool:
    return isinstance(tried.candidate.precision.quantization, DynamicInt8)


class TestPackages:
    ENGINES = (
        CPackage(target="avx2", compiler="zig"),
        CPackage(target="avx2", compiler="gcc"),
        CPackage(target="portable", compiler="zig"),
    )
    SPACE = replace(SPACE, engines=(*SPACE.engines, "cpackage"), packages=ENGINES)
    INT8 = Precision(
        quantization=StaticInt8(calibration=CalibrationMethod.PERCENTILE, bias_correction=True)
    )
    FIRST = (Candidate(ENGINES[0], INT8), Candidate(ENGINES[1], INT8))

    def propose(self, history: list[Entry], space: Space = SPACE) -> Proposal:
        return proposer(space).propose(history, 50)

    def after(self, **options: Any) -> Proposal:
        """What is proposed when the first package ended like this."""
        failed = entry(self.FIRST[0], None, **options)
        return self.propose([*engines_tried(), failed])

    def test_come_after_the_engines(self) -> None:
        assert self.propose([entry(SPACE.baseline(), 1.0)]).stage is Stage.ENGINES
        proposal = self.propose(engines_tried())
        assert proposal.stage is Stage.PACKAGES
        second = Precision(quantization=StaticInt8(bias_correction=True))
        others = [Candidate(self.ENGINES[0], precision) for precision in (second, Precision())]
        assert proposal.candidates == (*self.FIRST, *others)

    def test_of_a_large_model_come_after_the_precisions(self) -> None:
        space = replace(self.SPACE, small=False)
        history = engines_tried()
        assert self.propose(history, space).stage is Stage.PRECISION
        history = precisions_tried(history, 0.8)
        assert self.propose(history, space).stage is Stage.PACKAGES

    def test_the_rest_is_by_the_better_compiler(self) -> None:
        history = [*engines_tried(), entry(self.FIRST[0], 0.5), entry(self.FIRST[1], 0.4)]
        assert {c.engine for c in self.propose(history).candidates} == {self.ENGINES[1]}

    def test_what_the_generator_does_not_support_ends_them(self) -> None:
        message = "The code generator does not support operator 'x' (RNN): it has no code for RNN."
        failed = {"outcome": Outcome.COMPILE_ERROR, "message": message}
        assert self.after(**failed).stage is Stage.PRECISION

    def test_a_compiler_that_fails_twice_is_given_up(self) -> None:
        failed = {"outcome": Outcome.COMPILE_ERROR, "message": "The compiler zig failed: x."}
        proposal = self.after(**failed)
        assert self.ENGINES[0] in {c.engine for c in proposal.candidates}
        (second,) = (c for c in proposal.candidates if "min-max" in c.label())
        entries = [entry(c, None, **failed) for c in (self.FIRST[0], second)]
        again = self.propose([*engines_tried(), *entries])
        assert {c.engine for c in again.candidates} == {self.ENGINES[1]}

    def test_what_is_too_large_or_slow_in_one_precision_may_not_be_in_another(self) -> None:
        for outcome in (Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY):
            (proposed,) = self.after(outcome=outcome, message="").candidates
            assert proposed.precision == Precision()

    def test_rejected_ones_do_not_stop_the_others(self) -> None:
        proposal = self.after(outcome=Outcome.REJECTED, message="4 bytes more.")
        assert self.FIRST[1] in proposal.candidates

    def test_a_dsp_has_nothing_else(self) -> None:
        engine = CPackageEmulated()
        space = Space(("cpackage-emulated",), 2, quantizable=SPACE.quantizable, packages=(engine,))
        first, *others = space.baselines()
        assert first == space.baseline() == Candidate(engine)
        proposal = self.propose([entry(first, 1.0)], space)
        assert (proposal.stage, proposal.candidates) == (Stage.PACKAGES, tuple(others))
        assert others[0] == Candidate(engine, self.INT8)
        history = [entry(first, 1.0), *(entry(c, 0.1) for c in others)]
        repairs = self.propose(history, space)
        assert repairs.stage is Stage.REPAIR
        history += [entry(c, 0.2) for c in repairs.candidates]
        refined = self.propose(history, space)
        assert [c.precision.label() for c in refined.candidates] == [
            "int8 per-channel entropy corrected"
        ]
        history += [entry(c, 0.2) for c in refined.candidates]
        assert self.propose(history, space).stage is Stage.EXHAUSTED


def test_float32_inside_goes_with_the_models_own_16_bits() -> None:
    space = replace(SPACE, given=GivenFormat.FLOAT16)
    first = proposer(space).propose([entry(space.baseline(), 1.0)], 6)
    assert first.stage is Stage.ENGINES
    assert [c.label() for c in first.candidates] == [
        "openvino 2 threads float32 inside",
        "openvino 2 threads bfloat16",
        "onnxruntime-cpu 1 thread float32 inside",
        "onnxruntime-cpu 1 thread float16",
        "onnxruntime-cpu 2 threads float32 inside",
        "onnxruntime-cpu 2 threads float16",
    ]
    history = [entry(space.baseline(), 1.0)]
    while (proposal := proposer(space).propose(history, 50)).stage is Stage.ENGINES:
        history += [entry(c, 0.5) for c in proposal.candidates]
    assert proposal.stage is Stage.PRECISION
    labels = {c.precision.label() for c in proposal.candidates}
    assert {"int8 per-channel percentile corrected", "dynamic int8"} <= labels
    assert "float16" not in labels


def test_what_the_baseline_failed_for_is_not_tried_again() -> None:
    space = replace(SPACE, engines=("onnxruntime-cpu",))
    higher, basic, none = space.baselines()
    history = [
        entry(higher, None, Outcome.RUN_ERROR),
        entry(basic, None, Outcome.RUN_ERROR),
        entry(none, 1.0),
    ]
    float_levels, int8_levels = set(), set()
    while len(history) < 60 and (proposal := proposer(space).propose(history, 10)).candidates:
        for candidate in proposal.candidates:
            assert isinstance(candidate.engine, OnnxRuntimeCpu)
            levels = int8_levels if candidate.precision.quantization else float_levels
            levels.add(candidate.engine.graph_level)
        history += [entry(c, 0.9) for c in proposal.candidates]
    assert float_levels == {GraphLevel.NONE}
    assert int8_levels == set(GraphLevel), "another graph may be optimised"
