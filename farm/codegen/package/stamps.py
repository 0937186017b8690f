"""A package that notes what each of its steps takes, in one more output.

Between any two steps it reads the processor's ticks, or on a Hexagon the counters of packets and
of vector instructions. Two notes with nothing between them say what a note takes itself. Such a
package is built to be looked at, and never delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farm.codegen.build.compilers import Target
from farm.codegen.emit import emit
from farm.codegen.generate import Generation
from farm.codegen.program import (
    NO_SCRATCH,
    NO_WORK,
    Array,
    Binding,
    Call,
    Element,
    Pointer,
    Step,
    Tensor,
    Work,
)
from farm.codegen.storage import Area, Place
from farm.profile.correspond import Names, correspondence
from farm.profile.view import Node, View
from farm.units import Bytes

# The counters are those of farm/codegen/runtime/system_hexagon.c.
_COUNTERS = """
#include <stdint.h>
#define STAMP_COUNTER(name, word)                                                \\
    static inline uint32_t name(void) {                                          \\
        uint32_t count;                                                          \\
        __asm__ volatile(word "\\n\\t%0 = r0" : "=r"(count) : : "r0", "memory");   \\
        return count;                                                            \\
    }
STAMP_COUNTER(stamp_packets, ".word 0x6a14c000")
STAMP_COUNTER(stamp_vector_instructions, ".word 0x6a16c000")

static inline void stamp(uint32_t *to, uint32_t *last) {
    (void)last;
    to[0] = stamp_packets();
    to[1] = stamp_vector_instructions();
}
"""
# Ticks since the last note, added up over all runs. The counter ticks evenly, and reading it needs
# nothing from elsewhere, of which a package may have next to nothing.
_CLOCK = """
#include <stdint.h>

static inline uint64_t stamp_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
#error "steps are timed on x86-64 and on 64-bit ARM only"
#endif
}

static inline void stamp(uint64_t *to, uint64_t *last) {
    uint64_t now = stamp_ticks();
    *to += now - *last;
    *last = now;
}
"""
_FIRST = 2  # notes before the first step
_SUFFIXES = (".u8", ".blocked", ".exact", ".rounded", ".float", ".copy")  # behind a value's name


@dataclass(frozen=True, slots=True, eq=False)
class _Stamp:
    """A step that makes a note, in a row of its output [notes + 1, 2].

    The last row is the clock's: where it was at the note before.
    """

    outputs: tuple[Tensor, ...]
    row: int
    ctype: str
    inputs: tuple[Tensor, ...] = ()
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH
    work: Work = NO_WORK

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Nobody knows."""
        raise NotImplementedError

    def call(self, bind: Binding) -> Call:
        """One note."""
        notes = self.outputs[0]
        rows = (
            f"(uint8_t *)({bind.tensor(notes)}) + {8 * at}"
            for at in (self.row, notes.shape[0] - 1)
        )
        return Call("common.h", "stamp", tuple(Pointer(self.ctype, row) for row in rows))


def stamped(generation: Generation, target: Target) -> Generation:
    """The same package with a note after every step; its last output has them.

    ``counted_steps`` and ``timed_steps`` read that output.
    """
    steps = generation.storage.steps
    notes = Tensor("stamps", (len(steps) + _FIRST + 1, 2), Element.F32)
    ctype, code = ("uint32_t *", _COUNTERS) if target.is_hexagon else ("uint64_t *", _CLOCK)
    stamps = [(_Stamp((notes,), row, ctype), "note") for row in range(notes.shape[0] - 1)]
    pairs = zip(steps, stamps[_FIRST:], strict=True)
    calls = (*stamps[:_FIRST], *(call for pair in pairs for call in pair))
    outputs = generation.program.outputs
    program = replace(generation.program, outputs=(*outputs, notes))
    places = {**generation.storage.places, notes.name: Place(Area.OUTPUT, len(outputs))}
    storage = replace(generation.storage, places=places, steps=calls)
    generated = emit(program, storage, "A model that takes notes", generation.generated.name)
    header = code + generated.files["model.h"]  # every file includes it before anything else
    files = {**generated.files, "model.h": header}
    return Generation(program, storage, replace(generated, files=files))


def counted_steps(output: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Packets and vector instructions of every step in one run, [steps, 2]; on a Hexagon."""
    counters = output.view(np.uint32).reshape(-1, 2)[:-1]
    taken = np.diff(counters, axis=0).astype(np.int64)  # counters wrap around, differences do not
    steps: NDArray[np.int64] = taken[1:] - taken[0]
    return steps


def timed_steps(
    before: NDArray[np.uint8], after: NDArray[np.uint8], runs: int, seconds: float
) -> NDArray[np.float64]:
    """Seconds of every step in one run, [steps]; on the host.

    before, after: the notes of two runs; the later one is so many runs and seconds after the
    other.
    """
    ticks = (after.view(np.uint64) - before.view(np.uint64)).astype(np.float64)
    notes = ticks[:-1] * (seconds / ticks[-1] / runs)
    steps: NDArray[np.float64] = np.maximum(notes[_FIRST:] - notes[1], 0.0)
    return steps


def elapsed_ticks(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> int:
    """Of the host's counter, from the notes of one run to those of a later one."""
    return int(after.view(np.uint64)[-1] - before.view(np.uint64)[-1])


def precision_of_step(step: Step) -> str:
    """What a step computes in: integers of 8 bits if it reads or writes any."""
    elements = [tensor.element for tensor in (*step.inputs, *step.outputs)]
    if any(element.is_quantized for element in elements):
        return "int8"
    return str(Element.F32 if Element.F32 in elements else elements[-1])


def operators_of_steps(generation: Generation, model: View) -> tuple[View, tuple[Names, ...]]:
    """The steps as a graph, those that call a kernel first, and for each the nodes of the model.

    model: the graph that the program was lowered from.
    """
    calls = generation.storage.steps
    written = {tensor.name for step, _ in calls for tensor in step.outputs}
    program = zip(generation.program.steps, generation.program.operators, strict=True)
    views = [pair for pair in program if pair[0].outputs[0].name not in written]
    steps = (*calls, *views)
    graph = View(
        tuple(
            Node(
                str(at),
                type(step).__name__,
                tuple(tensor.name for tensor in step.inputs),
                tuple(tensor.name for tensor in step.outputs),
            )
            for at, (step, _) in enumerate(steps)
        ),
        frozenset(tensor.name for tensor in generation.program.inputs),
    )
    anchors = {name: _value(name, model) for name in graph.tensors}
    known = {name: value for name, value in anchors.items() if value}
    named = {node.name for node in model.nodes}
    told = [(operator,) if operator in named else () for _, operator in steps]
    return graph, correspondence(graph, model, known, told)


def _value(name: str, model: View) -> str:
    """The value of the model that a tensor is a form of; "" if none."""
    for suffix in ("", *_SUFFIXES):
        if name.removesuffix(suffix) in model.tensors:
            return name.removesuffix(suffix)
    return ""
