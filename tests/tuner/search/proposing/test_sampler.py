"""Optuna's share: it is told everything, and what it asks for is taken to what can be tried."""

from __future__ import annotations

from farm.candidate import (
    Candidate,
    CPackage,
    OnnxRuntimeWebGpu,
    OpenVino,
    Pipeline,
    Precision,
    StaticInt8,
)
from farm.measurement import Outcome
from tests.tuner.search.proposals import SPACE, entry
from tuner.search.proposing.pool import pool
from tuner.search.proposing.sampler import ABSENT, Parameters, sample
from tuner.search.regression.flat import flat

POOL = pool(SPACE, [])


def test_what_is_sampled_is_of_the_pool_and_repeatable() -> None:
    history = [entry(SPACE.baseline(), 1.0)]
    found = [sample(POOL, history, seed) for seed in range(8)]
    assert found == [sample(POOL, history, seed) for seed in range(8)]
    assert set(found) <= set(POOL)
    assert len(set(found)) > 4


def test_it_learns_what_is_fast_and_what_fails() -> None:
    """Int8 fails, and one thread of OpenVINO in floats is fast."""
    history = [entry(SPACE.baseline(), 1.0)]
    for candidate in POOL[:80]:
        fails = candidate.precision.quantization is not None
        fast = isinstance(candidate.engine, OpenVino)
        outcome = Outcome.REJECTED if fails else Outcome.OK
        history.append(entry(candidate, 0.1 if fast or fails else 1.0, outcome))
    left = [c for c in POOL if c not in {e.candidate for e in history}]
    asked = [sample(left, history, seed) for seed in range(12)]
    floats = [c for c in asked if c.precision.quantization is None]
    assert len(floats) >= 8


def test_every_candidate_is_told_whatever_its_engine() -> None:
    package = Candidate(
        CPackage(target="avx2", compiler="gcc"), Precision(quantization=StaticInt8())
    )
    kept = Candidate(precision=Precision(quantization=StaticInt8(keep_float=("a", "b"))))
    table = Parameters([package, kept, *POOL])
    assert table.of(package)["engine.compiler"] == "gcc"
    assert table.of(kept)["engine.compiler"] == ABSENT
    told = table.told(entry(package, None, Outcome.COMPILE_ERROR))
    assert told.constraints == {"failed": 1.0}
    assert told.value is not None
    assert told.value > 1.0


def test_flat_parameters_say_what_was_chosen() -> None:
    kept = Candidate(precision=Precision(quantization=StaticInt8(keep_float=("a", "b"))))
    found = flat(kept)
    assert found["engine.kind"] == "onnxruntime-cpu"
    assert found["precision.quantization.kind"] == "static-int8"
    assert found["precision.quantization.keep_float"] == 2
    assert flat(Candidate(OnnxRuntimeWebGpu(on_cpu=("a", "b", "c"))))["engine.on_cpu"] == 3
    assert "precision.quantization.kind" not in flat(Candidate())
    assert flat(Candidate(Pipeline(())))["engine.kind"] == "pipeline"
