"""What is predicted to need too much memory is not tried, and the notes say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from farm.candidate import Candidate, OnnxRuntimeCpu
from farm.measurement import Metric
from farm.prediction import Basis, Prediction
from farm.units import Bytes
from tests.tuner.search.proposals import SPACE, entry
from tuner.runs.expected import Expects, Predictions
from tuner.search.memory_gate import MemoryGate
from tuner.search.proposing.pool import pool
from tuner.search.proposing.propose import Proposer

ONE, TWO, FOUR = (Candidate(OnnxRuntimeCpu(threads=n)) for n in (1, 2, 4))
MIB = 1 << 20


def needing(least: Mapping[Candidate, float]) -> Expects:
    """Peak memory from a least to twice as much."""

    def of(candidates: Sequence[Candidate]) -> Mapping[Candidate, Predictions]:
        return {
            c: {Metric.PEAK_MEMORY: Prediction(1.5 * n, n, 2.0 * n, "B", Basis.LEARNED, 9)}
            for c, n in least.items()
            if c in candidates
        }

    return Expects(of)


EXPECTS = needing({ONE: 10 * MIB, TWO: 60 * MIB, FOUR: 80 * MIB})


def test_what_may_be_within_the_limit_is_let_through() -> None:
    gate = MemoryGate(EXPECTS, Bytes(60 * MIB), "--max-memory")
    assert gate.through([FOUR, TWO, ONE]) == (TWO, ONE)
    assert gate.through([FOUR]) == ()
    (note,) = gate.notes()
    assert note == (
        "1 candidate was not tried: each is predicted to need more memory than --max-memory "
        "60.0 MiB; the least, onnxruntime-cpu 4 threads float32, 80.0 MiB or more."
    )


def test_of_several_the_least_is_told() -> None:
    gate = MemoryGate(EXPECTS, Bytes(20 * MIB), "--max-memory")
    gate.through([ONE, TWO, FOUR])
    (note,) = gate.notes()
    assert note.startswith("2 candidates were not tried")
    assert "onnxruntime-cpu 2 threads float32, 60.0 MiB or more" in note


def test_of_what_nothing_is_known_is_let_through() -> None:
    gate = MemoryGate(needing({}), Bytes(1), "--max-memory")
    assert gate.through([ONE]) == (ONE,)
    assert list(gate.notes()) == []


def test_without_a_limit_nothing_is_asked() -> None:
    def of(_: Sequence[Candidate]) -> Mapping[Candidate, Predictions]:
        raise AssertionError

    assert MemoryGate(Expects(of)).through([ONE, TWO]) == (ONE, TWO)


def test_a_search_proposes_nothing_else() -> None:
    history = [entry(SPACE.baseline(), 1.0)]
    offered = pool(SPACE, history)
    fits = offered[7]
    needs = needing({c: MIB if c == fits else 99.0 * MIB for c in offered})
    gate = MemoryGate(needs, Bytes(2 * MIB), "--max-memory")
    proposer = Proposer(SPACE, lambda _: (), seed=0, gate=gate)
    assert proposer.propose(history, 6).candidates == (fits,)
    (note,) = gate.notes()
    assert "candidates were not tried" in note
