from dataclasses import dataclass

import numpy as np

from farm.codegen.ops.movement import Concat
from farm.codegen.program import NO_SCRATCH, Call, Copy, Element, Program, Tensor, View
from farm.codegen.siblings import Parts
from farm.codegen.storage import Area, Place, store
from farm.plan.memory.arena import violations
from farm.units import Bytes


def tensor(name, size):
    return Tensor(name, (size,), Element.F32)


@dataclass(frozen=True, eq=False)
class Work:
    """A step that reads all its inputs to write each output."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    def reference(self, inputs):
        total = sum(float(each.sum()) for each in inputs)
        return tuple(np.full(t.shape, total, np.float32) for t in self.outputs)

    def call(self, bind):
        return Call("none.h", "work", ())


def program(inputs, outputs, *steps):
    return Program(inputs, outputs, steps, tuple(f"op{i}" for i in range(len(steps))), 0)


def test_a_chain_alternates_between_two_places():
    x, a, b, c, y = (
        tensor(name, size) for name, size in zip("xabcy", (8, 8, 8, 8, 8), strict=True)
    )
    found = store(
        program((x,), (y,), Work((x,), (a,)), Work((a,), (b,)), Work((b,), (c,)), Work((c,), (y,)))
    )

    assert found.arena_bytes == 64
    assert violations(found.problem, found.plan) == []
    assert found.places["x"] == Place(Area.INPUT, 0)
    assert found.places["y"] == Place(Area.OUTPUT, 0)
    assert found.places["a"] == found.places["c"] != found.places["b"]


def test_a_kernel_that_works_in_place_needs_no_second_place():
    x, a, b, y = (tensor(name, 8) for name in "xaby")
    steps = (Work((x,), (a,)), Work((a,), (b,), ((0, 0),)), Work((b,), (y,)))

    found = store(program((x,), (y,), *steps))

    assert found.arena_bytes == 32
    assert found.places["a"] == found.places["b"]


def test_not_in_place_while_the_input_is_still_needed_or_read_twice():
    x, a, b, y = (tensor(name, 8) for name in "xaby")
    needed = (Work((x,), (a,)), Work((a,), (b,), ((0, 0),)), Work((a, b), (y,)))
    twice = (Work((x,), (a,)), Work((a, a), (b,), ((0, 0),)), Work((b,), (y,)))

    assert store(program((x,), (y,), *needed)).arena_bytes == 64
    assert store(program((x,), (y,), *twice)).arena_bytes == 64


def test_views_have_the_bytes_of_what_they_show():
    x, a, y = tensor("x", 8), tensor("a", 8), tensor("y", 8)
    seen = Tensor("seen", (2, 4), Element.F32)
    shown = Tensor("shown", (4, 2), Element.F32)
    steps = (
        View((x,), (seen,)),
        Work((seen,), (a,)),
        View((a,), (shown,)),
        Work((shown,), (y,)),
    )

    found = store(program((x,), (y,), *steps))

    assert found.places["seen"] == Place(Area.INPUT, 0)
    assert found.places["shown"] == found.places["a"]
    assert len(found.steps) == 2


def test_a_view_that_is_an_output_is_written_where_the_caller_wants_it():
    x, a = tensor("x", 8), tensor("a", 8)
    y = Tensor("y", (2, 4), Element.F32)

    found = store(program((x,), (y,), Work((x,), (a,)), View((a,), (y,))))

    assert found.places["a"] == Place(Area.OUTPUT, 0)
    assert found.arena_bytes == 0


def test_an_input_that_is_an_output_is_copied():
    x, y = tensor("x", 8), Tensor("y", (2, 4), Element.F32)

    found = store(program((x,), (y,), View((x,), (y,))))

    assert [type(step) for step, _ in found.steps] == [Copy]


def test_an_output_that_views_a_run_of_another_tensor_is_copied():
    x, merged = tensor("x", 8), Tensor("merged", (1, 8), Element.F32)
    left, right = (Tensor(name, (1, 4), Element.F32) for name in ("left", "right"))
    y, z = tensor("y", 4), tensor("z", 4)
    steps = (
        Work((x,), (merged,)),
        Parts((merged,), (left, right)),
        View((right,), (y,)),
        Work((left,), (z,)),
    )

    found = store(program((x,), (y, z), *steps))

    start = found.places["merged"]
    assert start.area is Area.ARENA
    assert found.places["right"] == Place(Area.ARENA, start.position + 16)
    assert found.places["y"] == Place(Area.OUTPUT, 0)
    assert [type(step) for step, _ in found.steps] == [Work, Copy, Work]


def test_an_output_is_not_overwritten_by_what_reads_it_last():
    x, a, b = (tensor(name, 8) for name in "xab")

    found = store(program((x,), (a, b), Work((x,), (a,)), Work((a,), (b,), ((0, 0),))))

    assert found.places["a"] == Place(Area.OUTPUT, 0)
    assert found.places["b"] == Place(Area.OUTPUT, 1)


def test_scratch_is_the_largest_that_a_step_needs():
    x, a, y = tensor("x", 1), tensor("a", 1), tensor("y", 1)
    steps = (Work((x,), (a,), (), Bytes(100)), Work((a,), (y,), (), Bytes(300)))

    assert store(program((x,), (y,), *steps)).scratch_bytes == 300


def test_steps_are_ordered_for_the_lowest_peak():
    x, y = tensor("x", 1), tensor("y", 1)
    big = [tensor(f"big{i}", 100) for i in range(4)]
    small = [tensor(f"small{i}", 1) for i in range(4)]
    widen = [Work((x,), (each,)) for each in big]
    narrow = [Work((b,), (s,)) for b, s in zip(big, small, strict=True)]

    found = store(program((x,), (y,), *widen, *narrow, Work(tuple(small), (y,))))

    assert found.arena_bytes < 2 * 400
    assert [step for step, _ in found.steps][1] is narrow[widen.index(found.steps[0][0])]


def concat(parts, result):
    return Concat(tuple(parts), (result,), 0, (None,) * len(parts))


def test_parts_of_a_concatenation_are_computed_in_their_place():
    x, y = tensor("x", 8), tensor("y", 8)
    a, b, joined = tensor("a", 8), tensor("b", 4), tensor("joined", 12)
    steps = (Work((x,), (a,)), Work((x,), (b,)), concat((a, b), joined), Work((joined,), (y,)))

    found = store(program((x,), (y,), *steps))

    start = found.places["joined"].position
    assert found.places["a"] == Place(Area.ARENA, start)
    assert found.places["b"] == Place(Area.ARENA, start + 32)
    assert (found.arena_bytes, len(found.steps)) == (48, 3)


def test_a_part_that_is_read_later_stays_whole():
    x, y = tensor("x", 8), tensor("y", 8)
    a, b, joined, over = tensor("a", 8), tensor("b", 4), tensor("joined", 12), tensor("over", 12)
    steps = (
        Work((x,), (a,)),
        Work((x,), (b,)),
        concat((a, b), joined),
        Work((joined,), (over,), ((0, 0),)),
        Work((over, a), (y,)),
    )

    found = store(program((x,), (y,), *steps))

    assert violations(found.problem, found.plan) == []
    assert found.places["over"] != found.places["joined"]


def test_a_tensor_twice_in_a_concatenation_is_copied():
    x, y, a, joined = tensor("x", 8), tensor("y", 8), tensor("a", 8), tensor("joined", 16)
    steps = (Work((x,), (a,)), concat((a, a), joined), Work((joined,), (y,)))

    found = store(program((x,), (y,), *steps))

    assert len(found.steps) == 3
    assert found.arena_bytes == 96


def test_concatenations_of_concatenations_lie_in_the_last():
    x, y = tensor("x", 4), tensor("y", 4)
    a, b, c = (tensor(name, 4) for name in "abc")
    inner, outer = tensor("inner", 8), tensor("outer", 12)
    steps = (
        *(Work((x,), (each,)) for each in (a, b, c)),
        concat((a, b), inner),
        concat((c, inner), outer),
        Work((outer,), (y,)),
    )

    found = store(program((x,), (y,), *steps))

    start = found.places["outer"].position
    assert [found.places[n].position - start for n in "cab"] == [0, 16, 32]
    assert (found.arena_bytes, len(found.steps)) == (48, 4)
