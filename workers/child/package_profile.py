"""Profiles of compiled packages: built anew so that they note what each step takes, and run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from farm.artifact.compiler import Compiler
from farm.artifact.engines import c_compiler
from farm.candidate import Candidate, CPackage, CPackageEmulated
from farm.codegen.build.compilers import Target, find_emulator
from farm.codegen.build.toolchain import build_runner
from farm.codegen.generate import Generation
from farm.codegen.package.compiled import port_of
from farm.codegen.package.packets import step_packets
from farm.codegen.package.stamps import (
    counted_steps,
    elapsed_ticks,
    operators_of_steps,
    precision_of_step,
    stamped,
    timed_steps,
)
from farm.codegen.package.write import write_sources
from farm.errors import CompileError
from farm.measurement import Method
from farm.profile.kernels import OperatorProfile
from farm.profile.mapping import Origin, operators_of
from farm.profile.view import view_of
from workers.engines.runner import RunnerProcess
from workers.engines.session import Array, EngineError, Feeds

_LEAST_RUNS, _MOST_RUNS, _MOST_ROUNDS = 5, 1000, 100
_ROUND_SECONDS = 0.005  # shorter than others mostly keep a processor that they take away


def package_profile(
    compiler: Compiler, candidate: Candidate, sample: Feeds, folder: Path, seconds: float
) -> tuple[OperatorProfile, ...]:
    """Profile the steps of a package.

    sample: the input of its runs. folder: an existing, empty one to build in. seconds: about so
    long runs are timed; an emulator counts one run.

    Raises EngineError: it cannot be built or run.
    """
    engine = candidate.engine
    assert isinstance(engine, CPackage | CPackageEmulated)
    try:
        generation = compiler.generation(candidate)
        costs, method = _costs(generation, engine, sample, folder, seconds)
        operators = _operators(compiler, generation)
    except CompileError as error:
        raise EngineError(str(error)) from error
    timed = method is Method.MEASURED
    return tuple(
        OperatorProfile(
            f"{step.work.kernel or type(step).__name__} {at}",
            step.work.kernel or type(step).__name__,
            names,
            precision_of_step(step),
            cost if timed else None,
            None if timed else round(cost),
            method,
        )
        for at, ((step, _), names, cost) in enumerate(
            zip(generation.storage.steps, operators, costs, strict=False)
        )
    )


def _operators(compiler: Compiler, generation: Generation) -> tuple[tuple[str, ...], ...]:
    """The operators of the user's model of every step, those first that call a kernel."""
    prepared = compiler.prepared().model
    origin = Origin.of(prepared, prepared, compiler.model)
    graph, nodes = operators_of_steps(generation, view_of(prepared))
    return operators_of(graph, nodes, origin)


def _costs(
    generation: Generation,
    engine: CPackage | CPackageEmulated,
    sample: Feeds,
    folder: Path,
    seconds: float,
) -> tuple[Sequence[float], Method]:
    """Seconds or packets of every step, and how they were found. Raises CompileError."""
    target = Target(engine.target)
    if target.is_hexagon and not find_emulator():
        steps = (step for step, _ in generation.storage.steps)
        return [float(step_packets(s, target).all) for s in steps], Method.MODELLED
    write_sources(folder, stamped(generation, target))
    program = folder / "stamping"
    build_runner(folder, target, program, c_compiler(engine))
    inputs = [port_of(t).elements(sample[t.label]) for t in generation.program.inputs]
    with RunnerProcess(program, target) as runner:
        if target.is_hexagon:
            return counted_steps(runner.run(inputs)[-1])[:, 0].tolist(), Method.EMULATED
        return _timed(runner, inputs, seconds), Method.MEASURED


def _timed(runner: RunnerProcess, inputs: Sequence[Array], seconds: float) -> list[float]:
    """Seconds of every step, of the rounds that nothing else on the machine disturbed most."""
    runner.run(inputs)
    lasts = runner.count(_LEAST_RUNS).nanoseconds * 1e-9 / _LEAST_RUNS
    runs = min(_MOST_RUNS, max(_LEAST_RUNS, int(_ROUND_SECONDS / max(lasts, 1e-7))))
    notes, begin = [runner.run(inputs)[-1]], time.perf_counter()
    last = begin
    while len(notes) <= _MOST_ROUNDS and (len(notes) == 1 or last - begin < seconds):
        runner.count(runs)
        notes.append(runner.run(inputs)[-1])
        last = time.perf_counter()
    # The counter's rate is that of all rounds: what delays a reply is much of a single short one.
    rate = (last - begin) / elapsed_ticks(notes[0], notes[-1])
    rounds = [
        timed_steps(before, after, runs + 1, rate * elapsed_ticks(before, after))
        for before, after in pairwise(notes)
    ]
    fastest: list[float] = min(rounds, key=np.sum).tolist()
    return fastest
