"""What it takes to go from one engine to another one in the middle of a model.

The models of ``farm.costs.probes.borders`` say what a call takes; in place a border takes more,
see ``farm.costs.probes.rows``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from farm.candidate import Candidate, Engine, OnnxRuntimeCpu, Pipeline, PipelinePart
from farm.costs.in_place import Observed, PartWork
from farm.costs.kernels import kernel_groups, seconds_within, wired
from farm.costs.probes.rows import Row, row_models, turns
from farm.plan.placement.problem import CALLER
from farm.profile.kernels import OperatorProfile
from farm.units import Seconds
from tuner.calibrating.measure import Bench, least
from tuner.calibrating.places import MeasuredPlace
from tuner.calibrating.workloads import probed
from tuner.search.options import SPIN_BESIDE_OTHERS

_PROFILE_SECONDS = 0.2  # that a row is run for a profile at one place


def borders_in_place(
    bench: Bench, places: Sequence[MeasuredPlace], until: float, again: float = 0.0
) -> tuple[Observed, ...]:
    """Every two engines of a device after each other; nothing of engines that cannot be measured.

    Rows are measured a second time where there is time, and of every part and kernel the least
    counts, as of kernels: see ``Bench.kernels``.

    places: of different engines, none of which is emulated. until, again: seconds of the budget
    that may be used before the last row is begun, and before the last one is begun again.
    """
    if len(places) < 2:
        return ()
    rows: list[_MeasuredRow] = []
    for number, row in enumerate(row_models(len(turns([p.place.engine for p in places])))):
        if number and bench.used > until:
            break
        first = number % len(places)
        rows.append(_MeasuredRow(row, [*places[first:], *places[:first]]))
        rows[-1].measure(bench)
    for measured in rows:
        if bench.used > again:
            break
        measured.measure(bench)
    return tuple(each for measured in rows for each in measured.observed())


def part_beside(device: str, engine: Engine, operators: Sequence[str]) -> PipelinePart:
    """A part of a pipeline, whose idle threads do not spin while another engine works."""
    if isinstance(engine, OnnxRuntimeCpu):
        engine = replace(engine, spin_microseconds=SPIN_BESIDE_OTHERS)
    return PipelinePart(device, engine, tuple(operators))  # type: ignore[arg-type]


class _MeasuredRow:
    """A row that is run at one engine after the other, and as a whole at each for its kernels."""

    def __init__(self, row: Row, places: Sequence[MeasuredPlace]) -> None:
        self._row, self._places = row, places
        self._order = turns([each.place.engine for each in places])
        self._probe = probed(row.name, row.model, seconds=_PROFILE_SECONDS)
        self._seconds: tuple[float, ...] = ()
        self._kernels: dict[str, tuple[OperatorProfile, ...]] = {}

    def measure(self, bench: Bench) -> None:
        """Measure it; of what was measured before the least counts."""
        split = bench.in_turns(self._probe, self._pipeline())
        if split is None:
            return
        found = tuple(part.seconds for part in split.parts)
        self._seconds = tuple(map(min, found, self._seconds or found))
        for each in self._places:
            rows = bench.profiled(each, self._probe)
            if rows is not None:
                engine = each.place.engine
                self._kernels[engine] = least(self._kernels.get(engine, ()), rows)

    def observed(self) -> Iterator[Observed]:
        """Its parts, of engines whose kernels are known."""
        wiring = wired(self._probe.operators.values())
        kernels = {name: kernel_groups(rows, wiring) for name, rows in self._kernels.items()}
        # All tensors between segments are alike.
        (size,) = {self._probe.operators[s[-1]].writes[0].size for s in self._row.segments}
        neighbours = zip(
            (CALLER, *self._order[:-1]), self._order, (*self._order[1:], CALLER), strict=True
        )
        parts = zip(self._seconds, self._row.segments, neighbours, strict=bool(self._seconds))
        for seconds, segment, (before, engine, after) in parts:
            if engine in kernels:
                known = seconds_within(kernels[engine], segment)
                work = PartWork(engine, known, before, after, size, size)
                yield Observed(Seconds(seconds), (work,))

    def _pipeline(self) -> Candidate:
        by_engine = {each.place.engine: each for each in self._places}
        parts = (
            part_beside(each.place.device, each.candidate.engine, segment)
            for segment, each in zip(
                self._row.segments, map(by_engine.__getitem__, self._order), strict=True
            )
        )
        return Candidate(Pipeline(tuple(parts)))
