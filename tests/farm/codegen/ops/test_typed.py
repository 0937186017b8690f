"""Steps on tensors that are no real numbers: exact, on every target."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest

from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.ops.cast import Cast
from farm.codegen.ops.gather import Gather, Select
from farm.codegen.ops.movement import Concat, selection, transposition
from farm.codegen.program import Element, Step, Tensor
from tests.farm.codegen.kernel_harness import Case, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
RNG = np.random.default_rng(3)
TYPES = (Element.F32, Element.I32, Element.I64, Element.BOOL)
LIMITS = {
    Element.I32: [0, 1, -1, 2**31 - 1, -(2**31), 16777217, -16777219],
    Element.I64: [0, 1, -1, 2**63 - 1, -(2**63), 2**32, 2**32 + 5, 2**24 + 1, 2**53 + 1],
    Element.BOOL: [0, 1],
    Element.U8: [0, 255],
    Element.F32: [0.0, -0.0, 0.7, -0.7, 1.5, -2.5, np.nan, np.inf, -np.inf, 2147483520.0, 2**31,
                  -(2.0**31), -3e9, 2.0**63, -(2.0**63), 9.2e18, 1e30, 1e-40],
}  # fmt: skip


def values(element: Element, *shape: int) -> np.ndarray:
    """Numbers of a type, its limits among them where there is room."""
    size = int(np.prod(shape))
    lowest, above = {Element.BOOL: (0, 2), Element.U8: (0, 256)}.get(element, (-9, 9))
    drawn = RNG.integers(lowest, above, size)
    found = drawn.astype(element.value)
    limits = np.array(LIMITS[element], element.value)[:size]
    found[: len(limits)] = limits
    return found.reshape(shape)


def cast_case(source: Element, target: Element, size: int = 29) -> Case:
    x, y = tensor("x", (size,), element=source), tensor("y", (size,), element=target)
    return Case(Cast((x,), (y,)), [values(source, size)])


def gather_case(
    data: Sequence[int], indices: Sequence[int], axis: int, element: Element, *, constant: bool
) -> Case:
    shape = (*data[:axis], *indices, *data[axis + 1 :])
    kind = Element.I32 if len(indices) == 1 else Element.I64
    given = tensor("i", indices, element=kind)
    table = tensor("x", data, element=element)
    size = data[axis]
    wanted = RNG.integers(-size, size, tuple(indices)).astype(kind.value)
    wanted.flat[0] = size + 7  # beyond the end
    y = tensor("y", shape, element=element)
    content = RNG.integers(0, 2, data).astype(element.value)
    if constant:
        return Case(Gather((given,), (y,), axis, content), [wanted])
    return Case(Gather((table, given), (y,), axis), [content, wanted])


def select_case(
    choice: Sequence[int], a: Sequence[int], b: Sequence[int], element: Element, constant: int = 3
) -> Case:
    shapes = (choice, a, b)
    arrays = [values(Element.BOOL, *choice), values(element, *a), values(element, *b)]
    kinds = (Element.BOOL, element, element)
    operands = [tensor(f"x{i}", shapes[i], element=kinds[i]) for i in range(3) if i != constant]
    y = tensor("y", np.broadcast_shapes(*shapes), element=element)
    constants = tuple(arrays[i] if i == constant else None for i in range(3))
    step = Select(tuple(operands), (y,), constants)
    return Case(step, [arrays[i] for i in range(3) if i != constant])


def moved(element: Element) -> list[Case]:
    def made(name: str, *shape: int) -> Tensor:
        return tensor(name, shape, element=element)

    x = values(element, 3, 5, 7)
    given = made("x", 3, 5, 7)
    padded = np.where(np.arange(-1, 8) >= 0, np.arange(-1, 8), -1)
    padded[padded > 6] = -1
    steps: list[Step] = [
        transposition(given, made("y", 7, 5, 3), (2, 1, 0)),
        transposition(given, made("y", 3, 7, 5), (0, 2, 1)),
        selection(given, made("y", 3, 5, 9), {2: padded}, 1.0),
        selection(given, made("y", 3, 3, 7), {1: np.array([4, 0, 1])}),
        Concat((given, made("z", 3, 2, 7)), (made("y", 3, 7, 7),), 1, (None, None)),
    ]
    return [Case(s, [x, values(element, 3, 2, 7)][: len(s.inputs)]) for s in steps]


def all_cases() -> list[Case]:
    casts = [cast_case(*pair) for pair in permutations(TYPES, 2)]
    gathers = [
        gather_case((11, 6), (2, 4), 0, element, constant=constant)
        for element in (*TYPES, Element.U8)
        for constant in (False, True)
    ]
    gathers += [
        gather_case((2, 5, 3), (4,), 1, Element.F32, constant=False),
        gather_case((2, 5), (3, 2), 1, Element.F32, constant=True),
    ]
    selects = [
        *(select_case((4, 1, 5), (4, 3, 5), (1,), element) for element in TYPES[:3]),
        *(select_case((3, 5), (2, 3, 5), (2, 1, 1), Element.F32, i) for i in range(3)),
        select_case((), (4,), (4,), Element.I64, 2),
    ]
    moves = [case for element in TYPES[1:] for case in moved(element)]
    return [*casts, *gathers, *selects, *moves]


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_agree_with_the_reference(program):
    program.check()


def test_floats_beyond_integers_are_the_nearest_ones():
    case = cast_case(Element.F32, Element.I32)
    (got,) = case.step.reference([np.float32([np.nan, np.inf, -np.inf, 2.9, -2.9, 3e9])])
    assert got.tolist() == [0, 2**31 - 1, -(2**31), 2, -2, 2**31 - 1]


def test_indices_beyond_the_ends_read_nothing_else():
    table = np.arange(3, dtype=np.float32)
    indices = np.int64([-(2**63), -4, -3, 2, 3, 2**63 - 1])
    given = tensor("i", (6,), element=Element.I64)
    y = tensor("y", (6,), element=Element.F32)
    (got,) = Gather((given,), (y,), 0, table).reference([indices])
    assert got.tolist() == [0, 0, 0, 2, 2, 2]
