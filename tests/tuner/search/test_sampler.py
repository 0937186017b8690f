"""The sampler: its flat encoding loses nothing, and it proposes what is new and possible."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from farm.candidate import (
    CalibrationMethod,
    Candidate,
    DynamicInt8,
    Fake,
    FloatType,
    GivenFormat,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVino,
    OpenVinoRuntime,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
)
from farm.measurement import Outcome
from tests.tuner.search.test_propose import SPACE, entry
from tuner.search.options.onnxruntime import OPTIONAL_OPTIMIZERS, SPIN_MICROSECONDS
from tuner.search.sampler import _distributions, _study, decode, encode, sample
from tuner.search.space import Space

ENGINES = st.one_of(
    st.builds(OpenVino, threads=st.integers(0, 8), pinning=st.booleans()),
    st.builds(
        OpenVinoRuntime,
        threads=st.integers(0, 8),
        pinning=st.booleans(),
        hint=st.sampled_from(["latency", "throughput"]),
        streams=st.integers(0, 8),
    ),
    # Without spinning its time says nothing, and a single thread neither spins nor is pinned.
    st.builds(OnnxRuntimeCpu, threads=st.integers(2, 8), spinning=st.just(False)),
    st.builds(
        OnnxRuntimeCpu,
        threads=st.integers(2, 8),
        spin_microseconds=st.sampled_from([0, *SPIN_MICROSECONDS]),
        pinning=st.booleans(),
    ),
    st.builds(
        OnnxRuntimeCpu,
        threads=st.integers(0, 8),
        memory_arena=st.booleans(),
        denormals_as_zero=st.booleans(),
        memory_pattern=st.booleans(),
        graph_level=st.sampled_from(GraphLevel),
        saved_graph=st.booleans(),
        disabled_optimizers=st.sampled_from([(), *((name,) for name in OPTIONAL_OPTIMIZERS)]),
    ),
)
QUANTIZATIONS = st.one_of(
    st.none(),
    st.builds(
        StaticInt8,
        per_channel=st.booleans(),
        calibration=st.sampled_from(CalibrationMethod),
        products=st.booleans(),
    ),
    st.builds(DynamicInt8, per_channel=st.booleans()),
    st.builds(
        WeightOnlyInt4, block_size=st.sampled_from([16, 32, 64, 128]), accuracy_level=st.just(4)
    ),
)


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    engine = draw(ENGINES)
    offered = list(FloatType) if isinstance(engine, OpenVino) else [FloatType.FLOAT32]
    precision = Precision(draw(st.sampled_from(offered)), draw(QUANTIZATIONS))
    assume(not (precision.has_products and isinstance(engine, OnnxRuntimeCpu)))
    return Candidate(
        engine, precision, callers=draw(st.integers(1, 8)), batch=draw(st.integers(1, 8))
    )


@given(candidates())
def test_decoding_undoes_encoding(candidate: Candidate) -> None:
    flat = encode(candidate)
    assert flat is not None
    assert decode(flat) == candidate


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate(Fake()),
        Candidate(OpenVino(cpu_operators=True)),
        Candidate(OnnxRuntimeCpu(disabled_optimizers=("A", "B"))),
        Candidate(OnnxRuntimeCpu(threads=2, spinning=False, spin_microseconds=20)),
        Candidate(OnnxRuntimeCpu(threads=1, spinning=False)),
        Candidate(precision=Precision(quantization=StaticInt8(keep_float=("a",)))),
        Candidate(precision=Precision(quantization=WeightOnlyInt4(accuracy_level=0))),
        Candidate(precision=Precision(quantization=DynamicInt8(convolutions=True))),
    ],
)
def test_what_lies_outside_is_not_encoded(candidate: Candidate) -> None:
    assert encode(candidate) is None


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(0, 12))
def test_samples_are_new_possible_and_repeatable(seed: int, known: int) -> None:
    history = [entry(SPACE.baseline(), 1.0)]
    for i, candidate in enumerate(sample(SPACE, history, known, seed) if known else []):
        history.append(entry(candidate, 0.5 + 0.01 * i, list(Outcome)[i % 3]))
    found = sample(SPACE, history, 6, seed)
    assert found == sample(SPACE, history, 6, seed)
    assert len(set(found)) == len(found) == 6
    assert not {e.candidate for e in history} & set(found)
    assert all(SPACE.offers(c) for c in found)
    assert {c.engine.kind for c in found} <= set(SPACE.engines)
    assert all(c.engine.threads in (0, *SPACE.threads()) for c in found)


def test_quantises_only_what_can_be_quantised() -> None:
    space = Space(("onnxruntime-cpu",), 2, quantizable={"static-int8": (), "dynamic-int8": ("a",)})
    kinds = {type(c.precision.quantization) for c in sample(space, [], 30, 1)}
    assert kinds == {type(None), DynamicInt8}


def test_operands_alone_are_quantised_where_a_model_has_products() -> None:
    def sampled(space: Space) -> set[str]:
        found = sample(space, [], 60, 1)
        return {c.engine.kind for c in found if c.precision.has_products}

    assert sampled(SPACE) == set()
    assert sampled(replace(SPACE, products=True)) == {"openvino"}


def test_a_limit_of_threads_holds_for_samples() -> None:
    found = sample(replace(SPACE, cores=4, most_threads=2), [], 30, 1)
    assert {c.engine.threads for c in found} == {1, 2}


def test_callers_are_sampled_where_their_results_count() -> None:
    assert {c.callers for c in sample(SPACE, [], 30, 1)} == {1}
    many = replace(SPACE, cores=4, many=True)
    assert {c.callers for c in sample(many, [], 30, 1)} == {1, 2, 4}


def test_other_seeds_sample_otherwise() -> None:
    assert sample(SPACE, [], 6, 1) != sample(SPACE, [], 6, 2)


def test_the_fake_engine_is_not_sampled() -> None:
    assert sample(Space(("fake",), 2), [], 6, 0) == []


@pytest.mark.parametrize("given", GivenFormat)
def test_what_is_sampled_knows_what_the_model_computes_in(given: GivenFormat) -> None:
    space = replace(SPACE, given=given)
    found = sample(space, [entry(space.baseline(), 1.0)], 30, 3)
    assert len(found) == 30
    assert all(space.offers(c) and c.precision.given is given for c in found)
    for candidate in found:
        flat = encode(candidate)
        assert flat is not None
        assert decode(flat, given) == candidate


def test_the_study_is_told_of_all_that_is_proposed_in_floats_and_static_int8() -> None:
    space = replace(SPACE, products=True)
    engine = OpenVino(threads=1)
    static = [
        Candidate(engine, precision)
        for precision in space.precisions(engine)
        if isinstance(precision.quantization, StaticInt8 | None)
    ]
    candidates = [*map(Candidate, space.float_engines()), *static]
    assert any(c.precision.has_products for c in candidates)
    history = [entry(candidate, 0.5) for candidate in candidates]
    assert len(_study(history, _distributions(space), seed=0).trials) == len(history)
