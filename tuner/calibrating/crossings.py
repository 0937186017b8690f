"""What it takes to go from one engine to another one in the middle of a model.

The models of ``farm.costs.probes.borders`` say what a call takes; in place a border takes more,
see ``farm.costs.probes.halves``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations

from farm.candidate import Candidate, Engine, OnnxRuntimeCpu, Pipeline, PipelinePart
from farm.costs.calibration import Crossing
from farm.costs.probes.halves import halves_model
from farm.units import Seconds
from tuner.calibrating.measure import Bench
from tuner.calibrating.places import MeasuredPlace
from tuner.calibrating.workloads import Probed, probed
from tuner.search.options import SPIN_BESIDE_OTHERS

_Members = dict[tuple[str, str], Candidate]


def crossings(bench: Bench, places: Sequence[MeasuredPlace]) -> tuple[Crossing, ...]:
    """One for every two engines of a device in turn; none of engines that cannot be measured.

    places: of different engines, none of which is emulated.
    """
    if len(places) < 2:
        return ()
    probe = probed("borders in place", halves_model(), seconds=0.0)
    members: _Members = {(p.place.engine, p.place.engine): p.candidate for p in places}
    for source, target in permutations(places, 2):
        members[source.place.engine, target.place.engine] = _split(probe, source, target)
    seconds = bench.side_by_side(probe, members)
    return tuple(_found(seconds))


def _split(probe: Probed, source: MeasuredPlace, target: MeasuredPlace) -> Candidate:
    names = tuple(probe.operators)
    half = len(names) // 2
    ends = ((source, names[:half]), (target, names[half:]))
    parts = (part_beside(p.place.device, p.candidate.engine, own) for p, own in ends)
    return Candidate(Pipeline(tuple(parts)))


def part_beside(device: str, engine: Engine, operators: Sequence[str]) -> PipelinePart:
    """A part of a pipeline, whose idle threads do not spin while another engine works."""
    if isinstance(engine, OnnxRuntimeCpu):
        engine = replace(engine, spin_microseconds=SPIN_BESIDE_OTHERS)
    return PipelinePart(device, engine, tuple(operators))  # type: ignore[arg-type]


def _found(seconds: Mapping[tuple[str, str], float]) -> list[Crossing]:
    made = []
    for (source, target), whole in seconds.items():
        ends = seconds.get((source, source)), seconds.get((target, target))
        if source != target and ends[0] is not None and ends[1] is not None:
            border = max(0.0, whole - (ends[0] + ends[1]) / 2)
            made.append(Crossing(source, target, Seconds(border)))
    return made
