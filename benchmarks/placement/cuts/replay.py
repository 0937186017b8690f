"""Whether predicted costs find the placement that is the fastest of all that were recorded.

Tables of ``record.py`` have the seconds of all plans, and what predictions rest on: the
calibration, and the kernels of the whole model at each place. Nothing is run, unless ``--race``.

- The plan that the planner finds, of the recorded ones, by predicted costs: its speed as a share
  of the best recorded plan's. Target: 97 %, for every model. The best is chosen by one half of the
  blocks, and both are compared by the other half: the least of many noisy values is too low.
- Plans of several pieces whose predicted total is within 15 % of the recorded one. Target: 80 %.

What a run takes at one place alone is known of every model that was profiled there, and kernels
are scaled to it, as the farm does (``farm.costs.kernels.run_factor``); here it is what the plans
of one piece took in the blocks by which the best is chosen.

Each with the borders of the calibration; with those that the farm would have learnt from the
recorded plans of all other models (``farm.costs.in_place``); and with terms of every border that
are fitted to one half of the model's own plans, tested on the others (``cut_terms``).

``--race`` races the 20 best recorded plans anew, in the farm's own blocks, against the best engine
on the whole model. Does any win? ONNX Runtime is among these with a saved graph, too, which is
made from the prepared graph, as plans with a package are.

    python -m benchmarks.placement.cuts.replay benchmarks/tables/cuts_*.json.gz --models FOLDER
        [FOLDER ...]
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Report, Unit, options
from benchmarks.measuring.aa import Bench
from benchmarks.placement.cuts.plans import Plan, plan_of
from benchmarks.placement.cuts.replayed import Replayed, both, pipeline_of, predicted, replayed
from benchmarks.placement.cuts.terms import Vector, added, fitted
from benchmarks.search.recorded import (
    read_table,
)
from farm.artifact.graphs import needs_preparation
from farm.candidate import Candidate, CPackage, Engine, OnnxRuntimeCpu, engine_label
from farm.costs.in_place import corrected
from farm.errors import FarmError, PlanError
from farm.plan.placement.solution import Solution
from farm.plan.placement.solve import place
from farm.units import format_seconds
from tuner.placing.problem import PricedProblem
from tuner.racing.statistics import compare
from tuner.request import TuneRequest

SPEED, NEAR, WITHIN = 0.97, 0.15, 0.80
RACED, BLOCKS, QUICK_BLOCKS = 20, 15, 3
ALPHA = 0.05
_PATIENCE = 240.0
_PLANNING_SECONDS = 5.0
_SEED = 20261129


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", type=Path, required=True, help="folders of them")
    parser.add_argument("--race", action="store_true", help="race the best plans anew")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="of a race")
    given = parser.parse_args()
    report = Report(__file__, given.json)
    try:
        replays = [replayed(read_table(path, "cuts"), given.models) for path in given.tables]
        for each in replays:
            figures(report, each, [other for other in replays if other is not each])
        together(report, replays)
        for each in replays if given.race else ():
            race(report, each, given.blocks)
    except FarmError as error:
        parser.error(str(error))
    return report.close()


def figures(report: Report, each: Replayed, others: Sequence[Replayed]) -> None:
    """What predictions of one model are worth."""
    report.say(f"{each.name}: {len(each.plans)} of {each.table.possible} plans recorded")
    words = "calibrated borders"
    speed(report, each, each.priced, each.predicted, words)
    near(report, each, each.predicted, words)
    if others:
        words = "borders learnt from other models"
        priced, costs = by_others(each, others)
        speed(report, each, priced, costs, words)
        near(report, each, costs, words)
    halves(report, each)


def by_others(
    each: Replayed, others: Sequence[Replayed]
) -> tuple[Mapping[bool, PricedProblem], Vector]:
    """The problem, and what plans cost, by terms that plans of other models taught."""
    plans = [plan for other in others for plan in other.observed]
    assert each.table.basis is not None
    calibration = corrected(each.calibration, plans)
    priced = both(each.table.basis, each.model, each.graph, calibration)
    prepared = [needs_preparation(pipeline_of(row.candidate)) for row in each.table.ok]
    pairs = zip(each.plans, prepared, strict=True)
    return priced, np.array([predicted(priced[kind], each.graph, plan) for plan, kind in pairs])


def speed(
    report: Report,
    each: Replayed,
    priced: Mapping[bool, PricedProblem],
    costs: Vector,
    words: str,
) -> None:
    """How fast the plan is that is found. costs: of the recorded plans.

    The planner's own counts where both problems have one that is recorded, and is cut from the
    graph that it was planned on; otherwise the best predicted one that is recorded.
    """
    found_by = {kind: place(of.problem, seconds=_PLANNING_SECONDS) for kind, of in priced.items()}
    solutions = list(found_by.values())
    of_kind = {k: _index(each, s) for k, s in found_by.items() if _has_package(s) == k}
    own = [at for at in of_kind.values() if at is not None]
    if len(own) == len(solutions):
        found, note = min(own, key=costs.__getitem__), "the planner's own"
    else:
        found = int(np.argmin(costs))
        best = min(solutions, key=lambda solution: solution.value)
        plan = " + ".join(f"{part.place} {len(part.operators)}" for part in best.parts)
        note = f"the best predicted; the planner's own is not among them: {plan}"
    kept = _kept(each)
    share = kept[_best(each)] / kept[found]
    title = f"{each.name}, {words}: speed of the plan found, of the best"
    report.at_least(title, float(share), SPEED, note=f"{_words(each.plans[found])}; {note}")


def near(report: Report, each: Replayed, costs: Vector, words: str) -> None:
    """How many plans are predicted well."""
    ratios = (costs / each.medians)[each.split]
    off, middle = np.abs(ratios - 1.0), np.median(ratios)
    title = f"{each.name}, {words}: plans within {NEAR:.0%}"
    report.at_least(title, float(np.mean(off <= NEAR)), WITHIN, note=f"median {middle:.2f} times")


def halves(report: Report, each: Replayed) -> None:
    """Terms of every border, from one half of the plans, on the other half."""
    learnt, test = by_half(each)
    kept, best = _kept(each)[test], each.seconds[test, ::2].mean(axis=1)
    share = kept[int(np.argmin(best))] / kept[int(np.argmin(learnt[test]))]
    words = "terms of half of the plans"
    title = f"{each.name}, {words}: speed of the plan found, of the best"
    report.at_least(title, float(share), SPEED, note=f"of the other {len(test)}")
    off = np.abs(learnt[test] / each.medians[test] - 1.0)
    title = f"{each.name}, {words}: plans within {NEAR:.0%}"
    report.at_least(title, float(np.mean(off <= NEAR)), WITHIN, note=f"of the other {len(test)}")


def by_half(each: Replayed) -> tuple[Vector, NDArray[np.int64]]:
    """Predictions with terms of one half of the plans, and the indices of the other half."""
    order = np.random.default_rng(_SEED).permutation(len(each.plans))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    features = [each.borders[at] for at in train]
    terms = fitted(features, each.predicted[train], each.medians[train])
    return each.predicted + added(each.borders, terms), test


def together(report: Report, replays: Sequence[Replayed]) -> None:
    """Plans of all models that are predicted well."""
    by_hand = [(each.predicted / each.medians)[each.split] for each in replays]
    _all(report, by_hand, "calibrated borders")
    if len(replays) > 1:
        rest = [(each, [other for other in replays if other is not each]) for each in replays]
        learnt = [(by_others(each, others)[1] / each.medians)[each.split] for each, others in rest]
        _all(report, learnt, "borders learnt from other models")
    tested = [
        (costs[test] / each.medians[test]) for each in replays for costs, test in [by_half(each)]
    ]
    _all(report, tested, "terms of the other half")


def _all(report: Report, ratios: Sequence[Vector], words: str) -> None:
    off = np.abs(np.concatenate(ratios) - 1.0)
    title = f"{len(off)} plans, {words}: within {NEAR:.0%}"
    report.at_least(title, float(np.mean(off <= NEAR)), WITHIN)


def race(report: Report, each: Replayed, blocks: int) -> None:
    """The best recorded plans anew, against the best engine on the whole model."""
    several = [at for at, plan in enumerate(each.plans) if len(plan) > 1]
    best = sorted(several, key=each.medians.__getitem__)[:RACED]
    engines: set[Engine] = {
        part.engine for row in each.table.ok for part in pipeline_of(row.candidate).parts
    }
    prepared = {replace(e, saved_graph=True) for e in engines if isinstance(e, OnnxRuntimeCpu)}
    wholes = sorted(engines | prepared, key=engine_label)
    singles = [Candidate(engine) for engine in wholes]
    plans = [each.table.ok[at].candidate for at in best]
    with ExitStack() as stack:
        request = TuneRequest(str(each.model.path.absolute()), ("cpu",))
        bench = Bench(stack, request, _PATIENCE)
        seconds = bench.race_everybody([*singles, *plans], blocks)
    medians = np.median(seconds, axis=0)
    single = min(range(len(singles)), key=medians.__getitem__)
    found = [compare(column, seconds[:, single]) for column in seconds.T[len(singles) :]]
    wins = sum(c.ratio.low > 1.0 and c.p_value <= ALPHA / len(found) for c in found)
    name = f"{each.name}: of the {len(found)} best plans, faster than the best single place"
    note = f"{singles[single].label()}, {format_seconds(medians[single])}, {len(seconds)} blocks"
    report.show(name, wins, Unit.COUNT, note)
    top = max(found, key=lambda c: c.ratio.value)
    interval = f"95 % {top.ratio.low:.3f} to {top.ratio.high:.3f}"
    report.show("... single place over the best of them", top.ratio.value, Unit.TIMES, interval)


def _index(each: Replayed, solution: Solution) -> int | None:
    """Where the planner's solution is among the recorded plans."""
    parts = [(part.place, part.operators) for part in solution.parts]
    try:
        return each.plans.index(plan_of(parts, each.graph))
    except (PlanError, ValueError):
        return None


def _has_package(solution: Solution) -> bool:
    return any(name.partition("/")[2] == CPackage().kind for name in solution.places)


def _best(each: Replayed) -> int:
    """The best plan by every other block."""
    return int(np.argmin(np.median(each.seconds[:, ::2], axis=1)))


def _kept(each: Replayed) -> Vector:
    """Seconds by the blocks that did not choose the best."""
    found: Vector = np.median(each.seconds[:, 1::2], axis=1)
    return found


def _words(plan: Plan) -> str:
    return " + ".join(f"{piece.place} {piece.end - piece.start}" for piece in plan)


if __name__ == "__main__":
    sys.exit(main())
