"""Packets of one run of a package on a Hexagon: as they are counted, or modelled.

Where the emulator is not installed they are modelled, step by step. A step knows which kernel it
calls and how often each of its loops runs (:class:`farm.codegen.program.Work`):

    packets = sum over the loops, and ways of counting them, of price * count

``packets.toml`` holds the prices of every kernel on both targets. None is below zero, and most
are zero and left out. ``benchmarks/packages/packet_model.py`` fits them to counts of the
emulator, and says how far they are off on models that they were not fitted to. What comes from
the model is marked ``modelled`` wherever it is shown.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources

from farm.codegen.build.compilers import Target
from farm.codegen.generate import Generation
from farm.codegen.package.record import Packets
from farm.codegen.program import Loop, Step, Work

PRICES = "packets.toml"
"""[target.kernel] "loop.way" = [packets, vector instructions], with the names of `counts`."""

_CALL = Loop("call", 1, 0)
_VECTOR_BYTES = {Target.HEXAGON_HVX: 128, Target.HEXAGON: 8}
_NOTHING = (0.0, 0.0)


def modelled_packets(generation: Generation, target: Target) -> Packets:
    """Packets of one run on a Hexagon; none on the host."""
    if not target.is_hexagon:
        return Packets()
    steps = [step_packets(step, target) for step, _ in generation.storage.steps]
    return Packets(sum(each.all for each in steps), sum(each.vector for each in steps))


def step_packets(step: Step, target: Target) -> Packets:
    """Packets of one step on a Hexagon. Raises KeyError: its kernel has no prices."""
    if not any(tensor.size for tensor in step.outputs):
        return Packets()
    work = step.work
    if not work.loops:
        return Packets()
    prices = _prices(target)[work.kernel]
    paid = [(count, prices.get(name, _NOTHING)) for name, count in counts(work, target).items()]
    packets, vector = (sum(count * price[i] for count, price in paid) for i in (0, 1))
    return Packets(round(packets), round(vector))


def counts(work: Work, target: Target) -> dict[str, int]:
    """How often what has prices happens, by "loop.way"; what never happens is left out.

    Ways to count a loop: start: it is begun. element: an element, were they taken one by one.
    vector: a vector of single bytes, the last one perhaps in part. part: such a last vector. odd:
    an element of a loop of odd length, which compilers do not unroll. The call itself counts as a
    loop that is begun once.
    """
    found: Counter[str] = Counter()
    for loop in (_CALL, *work.loops):
        for way, count in _ways(loop, _VECTOR_BYTES[target]).items():
            found[f"{loop.name}.{way}"] += count
    return {name: count for name, count in found.items() if count}


def _ways(loop: Loop, vector_bytes: int) -> dict[str, int]:
    whole, left = divmod(loop.length, vector_bytes)
    elements = loop.times * loop.length
    return {
        "start": loop.times,
        "element": elements,
        "vector": loop.times * (whole + (left > 0)),
        "part": loop.times * (left > 0),
        "odd": elements * (loop.length % 2),
    }


@cache
def _prices(target: Target) -> Mapping[str, Mapping[str, tuple[float, float]]]:
    """By kernel, and by loop and way."""
    text = (resources.files("farm.codegen.package") / PRICES).read_text(encoding="utf-8")
    prices: Mapping[str, Mapping[str, tuple[float, float]]] = tomllib.loads(text)[target]
    return prices
