"""Whether predicted costs find the placement that is the fastest of all that were recorded.

Tables of ``record_cuts.py`` have the seconds of all plans, and what predictions rest on: the
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

    python -m benchmarks.placement.replay_cuts benchmarks/tables/cuts_*.json.gz --models FOLDER
        [FOLDER ...]
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Report, Unit, options
from benchmarks.measuring.aa import Bench
from benchmarks.placement.cut_observed import observed, solution_of
from benchmarks.placement.cut_plans import Plan, plan_of
from benchmarks.placement.cut_terms import Features, Vector, added, border_features, fitted
from benchmarks.search.recorded import (
    Basis,
    Kernels,
    Matrix,
    Table,
    TableError,
    read_table,
    steady,
)
from farm.artifact.graphs import needs_preparation
from farm.candidate import Candidate, CPackage, Engine, OnnxRuntimeCpu, Pipeline, engine_label
from farm.costs.calibration import Calibration, CostPlace, calibration_of
from farm.costs.in_place import Observed, corrected
from farm.costs.kernels import run_factor
from farm.costs.model import MeasuredThenRoofline, ProfiledKernels
from farm.costs.operators import costed_operators, group_signature
from farm.devices.profile import load_profiles
from farm.errors import FarmError, PlanError
from farm.model.graph import Graph, build_graph
from farm.model.model import Model, load_model
from farm.plan.placement.solution import Solution
from farm.plan.placement.solve import place
from farm.units import Seconds, format_seconds
from tuner.placing.from_store import problem_at
from tuner.placing.problem import PricedProblem
from tuner.placing.support import DevicePlace
from tuner.racing.statistics import compare
from tuner.request import TuneRequest

SPEED, NEAR, WITHIN = 0.97, 0.15, 0.80
RACED, BLOCKS, QUICK_BLOCKS = 20, 15, 3
ALPHA = 0.05
_PATIENCE = 240.0
_PLANNING_SECONDS = 5.0
_SEED = 20261129


@dataclass(frozen=True, slots=True)
class Replayed:
    """A table with predictions.

    priced: by whether plans are cut from the prepared graph: those with a package are. seconds:
    without drift, [plans, blocks]. predicted: by the calibrated borders alone. observed: plans as
    the farm learns from them. borders: features of the plans, see ``cut_terms``.
    """

    table: Table
    model: Model
    graph: Graph
    calibration: Calibration
    priced: Mapping[bool, PricedProblem]
    plans: tuple[Plan, ...]
    seconds: Matrix
    predicted: Vector
    observed: tuple[Observed, ...]
    borders: tuple[Features, ...]

    @property
    def name(self) -> str:
        """Of the model."""
        return self.table.model

    @property
    def split(self) -> NDArray[np.bool_]:
        """Whether each plan has several pieces."""
        return np.array([len(plan) > 1 for plan in self.plans])

    @property
    def medians(self) -> Vector:
        """Of the seconds of each plan."""
        found: Vector = np.median(self.seconds, axis=1)
        return found


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


def replayed(table: Table, folders: Sequence[Path]) -> Replayed:
    """A table with the predictions of its plans. Raises FarmError."""
    if table.basis is None:
        raise TableError(
            f"The table of {table.model} has nothing that predictions rest on: calibrate the "
            "device, and record it again with --store."
        )
    model = _model(table, folders)
    graph = build_graph(model)
    calibration = calibration_of(table.basis.device, table.basis.constants, table.basis.borders)
    plans = tuple(_plan(row.candidate, graph) for row in table.ok)
    basis = in_a_run(table.basis, calibration, wholes(plans, steady(table.seconds())))
    table = replace(table, basis=basis)
    priced = both(basis, model, graph, calibration)
    prepared = [needs_preparation(_pipeline(row.candidate)) for row in table.ok]
    pairs = list(zip(plans, prepared, strict=True))
    seconds = steady(table.seconds())
    medians = np.median(seconds, axis=1)
    return Replayed(
        table,
        model,
        graph,
        calibration,
        priced,
        plans,
        seconds,
        np.array([predicted(priced[kind], graph, plan) for plan, kind in pairs]),
        tuple(
            observed(priced[kind], graph, plan, float(median))
            for (plan, kind), median in zip(pairs, medians, strict=True)
        ),
        tuple(border_features(plan) for plan in plans),
    )


def wholes(plans: Sequence[Plan], seconds: Matrix) -> dict[str, float]:
    """What a run takes at each place that runs all, in the blocks by which the best is chosen."""
    return {
        plan[0].place: float(np.median(row[::2]))
        for plan, row in zip(plans, seconds, strict=True)
        if len(plan) == 1
    }


def in_a_run(basis: Basis, calibration: Calibration, whole: Mapping[str, float]) -> Basis:
    """A basis whose kernels have the seconds that they have in a run without the profiler.

    A package runs the prepared graph, where there is one, and other engines the given one.
    """
    calls = {f"{basis.device}/{e.engine}": e.launch for e in calibration.ends}
    factors = {}
    for name, rows in basis.kernels.items():
        ran = basis.prepared.get(name, rows) if name.endswith("/cpackage") else rows
        told = sum(row.seconds for row in ran)
        factors[name] = run_factor(told, whole.get(name), calls.get(name, 0.0))

    def scaled(kernels: Kernels) -> Kernels:
        return {
            name: tuple(replace(row, seconds=factors.get(name, 1.0) * row.seconds) for row in rows)
            for name, rows in kernels.items()
        }

    return replace(basis, kernels=scaled(basis.kernels), prepared=scaled(basis.prepared))


def both(
    basis: Basis, model: Model, graph: Graph, calibration: Calibration
) -> dict[bool, PricedProblem]:
    """The problem of placing a model, by whether it is cut from the prepared graph.

    Raises DeviceError, PlanError.
    """
    given = priced_by(basis, basis.kernels, model, graph, calibration)
    prepared = priced_by(basis, basis.prepared or basis.kernels, model, graph, calibration)
    return {False: given, True: prepared}


def priced_by(
    basis: Basis, kernels: Kernels, model: Model, graph: Graph, calibration: Calibration
) -> PricedProblem:
    """The problem of placing a model, by what a table keeps. Raises DeviceError, PlanError."""
    operators = costed_operators(model.proto, graph)
    signatures = {op.name: op.signature for op in operators}
    found: dict[CostPlace, dict[str, tuple[Seconds, ...]]] = {}
    for name, shown in kernels.items():
        seconds = found.setdefault(CostPlace(basis.device, name.partition("/")[2]), {})
        for row in shown:
            if all(op in signatures for op in row.operators):
                of = group_signature([signatures[op] for op in row.operators])
                seconds[of] = (*seconds.get(of, ()), Seconds(row.seconds))
    profile = load_profiles()[basis.device]
    places = tuple(DevicePlace(each, profile) for each in found)
    costs = MeasuredThenRoofline({basis.device: calibration}, ProfiledKernels(found))
    return problem_at(model, graph, places, costs)


def predicted(priced: PricedProblem, graph: Graph, plan: Plan) -> float:
    """Seconds of a plan."""
    return priced.total(solution_of(graph, plan)).value


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
    prepared = [needs_preparation(_pipeline(row.candidate)) for row in each.table.ok]
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
        part.engine for row in each.table.ok for part in _pipeline(row.candidate).parts
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


def _model(table: Table, folders: Sequence[Path]) -> Model:
    for folder in folders:
        path = folder / f"{table.model}.onnx"
        if path.is_file() and (model := load_model(path)).sha256 == table.sha256:
            return model
    raise TableError(
        f"None of the folders has the model {table.model}.onnx that was recorded (SHA-256 "
        f"{table.sha256[:12]}...)."
    )


def _pipeline(candidate: Candidate) -> Pipeline:
    if not isinstance(candidate.engine, Pipeline):
        raise TableError(f"A table of cuts has a row that is no pipeline: {candidate.label()}.")
    return candidate.engine


def _plan(candidate: Candidate, graph: Graph) -> Plan:
    return plan_of([(p.place, p.operators) for p in _pipeline(candidate).parts], graph)


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
