"""Of a family that nothing was tried of, one candidate at a time."""

from __future__ import annotations

from farm.candidate import Candidate, FloatType, OnnxRuntimeCpu, OpenVino, Precision, StaticInt8
from tuner.search.proposing.families import family, one_of_each

INT8 = Precision(quantization=StaticInt8())
POOL = (
    Candidate(OnnxRuntimeCpu(threads=1)),
    Candidate(OnnxRuntimeCpu(threads=2)),
    Candidate(OnnxRuntimeCpu(threads=1), INT8),
    Candidate(OnnxRuntimeCpu(threads=2), INT8),
    Candidate(OpenVino()),
)


def test_options_make_no_family() -> None:
    assert family(POOL[0]) == family(POOL[1])
    assert len({family(each) for each in POOL}) == 3
    assert family(Candidate(OpenVino(), Precision(FloatType.BFLOAT16))) != family(POOL[4])


def test_a_second_one_waits_until_the_first_was_tried() -> None:
    known, asked = {family(POOL[0])}, {family(POOL[2])}
    assert list(one_of_each([1, 3, 4], POOL, known, asked)) == [1, 4]
    assert list(one_of_each([1, 3, 4], POOL, known | asked, asked)) == [1, 3, 4]


def test_where_nothing_else_is_left_it_does_not_wait() -> None:
    assert list(one_of_each([3], POOL, set(), {family(POOL[2])})) == [3]
