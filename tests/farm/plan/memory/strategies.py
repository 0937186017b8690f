"""Strategies for memory problems of every kind."""

from __future__ import annotations

from hypothesis import strategies as st

from farm.plan.memory.problem import Alias, Buffer, Problem
from farm.units import Bytes


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Problems with aliases, alignment, capacities and buffers without a size."""
    buffers = []
    for number in range(draw(st.integers(1, 9))):
        start = draw(st.integers(0, 9))
        end = draw(st.integers(start + 1, 10))
        buffers.append(Buffer(f"b{number}", start, end, Bytes(draw(st.integers(0, 40)))))
    aliases = []
    for inner, outer in zip(buffers[1:], buffers, strict=False):
        touches = inner.start <= outer.end and outer.start <= inner.end
        if touches and draw(st.booleans()):
            aliases.append(Alias(inner.id, outer.id, Bytes(draw(st.integers(0, 9)))))
    return Problem(
        tuple(buffers),
        alignment=Bytes(draw(st.sampled_from([1, 4, 16]))),
        capacity=draw(st.none() | st.integers(0, 200).map(Bytes)),
        aliases=tuple(aliases),
    )
