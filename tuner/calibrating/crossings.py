"""What it takes to go from one engine to another one in the middle of a model.

The models of ``farm.costs.probes.borders`` say what a call takes; in place a border takes more,
see ``farm.costs.probes.rows``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from farm.candidate import Candidate, Engine, OnnxRuntimeCpu, Pipeline, PipelinePart
from farm.costs.in_place import Observed, PartWork
from farm.costs.kernels import KernelGroup, kernel_groups, seconds_within, wired
from farm.costs.probes.rows import Row, row_models, turns
from farm.plan.placement.problem import CALLER
from farm.units import Seconds
from tuner.calibrating.measure import Bench
from tuner.calibrating.places import MeasuredPlace
from tuner.calibrating.workloads import Probed, probed
from tuner.search.options import SPIN_BESIDE_OTHERS
from workers.protocol import Split

_PROFILE_SECONDS = 0.2  # that a row is run for a profile at one place


def borders_in_place(
    bench: Bench, places: Sequence[MeasuredPlace], until: float
) -> tuple[Observed, ...]:
    """Every two engines of a device after each other; nothing of engines that cannot be measured.

    places: of different engines, none of which is emulated. until: seconds of the budget that may
    be used before the last row is begun.
    """
    if len(places) < 2:
        return ()
    engines = [each.place.engine for each in places]
    found: list[Observed] = []
    for number, row in enumerate(row_models(len(turns(engines)))):
        if number and bench.used > until:
            break
        first = number % len(engines)
        found += _observed(bench, places, turns([*engines[first:], *engines[:first]]), row)
    return tuple(found)


def part_beside(device: str, engine: Engine, operators: Sequence[str]) -> PipelinePart:
    """A part of a pipeline, whose idle threads do not spin while another engine works."""
    if isinstance(engine, OnnxRuntimeCpu):
        engine = replace(engine, spin_microseconds=SPIN_BESIDE_OTHERS)
    return PipelinePart(device, engine, tuple(operators))  # type: ignore[arg-type]


def _observed(
    bench: Bench, places: Sequence[MeasuredPlace], order: Sequence[str], row: Row
) -> Iterator[Observed]:
    """The parts of a row that is run at one engine after the other."""
    probe = probed(row.name, row.model, seconds=_PROFILE_SECONDS)
    by_engine = {each.place.engine: each for each in places}
    parts = (
        part_beside(each.place.device, each.candidate.engine, segment)
        for segment, each in zip(row.segments, map(by_engine.__getitem__, order), strict=True)
    )
    split = bench.in_turns(probe, Candidate(Pipeline(tuple(parts))))
    if split is None:
        return
    kernels: dict[str, tuple[KernelGroup, ...]] = {}
    for each in places:
        rows = bench.profiled(each, probe)
        if rows is not None:
            kernels[each.place.engine] = kernel_groups(rows, wired(probe.operators.values()))
    yield from _parts(probe, row, order, split, kernels)


def _parts(
    probe: Probed,
    row: Row,
    order: Sequence[str],
    split: Split,
    kernels: Mapping[str, Sequence[KernelGroup]],
) -> Iterator[Observed]:
    given = [probe.operators[segment[-1]].writes[0].size for segment in row.segments]
    ends = pairwise((given[0], *given))  # all tensors between segments are alike
    neighbours = zip((CALLER, *order[:-1]), order, (*order[1:], CALLER), strict=True)
    for told, segment, (taken, gives), (before, engine, after) in zip(
        split.parts, row.segments, ends, neighbours, strict=True
    ):
        if engine in kernels:
            known = seconds_within(kernels[engine], segment)
            work = PartWork(engine, known, before, after, taken, gives)
            yield Observed(Seconds(told.seconds), (work,))
