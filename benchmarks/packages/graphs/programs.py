"""Several packages in one program.

Each has names of its own, and all run in the same memory, one after the other; before each run
that memory is full of rubbish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.packages.graphs.cases import Case
from benchmarks.packages.graphs.operators.proposal import Array
from farm.codegen.build.compilers import Target
from farm.codegen.build.toolchain import build_runner
from farm.codegen.emit import GUARD_BYTES, emit, runner_header
from farm.codegen.generate import Generation
from farm.codegen.package.write import write_sources
from workers.engines.runner import RunnerProcess

_DISPATCHER = """\
#include <stdint.h>
#include <string.h>

#include "model.h"

{includes}
/* Whether nothing but the rubbish is in bytes that no kernel may write. */
static int is_untouched(const uint8_t *bytes, uint8_t rubbish) {{
    for (int i = 0; i < {guard}; i++) {{
        if (bytes[i] != rubbish) {{
            return 0;
        }}
    }}
    return 1;
}}

/* Runs one model in memory full of rubbish, which ends with its block; whether its guards hold. */
static int run(void (*call)(void *, const void *const *, void *const *), void *memory,
               uint32_t bytes, float rubbish, const void *const *inputs, void *const *outputs) {{
    uint8_t *block = (uint8_t *)memory + (MODEL_MEMORY_BYTES - bytes);
    uint8_t byte = (uint8_t)rubbish;
    memset(memory, byte, MODEL_MEMORY_BYTES);
    call(block, inputs, outputs);
    return is_untouched(block, byte) && is_untouched(block + bytes - {guard}, byte);
}}

void model_call(void *memory, const void *const *inputs, void *const *outputs) {{
    float rubbish = *(const float *)inputs[0];
    float *whole = outputs[0];
{calls}}}
"""
_HEADER = """\
#ifndef MODEL_H
#define MODEL_H
#define MODEL_MEMORY_BYTES {memory}u
#define MODEL_INPUTS {inputs}
#define MODEL_OUTPUTS {outputs}
#define MODEL_INPUT_BYTES {{ {input_bytes} }}
#define MODEL_OUTPUT_BYTES {{ {output_bytes} }}
void model_call(void *memory, const void *const *inputs, void *const *outputs);
#endif
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one program gave: outputs by case and feed. faults: what was wrong, by case."""

    outputs: Sequence[Sequence[Sequence[Array]]]
    faults: Mapping[str, str]


def run_cases(cases: Sequence[Case], target: Target, folder: Path) -> Run:
    """Compile the packages of several cases as one program, in an empty folder, and run it.

    The first feed of each case is repeated at the end, in other rubbish.

    Raises CompileError, EngineError.
    """
    _write(cases, folder)
    built = build_runner(folder, target, folder / "runner")
    process = RunnerProcess(built.path, target)
    faults: dict[str, str] = {}
    runs: list[list[list[Array]]] = []
    count = max(len(case.feeds) for case in cases)
    try:
        for number in (*range(count), 0):
            # Bytes of rubbish are no numbers as floats, in the repeated run large ones.
            rubbish = 0x5A if len(runs) == count else 0xFF
            outputs, whole = _run(cases, process, number, rubbish)
            runs.append(outputs)
            broken = (case.name for case, good in zip(cases, whole, strict=True) if not good)
            faults |= dict.fromkeys(broken, "it writes around its memory")
    finally:
        process.close()
    repeated = runs.pop()
    for case, first, again in zip(cases, runs[0], repeated, strict=True):
        if [array.tobytes() for array in first] != [array.tobytes() for array in again]:
            faults[case.name] = "the second run gives other outputs"
    by_case = [[run[i] for run in runs[: len(case.feeds)]] for i, case in enumerate(cases)]
    return Run(by_case, faults)


def _run(
    cases: Sequence[Case], process: RunnerProcess, number: int, rubbish: int
) -> tuple[list[list[Array]], list[bool]]:
    """Outputs of every case for its feed of this number, and whether its guards hold.

    Cases with fewer feeds begin again.
    """
    inputs = [np.array([rubbish], np.float32)]
    for case in cases:
        feed = case.feeds[number % len(case.feeds)]
        inputs += [feed[tensor.name] for tensor in case.generation.program.inputs]
    whole, *raw = (each.view(np.float32) for each in process.run(inputs))
    following = iter(raw)
    outputs = [
        [next(following).reshape(t.shape) for t in case.generation.program.outputs]
        for case in cases
    ]
    return outputs, [bool(each) for each in whole]


def _write(cases: Sequence[Case], folder: Path) -> None:
    """Sources of all cases, and a package that calls all of them."""
    programs = [case.generation.program for case in cases]
    memory = [case.generation.generated.memory_bytes for case in cases]
    includes, calls, inputs, outputs = "", "", 1, 1
    for number, (case, program) in enumerate(zip(cases, programs, strict=True)):
        name = f"part{number}"
        storage = case.generation.storage
        named = Generation(program, storage, emit(program, storage, case.name, name))
        place = folder / name
        place.mkdir(parents=True)
        write_sources(place, named)
        sources = f'#include "{name}/model.c"\n#include "{name}/weights.c"\n'
        (folder / f"{name}.c").write_text(sources)
        includes += f'#include "{name}/model.h"\n'
        calls += (
            f"    whole[{number}] = (float)run({name}_call, memory, {memory[number]}u, rubbish,\n"
        )
        calls += f"                          inputs + {inputs}, outputs + {outputs});\n"
        inputs += len(program.inputs)
        outputs += len(program.outputs)
    given = [4, *(tensor.bytes for program in programs for tensor in program.inputs)]
    made = [4 * len(cases), *(t.bytes for program in programs for t in program.outputs)]
    header = _HEADER.format(
        memory=max(memory),
        inputs=inputs,
        outputs=outputs,
        input_bytes=", ".join(f"{size}u" for size in given),
        output_bytes=", ".join(f"{size}u" for size in made),
    )
    (folder / "model.h").write_text(header)
    source = _DISPATCHER.format(includes=includes, calls=calls, guard=GUARD_BYTES)
    (folder / "model.c").write_text(source)
    (folder / "runtime").mkdir()
    (folder / "runtime" / "package.h").write_text(runner_header("model"))
