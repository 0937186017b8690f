"""Whether predicted costs find the placement that is the fastest of all that were recorded.

Tables of ``record_cuts.py`` have the seconds of all plans, and what predictions rest on: the
calibration, and the kernels of the whole model at each place. Nothing is run, unless ``--race``.

- The plan that the planner finds, of the recorded ones, by predicted costs: its speed as a share
  of the best recorded plan's. Target: 97 %, for every model. The best is chosen by one half of the
  blocks, and both are compared by the other half: the least of many noisy values is too low.
- Plans whose predicted total is within 15 % of the recorded one. Target: 80 %.

Each with the calibrated borders alone and with terms that are fitted to recorded plans, see
``cut_terms``: on every other model, and on one half of the plans, tested on the others.

``--race`` races the 20 best recorded plans anew, in the farm's own blocks, against the best engine
on the whole model. Does any win? ONNX Runtime is among these with a saved graph, too, which is
made from the prepared graph, as plans with a package are.

    python benchmarks/replay_cuts.py benchmarks/tables/cuts_*.json.gz --models FOLDER [FOLDER ...]
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
from aa import Bench
from common import Report, Unit, options
from cut_plans import Plan, plan_of, running
from cut_terms import (
    Features,
    Terms,
    Vector,
    added,
    border_features,
    fitted,
    pair_features,
    with_terms,
)
from numpy.typing import NDArray
from recorded import Basis, KernelRow, Kernels, Matrix, Table, TableError, read_table, steady

from farm.artifact.parts import needs_preparation
from farm.candidate import Candidate, Engine, OnnxRuntimeCpu, Pipeline, engine_label
from farm.costs.calibration import CostPlace, calibration_of
from farm.costs.families import Family
from farm.costs.model import MeasuredThenRoofline, ProfiledKernels
from farm.costs.operators import CostedOperator, costed_operators, group_signature
from farm.devices.profile import load_profiles
from farm.errors import FarmError, PlanError
from farm.model.graph import Graph, TensorKind, build_graph
from farm.model.model import Model, load_model
from farm.plan.placement.solution import Solution
from farm.plan.placement.solve import place
from farm.plan.solution import Status
from farm.units import Seconds, format_seconds
from tuner.placing.from_store import problem_at
from tuner.placing.problem import PricedProblem
from tuner.placing.support import DevicePlace
from tuner.racing.statistics import compare
from tuner.request import TuneRequest

SPEED, NEAR, WITHIN = 0.97, 0.15, 0.80
RACED, BLOCKS, QUICK_BLOCKS = 20, 15, 3
ALPHA = 0.05
_MULTIPLY = frozenset(
    {Family.CONVOLUTION, Family.POINTWISE, Family.DEPTHWISE, Family.PRODUCT, Family.RECURRENT}
)
_PATIENCE = 240.0
_PLANNING_SECONDS = 5.0
_SEED = 20261129


@dataclass(frozen=True, slots=True)
class Replayed:
    """A table with predictions.

    priced: by whether plans are cut from the prepared graph: those with a package are. seconds:
    without drift, [plans, blocks]. predicted: by the calibrated borders alone. pairs, borders:
    features of the plans, see ``cut_terms``.
    """

    table: Table
    model: Model
    graph: Graph
    priced: Mapping[bool, PricedProblem]
    plans: tuple[Plan, ...]
    seconds: Matrix
    predicted: Vector
    pairs: tuple[Features, ...]
    borders: tuple[Features, ...]

    @property
    def name(self) -> str:
        """Of the model."""
        return self.table.model

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
    basis = table.basis
    given = priced_by(basis, basis.kernels, model, graph)
    priced = {False: given, True: priced_by(basis, basis.prepared or basis.kernels, model, graph)}
    plans = tuple(_plan(row.candidate, graph) for row in table.ok)
    prepared = [needs_preparation(_pipeline(row.candidate)) for row in table.ok]
    pairs = zip(plans, prepared, strict=True)
    crossing = {at: _crossing(graph, at) for plan in plans for at in [p.start for p in plan[1:]]}
    return Replayed(
        table,
        model,
        graph,
        priced,
        plans,
        steady(table.seconds()),
        np.array([predicted(priced[kind], graph, plan) for plan, kind in pairs]),
        tuple(pair_features(plan, crossing) for plan in plans),
        tuple(border_features(plan) for plan in plans),
    )


def priced_by(basis: Basis, kernels: Kernels, model: Model, graph: Graph) -> PricedProblem:
    """The problem of placing a model, by what a table keeps. Raises DeviceError, PlanError."""
    calibration = calibration_of(basis.device, basis.constants, basis.borders)
    operators = costed_operators(model.proto, graph)
    signatures = {op.name: op.signature for op in operators}
    found: dict[CostPlace, dict[str, tuple[Seconds, ...]]] = {}
    for name, shown in kernels.items():
        rows = completed(shown, operators)
        seconds = found.setdefault(CostPlace(basis.device, name.partition("/")[2]), {})
        for row in rows:
            if all(op in signatures for op in row.operators):
                of = group_signature([signatures[op] for op in row.operators])
                seconds[of] = (*seconds.get(of, ()), Seconds(row.seconds))
    profile = load_profiles()[basis.device]
    places = tuple(DevicePlace(each, profile) for each in found)
    costs = MeasuredThenRoofline({basis.device: calibration}, ProfiledKernels(found))
    return problem_at(model, graph, places, costs)


def completed(
    rows: Sequence[KernelRow], operators: Sequence[CostedOperator]
) -> tuple[KernelRow, ...]:
    """Kernels with the operators that none of them stands for, because they were folded into it.

    A batch normalisation that is folded into a convolution is gone, or else takes its name, so
    that the convolution is gone: what multiplies joins the kernel of the operator that reads its
    result, and anything else that of the operator whose result it reads.
    """
    order = {op.name: at for at, op in enumerate(operators)}
    writers = {operand.name: op.name for op in operators for operand in op.writes}
    reads = {op.name: [writers[o.name] for o in op.reads if o.name in writers] for op in operators}
    members = [list(row.operators) for row in rows]
    of = {name: at for at, names in enumerate(members) for name in names}
    for op in operators:
        near = reads[op.name]
        if op.family in _MULTIPLY:
            near = [other.name for other in operators if op.name in reads[other.name]]
        row = next((of[name] for name in near if name in of), None)
        if op.name not in of and row is not None:
            of[op.name] = row
            members[row].append(op.name)
    return tuple(
        KernelRow(tuple(sorted(names, key=lambda name: order.get(name, -1))), row.seconds)
        for names, row in zip(members, rows, strict=True)
    )


def predicted(priced: PricedProblem, graph: Graph, plan: Plan) -> float:
    """Seconds of a plan."""
    names = tuple(op.name for op in running(graph))
    at = {name: piece.place for piece in plan for name in names[piece.start : piece.end]}
    solution = Solution(at, names, 0.0, 0.0, Status.FEASIBLE, Seconds(0.0))
    return priced.total(solution).value


def figures(report: Report, each: Replayed, others: Sequence[Replayed]) -> None:
    """What predictions of one model are worth."""
    report.say(f"{each.name}: {len(each.plans)} of {each.table.possible} plans recorded")
    by_hand = each.predicted
    speed(report, each, {}, by_hand, "calibrated borders")
    near(report, each, by_hand, "calibrated borders")
    if others:
        terms = terms_of(others)
        learnt = each.predicted + added(each.pairs, terms)
        words = "terms of other models"
        speed(report, each, terms, learnt, words)
        near(report, each, learnt, words)
    halves(report, each)


def terms_of(replays: Sequence[Replayed]) -> Terms:
    """Terms of pairs that suit all plans of some models."""
    features = [row for each in replays for row in each.pairs]
    predictions = np.concatenate([each.predicted for each in replays])
    return fitted(features, predictions, np.concatenate([each.medians for each in replays]))


def speed(report: Report, each: Replayed, terms: Terms, costs: Vector, words: str) -> None:
    """How fast the plan is that is found. costs: of the recorded plans, with the terms."""
    problems = (with_terms(priced.problem, terms) for priced in each.priced.values())
    solutions = [place(problem, seconds=_PLANNING_SECONDS) for problem in problems]
    own = [at for at in (_index(each, solution) for solution in solutions) if at is not None]
    if len(own) == len(solutions):
        found, note = min(own, key=costs.__getitem__), "the planner's own"
    else:
        found = int(np.argmin(costs))
        best = min(solutions, key=lambda solution: solution.value)
        plan = " + ".join(f"{part.place} {len(part.operators)}" for part in best.parts)
        note = f"the best predicted; the planner's own was not recorded: {plan}"
    kept = _kept(each)
    share = kept[_best(each)] / kept[found]
    title = f"{each.name}, {words}: speed of the plan found, of the best"
    report.at_least(title, float(share), SPEED, note=f"{_words(each.plans[found])}; {note}")


def near(report: Report, each: Replayed, costs: Vector, words: str) -> None:
    """How many plans are predicted well."""
    off = np.abs(costs / each.medians - 1.0)
    title = f"{each.name}, {words}: plans within {NEAR:.0%}"
    middle = np.median(costs / each.medians)
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
    medians = np.concatenate([each.medians for each in replays])
    by_hand = np.concatenate([each.predicted for each in replays])
    off = np.abs(by_hand / medians - 1.0)
    title = f"all {len(medians)} plans, calibrated borders: within {NEAR:.0%}"
    report.at_least(title, float(np.mean(off <= NEAR)), WITHIN)
    tested = [
        (learnt[test] / each.medians[test]) for each in replays for learnt, test in [by_half(each)]
    ]
    off = np.abs(np.concatenate(tested) - 1.0)
    title = f"{len(off)} plans, terms of the other half: within {NEAR:.0%}"
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


def _crossing(graph: Graph, at: int) -> int:
    """Bytes that cross at a cut point."""
    operators = running(graph)
    later = {name for op in operators[at:] for name in op.inputs}
    before = {*graph.inputs, *(name for op in operators[:at] for name in op.outputs)}
    tensors = (graph.tensors[name] for name in later & before)
    return sum(tensor.bytes for tensor in tensors if tensor.kind is not TensorKind.WEIGHT)


def _index(each: Replayed, solution: Solution) -> int | None:
    """Where the planner's solution is among the recorded plans."""
    parts = [(part.place, part.operators) for part in solution.parts]
    try:
        return each.plans.index(plan_of(parts, each.graph))
    except (PlanError, ValueError):
        return None


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
