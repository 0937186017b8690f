"""Packets of one run of a package on a Hexagon: as they are counted, or modelled.

Where the emulator is not installed they are modelled as

    packets = sum over steps of (a + b bytes) + c macs

with the bytes of each step's inputs and outputs, and with constants for integers and for floats
that were fitted to counts of the emulator (``benchmarks/packet_model.py`` fits and checks them).
It knows nothing of the shapes that kernels like and dislike, so that it may be off by a factor of
two; what comes from it is marked ``modelled`` wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from farm.codegen.compilers import Target
from farm.codegen.generate import Generation
from farm.codegen.program import Element, Step


@dataclass(frozen=True, slots=True)
class Packets:
    """What one run executes. all: packets. vector: instructions on vectors."""

    all: int = 0
    vector: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """Packets of a step, of a byte that it reads or writes, and of a multiply-accumulate.

    vector_share: vector instructions per packet.
    """

    step: float
    byte: float
    mac: float
    vector_share: float


COSTS: Mapping[Target, Mapping[Element, Cost]] = {
    Target.HEXAGON_HVX: {
        Element.U8: Cost(step=360.0, byte=0.134, mac=0.0039, vector_share=0.84),
        Element.F32: Cost(step=27_000.0, byte=1.05, mac=1.1, vector_share=0.0),
    },
    Target.HEXAGON: {
        Element.U8: Cost(step=1_950.0, byte=2.03, mac=0.109, vector_share=0.0),
        Element.F32: Cost(step=27_000.0, byte=1.05, mac=1.1, vector_share=0.0),
    },
}


def modelled_packets(generation: Generation, target: Target) -> Packets:
    """Packets of one run on a Hexagon; none on the host.

    A program's multiply-accumulates count as integers when any of its steps works on integers.
    """
    if not target.is_hexagon:
        return Packets()
    costs = COSTS[target]
    steps = [step for step, _ in generation.storage.steps]
    kinds = [_element(step) for step in steps]
    main = Element.U8 if Element.U8 in kinds else Element.F32
    by_kind = {main: costs[main].mac * generation.program.macs}
    for step, kind in zip(steps, kinds, strict=True):
        cost = costs[kind]
        by_kind[kind] = by_kind.get(kind, 0.0) + cost.step + cost.byte * step_bytes(step)
    vector = sum(costs[kind].vector_share * packets for kind, packets in by_kind.items())
    return Packets(round(sum(by_kind.values())), round(vector))


def step_bytes(step: Step) -> int:
    """Bytes that a step reads and writes, its constants not counted."""
    return sum(tensor.bytes for tensor in (*step.inputs, *step.outputs))


def _element(step: Step) -> Element:
    elements = {tensor.element for tensor in (*step.inputs, *step.outputs)}
    return Element.U8 if Element.U8 in elements else Element.F32
