"""Are placements the best ones, and is that proven for large graphs? Each one is validated.

``python -m benchmarks.placement.placement_plan [--quick]`` prints every figure with its target;
the exit code is 1 when one is missed. Small problems have every cost and limit, and are compared
with all assignments and all topological orders; chains with the shortest path in the graph of
their steps and places. The larger ones are the graphs of the models that come with the onnx
package, with costs of a roofline whose factors are random (see ``placement_problems``), and
layers of random operators. Seeds are fixed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from math import inf, isclose
from pathlib import Path
from random import Random
from time import perf_counter, process_time

import onnx

from benchmarks.common import Report, Unit, options
from benchmarks.placement.placement_oracle import best_value, least_order_cost, shortest_path
from benchmarks.placement.placement_problems import (
    MIXING,
    SLOW_LINKS,
    Kind,
    chain_problem,
    graph_problem,
    layered_problem,
    random_problem,
    without_ways,
)
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.placement.evaluate import value
from farm.plan.placement.methods.baselines import greedy, heft, single_places
from farm.plan.placement.methods.chain import chain, chain_assignment
from farm.plan.placement.orders.order import order_cost, sorted_order
from farm.plan.placement.problem import PlacementObjective, Problem
from farm.plan.placement.solution import Solution
from farm.plan.placement.solve import place
from farm.plan.placement.tables import tables
from farm.plan.placement.validate import violations
from farm.plan.solution import Status
from farm.units import Bytes

SEED = 20261
RANDOM_PROBLEMS, CHAINS, ORDERS, WAYLESS = 1000, 500, 1000, 200
SMALL_SECONDS = 60.0  # of a random graph, which take milliseconds, with few exceptions
FEW_OPERATORS = 9  # of a graph whose order is compared with all others
LONG_CHAIN, LONG_CHAIN_SECONDS = 500, 0.020
MODELS = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MODEL_SEEDS, MODEL_GAP, MODEL_SECONDS = 3, 0.01, 10.0
LAYERED, WIDTH, LAYERED_SEEDS, LAYERED_GAP, LAYERED_SECONDS = 5000, 8, 3, 0.05, 60.0
BEYOND = (
    (PlacementObjective.LATENCY, 0.45),
    (PlacementObjective.THROUGHPUT, None),
    (PlacementObjective.THROUGHPUT, 0.45),
    (PlacementObjective.PEAK_MEMORY, None),
    (PlacementObjective.PEAK_MEMORY, 0.45),
)
_ROUNDING = 1e-9


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="a small part, to see that it runs")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    part = 20 if arguments.quick else 1
    random_problems(report, RANDOM_PROBLEMS // part)
    chains(report, CHAINS // part)
    orders(report, ORDERS // part)
    wayless(report, WAYLESS // part)
    for path in sorted(MODELS.glob("*.onnx")):
        for kind in (SLOW_LINKS, MIXING):
            model(report, path, kind, 1 if arguments.quick else MODEL_SEEDS)
    for objective, share in BEYOND:
        beyond(report, MODELS / "light_resnet50.onnx", objective, share)
    for seed in range(1 if arguments.quick else LAYERED_SEEDS):
        layered(report, LAYERED // part, SEED + seed)
    return report.close()


def random_problems(report: Report, count: int) -> None:
    """At most 12 operators and 3 places, every cost and limit: brute force finds nothing better.

    That the value is reached is for the validator, which brute force then has to undercut.
    """
    wrong = broken = worse = infeasible = unproven = 0
    longest = planning = searching = 0.0
    for seed in range(SEED, SEED + count):
        problem = random_problem(Random(seed))
        solution = place(problem, seconds=SMALL_SECONDS)
        began = perf_counter()
        best = best_value(problem, solution.value)
        searching += perf_counter() - began
        planning += solution.seconds
        longest = max(longest, solution.seconds)
        wrong += not equal(solution.value, best)
        broken += bool(violations(problem, solution))
        worse += solution.value > best_baseline(problem) * (1 + _ROUNDING)
        infeasible += solution.status is Status.INFEASIBLE
        unproven += solution.status not in (Status.OPTIMAL, Status.INFEASIBLE)
    note = f"{infeasible} have no placement"
    name = f"{count} random graphs: not equal to brute force"
    report.at_most(name, wrong, 0, Unit.COUNT, note)
    report.at_most("... not proven to be", unproven, 0, Unit.COUNT)
    report.at_most("... with violations", broken, 0, Unit.COUNT)
    report.at_most("... worse than a baseline", worse, 0, Unit.COUNT)
    report.show("... longest time to plan one", longest, Unit.SECONDS)
    report.show("... time to plan all", planning, Unit.SECONDS)
    report.show("... time of brute force", searching, Unit.SECONDS)


def equal(one: float, two: float) -> bool:
    """Whether two values differ by rounding at most."""
    return isclose(one, two, rel_tol=_ROUNDING)


def best_baseline(problem: Problem) -> float:
    """Of the best single place, greedy, HEFT and the chain solution, in their own orders."""
    table = tables(problem)
    given = tuple(range(len(table.names)))
    found = [(at, given) for at in single_places(table)]
    found += [(at, given) for at in (greedy(table), chain(table, given)) if at is not None]
    found += [placed for placed in (heft(table),) if placed is not None]
    return min((value(table, at, order) for at, order in found), default=inf)


def chains(report: Report, count: int) -> None:
    """The chain solution of chains is the shortest path, and long ones take milliseconds."""
    wrong = 0
    for seed in range(SEED, SEED + count):
        random = Random(seed)
        problem = chain_problem(random, random.randint(1, 60))
        table = tables(problem)
        given = tuple(range(len(table.names)))
        at = chain(table, given)
        found = inf if at is None else value(table, at, given)
        wrong += not equal(found, shortest_path(problem))
    report.at_most(f"{count} chains: not the shortest path", wrong, 0, Unit.COUNT)
    problem = chain_problem(Random(SEED), LONG_CHAIN)
    times = []
    for _ in range(5):
        began = process_time()
        chain_assignment(problem)
        times.append(process_time() - began)
    name = f"a chain of {LONG_CHAIN} operators, processor time, median of 5"
    report.at_most(name, sorted(times)[2], LONG_CHAIN_SECONDS, Unit.SECONDS)


def orders(report: Report, count: int) -> None:
    """Sorted orders against all topological ones, and against those that were given."""
    best = worse = improved = 0
    for seed in range(SEED, SEED + count):
        random = Random(seed)
        problem = random_problem(random, most=FEW_OPERATORS)
        table = tables(problem)
        at = tuple(random.choice(table.allowed(i)) for i in range(len(table.names)))
        given = tuple(range(len(at)))
        found = order_cost(table, at, sorted_order(table, at, given))
        least = least_order_cost(problem, table.assignment(at))
        best += found <= least + _ROUNDING
        worse += found > order_cost(table, at, given)
        improved += least < order_cost(table, at, given) - _ROUNDING
    note = f"{improved} of {count} graphs have a better order than the given one"
    report.at_least("sorted orders equal to the best of all", best / count, 0.95, note=note)
    report.at_most("... worse than the given order", worse, 0, Unit.COUNT)


def wayless(report: Report, count: int) -> None:
    """Where it costs infinitely much to leave a place, the best single place is the answer."""
    wrong = 0
    for seed in range(SEED, SEED + count):
        problem = random_problem(Random(seed), objective=PlacementObjective.LATENCY)
        problem = without_ways(joined(problem))
        table = tables(problem)
        given = tuple(range(len(table.names)))
        single = min((value(table, at, given) for at in single_places(table)), default=inf)
        wrong += not equal(place(problem).value, single)
    name = f"{count} graphs without ways between places: not the best single place"
    report.at_most(name, wrong, 0, Unit.COUNT)


def joined(problem: Problem) -> Problem:
    """The same problem in one piece: every operator reads something that the one before wrote.

    So that one place has all of them where nothing can go from one to another.
    """
    operators = [problem.operators[0]]
    for op in problem.operators[1:]:
        before = operators[-1].outputs[0]
        operators.append(replace(op, inputs=tuple(dict.fromkeys((*op.inputs, before)))))
    places = tuple(replace(p, capacity=None) for p in problem.places)
    return replace(problem, operators=tuple(operators), places=places, groups=())


def model(report: Report, path: Path, kind: Kind, seeds: int) -> None:
    """The worst gap and the longest time over some sets of costs."""
    graph = build_graph(load_model(path))
    problems = [graph_problem(Random(SEED + seed), graph, kind) for seed in range(seeds)]
    solutions = [place(problem, seconds=MODEL_SECONDS) for problem in problems]
    name = path.stem.removeprefix("light_")
    name += f", {len(problems[0].operators)} operators, links from {kind.latencies[0]:.0f} us"
    large_figures(report, name, solutions, MODEL_GAP, MODEL_SECONDS)
    wrong = sum(bool(violations(p, s)) for p, s in zip(problems, solutions, strict=True))
    report.at_most(f"{name}: with violations", wrong, 0, Unit.COUNT)


def beyond(report: Report, path: Path, objective: PlacementObjective, share: float | None) -> None:
    """What is shown without a target. share: of all weights that each place can hold."""
    problem = graph_problem(Random(SEED), build_graph(load_model(path)))
    weights = {name for op in problem.operators for name in op.weights}
    total = sum(problem.weight_sizes[name] for name in weights)
    room = None if share is None else Bytes(int(share * total))
    places = tuple(replace(p, capacity=room) for p in problem.places)
    problem = replace(problem, places=places, objective=objective)
    solution = place(problem, seconds=MODEL_SECONDS)
    limited = "" if share is None else f", each place holds {share:.0%} of the weights"
    name = f"{path.stem.removeprefix('light_')}, {objective}{limited}: gap"
    report.show(name, solution.gap, note="; ".join(described([solution])))
    wrong = len(violations(problem, solution))
    report.at_most("... violations", wrong, 0, Unit.COUNT)


def layered(report: Report, count: int, seed: int) -> None:
    """Layers of random operators."""
    problem = layered_problem(Random(seed), count, WIDTH)
    solution = place(problem, seconds=LAYERED_SECONDS)
    name = f"{count} operators in layers of at most {WIDTH}, seed {seed}"
    large_figures(report, name, [solution], LAYERED_GAP, LAYERED_SECONDS)
    wrong = len(violations(problem, solution))
    report.at_most(f"{name}: violations", wrong, 0, Unit.COUNT)


def large_figures(
    report: Report, name: str, solutions: list[Solution], gap: float, seconds: float
) -> None:
    """Gap and time, the worst of several solutions."""
    worst = max(solutions, key=lambda solution: solution.gap)
    report.at_most(f"{name}: gap", worst.gap, gap, note="; ".join(described(solutions)))
    longest = max(solution.seconds for solution in solutions)
    report.at_most(f"{name}: time", longest, seconds, Unit.SECONDS)


def described(solutions: list[Solution]) -> Iterator[str]:
    """How each was found, and how many parts and places it has."""
    for solution in solutions:
        yield f"{len(solution.parts)} parts at {len(solution.places)} by {solution.method}"


if __name__ == "__main__":
    sys.exit(main())
