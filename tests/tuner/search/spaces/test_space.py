"""Which choices exist."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.helper import make_node

from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    DynamicInt8,
    Fake,
    FloatType,
    GivenFormat,
    GraphLevel,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    OpenVino,
    OpenVinoRuntime,
    Precision,
    StaticInt8,
    ThreadedEngine,
    WeightOnlyInt4,
)
from farm.units import Bytes
from tests import models
from tests.tuner.search.proposals import SPACE
from tuner.search.options.onnxruntime import SPIN_MICROSECONDS
from tuner.search.space import (
    MOST_WEIGHTS,
    SMALL_MACS,
    Space,
    batched,
    fitted,
    threads_sentence,
    with_keep_float,
)


@pytest.mark.parametrize(
    ("cores", "threads"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))]
)
def test_thread_counts(cores: int, threads: tuple[int, ...]) -> None:
    assert Space(("onnxruntime-cpu",), cores).threads() == threads


@given(st.integers(1, 300))
def test_thread_counts_are_within_the_cores(cores: int) -> None:
    threads = Space(("onnxruntime-cpu",), cores).threads()
    assert threads == tuple(sorted(set(threads)))
    assert threads[0] == 1
    assert threads[-1] == cores


def test_the_baseline_is_the_first_engine_with_its_defaults() -> None:
    assert SPACE.baseline() == Candidate(OnnxRuntimeCpu())
    assert Space(("openvino",), 2).baseline() == Candidate(OpenVino())


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_limit_of_threads_holds_for_the_baseline_and_all_others(most: int) -> None:
    space = replace(SPACE, cores=4, most_threads=most)
    assert space.threads()[-1] == most
    assert space.baseline() == Candidate(OnnxRuntimeCpu(threads=most))
    assert replace(space, engines=("openvino",)).baseline() == Candidate(OpenVino(threads=most))
    engines = space.float_engines()
    near = [c.engine for engine in engines for c in space.neighbours(Candidate(engine))]
    levels = [candidate.engine for candidate in space.baselines()]
    threads = [e.threads for e in (*engines, *near, *levels) if isinstance(e, ThreadedEngine)]
    assert len(threads) > 10
    assert set(threads) == set(space.threads()), "0 leaves the number to the engine"


def test_a_limit_of_threads_is_told_where_engines_have_threads() -> None:
    told = "Every candidate has at most 1 thread, the baseline has 1 thread."
    assert list(threads_sentence(replace(SPACE, most_threads=1))) == [told]
    assert list(threads_sentence(SPACE)) == []
    assert list(threads_sentence(Space(("cpackage-emulated",), 2, most_threads=1))) == []


def test_precisions_follow_what_can_be_quantised() -> None:
    nothing = Space(("onnxruntime-cpu",), 2, quantizable={"static-int8": ()})
    assert nothing.precisions(OnnxRuntimeCpu()) == ()
    kinds = {type(p.quantization) for p in SPACE.precisions(OnnxRuntimeCpu())}
    assert kinds == {StaticInt8, DynamicInt8, WeightOnlyInt4}
    assert Precision(FloatType.BFLOAT16) in SPACE.precisions(OpenVino())
    assert Precision(FloatType.BFLOAT16) not in SPACE.precisions(OnnxRuntimeCpu())


def test_operands_alone_are_quantised_for_openvino_where_there_are_products() -> None:
    space = replace(SPACE, products=True)
    choice = StaticInt8(products=True, bias_correction=True)
    precision = Precision(quantization=choice)
    for engine in (OpenVino(), OpenVinoRuntime()):
        assert precision not in SPACE.precisions(engine)
        before, (first, *others) = SPACE.precisions(engine), space.precisions(engine)[1:]
        assert (first, *others) == (precision, *before[1:]), "one more, before the others in int8"
        near = {c.precision.quantization for c in space.neighbours(Candidate(engine, precision))}
        assert StaticInt8(bias_correction=True) in near
        assert {c.products for c in near if isinstance(c, StaticInt8)} == {False, True}
        assert Candidate(engine, Precision(FloatType.BFLOAT16, choice)) in space.neighbours(
            Candidate(engine, precision)
        )
    assert space.precisions(OnnxRuntimeCpu()) == SPACE.precisions(OnnxRuntimeCpu())
    assert not space.offers(Candidate(OnnxRuntimeCpu(), precision))
    assert not SPACE.offers(Candidate(OpenVino(), precision))


def test_what_is_kept_in_float_holds_for_one_choice_of_operators() -> None:
    space = replace(SPACE, products=True)
    kept = Candidate(OpenVino(), Precision(quantization=StaticInt8(keep_float=("a",))))
    near = (c.precision.quantization for c in space.neighbours(kept))
    assert not any(isinstance(c, StaticInt8) and c.products for c in near)


@pytest.mark.parametrize("engine", SPACE.float_engines())
def test_precisions_are_offered_and_not_plain(engine: OnnxRuntimeCpu | OpenVino) -> None:
    for precision in SPACE.precisions(engine):
        assert precision != Precision()
        assert SPACE.offers(Candidate(engine, precision))


@pytest.mark.parametrize("engine", [OnnxRuntimeCpu(threads=1), OpenVino(threads=2)])
@pytest.mark.parametrize("precision", [Precision(), *SPACE.precisions(OnnxRuntimeCpu())[:9]])
def test_neighbours_differ_in_one_choice(
    engine: OnnxRuntimeCpu | OpenVino, precision: Precision
) -> None:
    candidate = Candidate(engine, precision)
    neighbours = SPACE.neighbours(candidate)
    assert candidate not in neighbours
    assert len(set(neighbours)) == len(neighbours)
    for neighbour in neighbours:
        changed = [
            (part, f.name)
            for part, ours, theirs in (
                ("engine", candidate.engine, neighbour.engine),
                ("quantisation", precision.quantization, neighbour.precision.quantization),
            )
            if ours is not None
            for f in fields(ours)
            if getattr(ours, f.name) != getattr(theirs, f.name)
        ]
        changed += ["float"] * (precision.float_type != neighbour.precision.float_type)
        assert len(changed) == 1


class TestManyCallers:
    SPACE = replace(SPACE, engines=("onnxruntime-cpu", "openvino-runtime"), cores=4, many=True)

    def test_are_a_choice_only_where_their_results_count(self) -> None:
        assert SPACE.callers() == (1,)
        assert all(c.callers == 1 for c in SPACE.neighbours(Candidate()))
        assert self.SPACE.callers() == (1, 2, 4)
        assert {c.callers for c in self.SPACE.neighbours(Candidate())} == {1, 2, 4}
        assert self.SPACE.baseline() == SPACE.baseline(), "which has one"

    def test_have_processors_at_first(self) -> None:
        assert self.SPACE.first_callers(OnnxRuntimeCpu(threads=1)) == (1, 2, 4)
        assert self.SPACE.first_callers(OnnxRuntimeCpu(threads=2)) == (1, 2)
        assert self.SPACE.first_callers(OnnxRuntimeCpu(threads=4)) == (1,)
        many = OpenVinoRuntime(threads=4, hint="throughput")
        assert self.SPACE.first_callers(many) == (4,), "as the hint says"
        assert self.SPACE.first_callers(replace(many, streams=2)) == (2,)
        assert self.SPACE.first_callers(CPackage()) == (1, 2, 4)

    def test_openvino_is_told_of_them(self) -> None:
        hints = {(e.hint, e.streams) for e in self.SPACE.float_engines() if "openvino" in e.kind}
        assert hints == {("latency", 0), *(("throughput", streams) for streams in (0, 1, 2, 4))}
        alone = replace(self.SPACE, many=False).float_engines()
        assert {e.hint for e in alone if "openvino" in e.kind} == {"latency"}
        near = self.SPACE.neighbours(Candidate(OpenVinoRuntime(threads=4)))
        assert {c.engine.streams for c in near} == {0, 1, 2, 4}
        assert {c.engine.hint for c in near} == {"latency", "throughput"}

    def test_stay_within_a_limit_of_threads(self) -> None:
        space = replace(self.SPACE, most_threads=2)
        assert space.offers(Candidate(OnnxRuntimeCpu(threads=1), callers=2))
        assert not space.offers(Candidate(OnnxRuntimeCpu(threads=2), callers=2))

    def test_batches_are_a_choice_where_they_may_be(self) -> None:
        assert self.SPACE.batches() == (1,)
        space = replace(self.SPACE, max_batch=12)
        assert space.batches() == (1, 2, 4, 8, 12)
        assert {c.batch for c in space.neighbours(Candidate())} == {1, 2, 4, 8, 12}
        assert space.first_batches(OnnxRuntimeCpu(threads=4)) == (12, 4)
        assert space.first_batches(OnnxRuntimeCpu(threads=1)) == ()
        assert space.first_batches(CPackage()) == ()
        assert not space.offers(Candidate(CPackage(), batch=2)), "C has one shape"
        assert replace(space, max_batch=2).first_batches(OnnxRuntimeCpu(threads=4)) == (2,)
        assert replace(space, max_batch=4).first_batches(OnnxRuntimeCpu(threads=4)) == (4,)

    def test_of_a_model_without_batches_there_is_a_sentence(self) -> None:
        ends = [models.value("x", [1, 4])], [models.value("y", [])]
        node = make_node("ReduceSum", ["x"], ["y"], keepdims=0)
        model = models.build([node], *ends, {})
        assert batched(self.SPACE, model, 1) == (self.SPACE, ())
        space, (told,) = batched(self.SPACE, model, 8)
        assert space.batches() == (1,)
        assert told == (
            "Batches were not tried: all inputs and outputs must begin with the same dimension, "
            "and output 'y' begins with nothing fixed."
        )
        assert batched(self.SPACE, models.mlp(), 8) == (replace(self.SPACE, max_batch=8), ())

    def test_of_a_device_that_counts_there_is_one(self) -> None:
        counted = Candidate(CPackageEmulated())
        assert self.SPACE.offers(counted)
        assert not self.SPACE.offers(replace(counted, callers=2))


def test_how_long_threads_spin_is_tried_where_there_are_several() -> None:
    engines = SPACE.float_engines()
    assert OnnxRuntimeCpu(threads=2, spin_microseconds=SPIN_MICROSECONDS[0]) in engines
    alone = replace(SPACE, cores=1).float_engines()
    assert all(
        e.spinning and not e.spin_microseconds for e in alone if e.kind == "onnxruntime-cpu"
    )
    near = [c.engine for c in SPACE.neighbours(Candidate(OnnxRuntimeCpu(threads=2)))]
    assert {e.spin_microseconds for e in near} == {0, *SPIN_MICROSECONDS}
    assert {e.pinning for e in near} == {e.memory_arena for e in near} == {True, False}
    single = [c.engine for c in SPACE.neighbours(Candidate(OnnxRuntimeCpu(threads=1)))]
    assert all(e.spinning and not e.spin_microseconds and not e.pinning for e in single)
    assert {e.denormals_as_zero for e in single} == {True, False}
    sleeping = OnnxRuntimeCpu(threads=2, spinning=False)
    assert {c.engine.spin_microseconds for c in SPACE.neighbours(Candidate(sleeping))} == {0}


def test_a_fake_engine_has_no_neighbours() -> None:
    assert SPACE.neighbours(Candidate(Fake())) == ()


def test_kept_operators_are_sorted() -> None:
    candidate = Candidate(precision=Precision(quantization=StaticInt8()))
    kept = with_keep_float(candidate, ("b", "a")).precision.quantization
    assert kept == StaticInt8(keep_float=("a", "b"))


class TestPackages:
    ENGINES = (CPackage(target="avx2"), CPackage(target="avx2", compiler="gcc"))
    SPACE = replace(SPACE, engines=(*SPACE.engines, "cpackage"), packages=ENGINES)

    def test_are_no_float_engines(self) -> None:
        assert self.SPACE.float_engines() == SPACE.float_engines()
        assert self.SPACE.baselines() == SPACE.baselines()

    def test_precisions_are_per_channel_or_float(self) -> None:
        *int8, last = self.SPACE.precisions(self.ENGINES[0])
        assert last == Precision()
        assert [p.label() for p in int8] == [
            "int8 per-channel percentile corrected",
            "int8 per-channel min-max corrected",
        ]

    def test_of_a_quantised_model_there_is_one_precision(self) -> None:
        space = replace(self.SPACE, quantizable={})
        assert space.package_precisions() == (Precision(),)

    def test_neighbours_have_another_compiler_or_calibration(self) -> None:
        int8 = Candidate(self.ENGINES[0], Precision(quantization=StaticInt8()))
        space = replace(self.SPACE, rewritable=True)
        labels = {near.label() for near in space.neighbours(int8)}
        assert labels == {
            "cpackage avx2 gcc int8 per-channel min-max",
            "cpackage avx2 zig int8 per-channel min-max corrected",
            "cpackage avx2 zig int8 per-channel entropy",
            "cpackage avx2 zig int8 per-channel percentile",
        }

    def test_what_packages_do_not_offer(self) -> None:
        engine = self.ENGINES[0]
        for precision in (
            Precision(FloatType.BFLOAT16),
            Precision(quantization=DynamicInt8()),
            Precision(quantization=StaticInt8(per_channel=False)),
            Precision(quantization=StaticInt8(products=True)),
        ):
            assert not self.SPACE.offers(Candidate(engine, precision))
        assert not self.SPACE.offers(Candidate(engine, rewritten=True))

    def test_of_large_models_wait_or_are_left_out(self) -> None:
        small, none = fitted(self.SPACE, SMALL_MACS, Bytes(4 * MOST_WEIGHTS))
        assert small.small
        assert none == ()
        assert not fitted(self.SPACE, SMALL_MACS + 1, Bytes(0))[0].small
        space, notes = fitted(self.SPACE, 1, Bytes(4 * MOST_WEIGHTS + 4))
        assert space.packages == ()
        (note,) = notes
        assert note == (
            "Compiled packages were not tried: the model has 8.00 MiB of weights in int8, and C "
            "with more than 8.00 MiB takes minutes to compile."
        )

    def test_of_a_model_that_came_quantised_have_no_choice(self) -> None:
        space, notes = fitted(self.SPACE, 1, Bytes(0), quantised=True)
        assert space.package_precisions() == (Precision(),)
        assert notes == ()  # whether there are packages is known after they were tried


class TestWebGpu:
    """A GPU: floats alone, and 16 bits where it has them."""

    SPACE = replace(SPACE, engines=("onnxruntime-webgpu",), webgpu_float16=True)
    HALF = Candidate(OnnxRuntimeWebGpu(), Precision(FloatType.FLOAT16))

    def test_the_baseline_and_what_is_near_it(self) -> None:
        baseline = self.SPACE.baseline()
        assert baseline == Candidate(OnnxRuntimeWebGpu())
        near = self.SPACE.neighbours(baseline)
        assert {self.HALF, Candidate(OnnxRuntimeWebGpu(layout="nchw"))} <= set(near)
        assert all(c.precision.quantization is None for c in near)

    def test_with_help_it_may_take_the_place_of_the_baseline(self) -> None:
        mixed = Candidate(OnnxRuntimeWebGpu(cpu_operators=True))
        assert self.SPACE.baselines() == (self.SPACE.baseline(), mixed)

    def test_float16_only_where_the_device_computes_in_it(self) -> None:
        assert self.SPACE.precisions(self.HALF.engine) == (self.HALF.precision,)
        without = replace(self.SPACE, webgpu_float16=False)
        assert without.precisions(self.HALF.engine) == ()
        assert not without.offers(self.HALF)

    def test_a_model_of_16_bit_floats_is_widened_where_it_must(self) -> None:
        own, widened = Precision.own(GivenFormat.FLOAT16), Precision(given=GivenFormat.FLOAT16)
        space = replace(self.SPACE, given=GivenFormat.FLOAT16)
        assert space.kept_precisions(self.HALF.engine) == (widened, own)
        without = replace(space, webgpu_float16=False)
        assert without.kept_precisions(self.HALF.engine) == (widened,)

    def test_quantised_it_is_not_offered(self) -> None:
        int8 = Precision(quantization=StaticInt8())
        assert not self.SPACE.offers(Candidate(OnnxRuntimeWebGpu(), int8))


class TestHalf:
    """Models of 16-bit floats."""

    SPACE = replace(SPACE, given=GivenFormat.FLOAT16, packages=(CPackage(),))
    OWN = Precision.own(GivenFormat.FLOAT16)
    WIDENED = Precision(given=GivenFormat.FLOAT16)

    def test_the_baseline_is_the_model_as_it_was_given(self) -> None:
        assert self.SPACE.baseline() == Candidate(precision=self.OWN)
        assert self.SPACE.baseline().label() == "onnxruntime-cpu float16"

    def test_engines_keep_their_precision_or_widen_it(self) -> None:
        assert self.SPACE.kept_precisions(OnnxRuntimeCpu()) == (self.WIDENED, self.OWN)
        assert self.SPACE.kept_precisions(OpenVino()) == (self.WIDENED,)
        assert self.SPACE.package_precisions()[-1] == self.WIDENED

    def test_is_quantised_from_float32(self) -> None:
        precisions = self.SPACE.precisions(OnnxRuntimeCpu())
        assert precisions[0] == self.WIDENED
        assert {p.given for p in precisions} == {GivenFormat.FLOAT16}
        assert {p.float_type for p in precisions} == {FloatType.FLOAT32}
        known = {p.label() for p in SPACE.precisions(OnnxRuntimeCpu())}
        assert {p.label() for p in precisions[1:]} == known

    def test_neighbours_are_offered(self) -> None:
        int8 = replace(self.WIDENED, quantization=StaticInt8())
        assert self.SPACE.offers(Candidate(precision=int8))
        assert not self.SPACE.offers(
            Candidate(precision=replace(self.OWN, quantization=DynamicInt8()))
        )
        near = self.SPACE.neighbours(Candidate(precision=self.WIDENED))
        assert Candidate(precision=self.OWN) in near

    def test_weights_in_int8_are_half_of_those_in_16_bits(self) -> None:
        space, notes = fitted(self.SPACE, 1, Bytes(2 * MOST_WEIGHTS + 2))
        assert space.packages == ()
        assert "8.00 MiB of weights in int8" in notes[0]


@pytest.mark.parametrize("given", [GivenFormat.FLOAT64, GivenFormat.QUANTISED])
def test_other_models_run_as_they_were_given(given: GivenFormat) -> None:
    space = Space(("onnxruntime-cpu",), 2, given=given)
    assert space.kept_precisions(OnnxRuntimeCpu()) == (Precision.own(given),)
    assert space.precisions(OnnxRuntimeCpu()) == ()
    assert space.baseline().keeps_precision


def test_lower_graph_levels_may_take_the_place_of_the_baseline() -> None:
    levels = [
        c.engine.graph_level for c in SPACE.baselines() if isinstance(c.engine, OnnxRuntimeCpu)
    ]
    assert levels == [GraphLevel.ALL, GraphLevel.BASIC, GraphLevel.NONE]
    assert len(Space(("openvino",), 2).baselines()) == 1
