"""Compares planned orders with the best of all orders, and with the usual ones.

``python -m benchmarks.memory.schedule [--models FOLDER] [--seeds N] [--quick]`` compares the
planner with exhaustive search on random graphs, then plans cells of randomly wired networks, then
the models of a folder.

The cells follow Xie et al. (2019, "Exploring randomly wired neural networks"): a random graph of
Watts and Strogatz with n nodes, k = 4 and p = 0.75; every edge points from the lower to the
higher number; nodes without predecessors read the cell's input, which has twice the bytes of any
other tensor because these nodes halve its sides and double its channels; the cell's output is the
mean of the nodes that nobody reads. A node takes the weighted sum of what it reads, then ReLU and
a separable convolution. Two granularities:

- *fused*: one operator per node, as an engine that fuses the sum into the convolution runs it;
- *written out*: the operators an exporter writes: one Mul per edge, Adds, Relu, depthwise and
  pointwise convolution.

Nothing runs in place. Two default orders:

- *by number*: the nodes by their number, each with all its operators at once: the order of a
  trace of the network's own loop over its nodes;
- *breadth first*: Kahn's algorithm with a first-in, first-out queue over the operators, those
  that need nothing first, ties by number: an operator joins the queue when the last of what it
  needs has been taken from it. The textbook's topological sort.

The target belongs to one of the kinds, written out with 32 nodes, and to the breadth-first order.
The other ratios are shown without one: most are below it, although the planned orders are optimal.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import Report, Unit, options
from farm.errors import FarmError
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.schedule.order import (
    Operator,
    Problem,
    Solution,
    from_graph,
    peak_of,
    plan_schedule,
    validate,
)
from farm.plan.solution import Status
from farm.units import Bytes

GRAPHS = 500
MOST_OPERATORS = 12
NEIGHBOURS, REWIRED = 4, 0.75
CELL_INPUT, CELL_TENSOR = Bytes(2 * 78 * 784), Bytes(78 * 784)  # int8, 78 channels of 28 x 28
RATIO, TARGET_NODES = 1.5, 32
SHAPES = {"sequence": 512}  # given to dynamic dimensions of models


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="also plan its ONNX files")
    parser.add_argument("--seeds", type=int, default=24, help="cells of each kind")
    parser.add_argument("--quick", action="store_true", help="a small part, to see that it runs")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    seeds = 2 if arguments.quick else arguments.seeds
    exhaustive_figures(report, 20 if arguments.quick else GRAPHS)
    for nodes in (16, 32, 64):
        cell_figures(report, f"fused, {nodes} nodes", fused_cell, nodes, seeds)
    for nodes in (16, 32):
        cell_figures(report, f"written out, {nodes} nodes", written_out_cell, nodes, seeds)
    if arguments.models is not None:
        for path in sorted(arguments.models.glob("*.onnx")):
            model_figures(report, path)
    return report.close()


def exhaustive_figures(report: Report, graphs: int) -> None:
    """How often the planner's peak is that of the best of all orders."""
    equal = improved = 0
    planning = searching = 0.0
    for seed in range(graphs):
        problem = random_problem(seed)
        solution = plan_schedule(problem)
        began = time.monotonic()
        lowest = exhaustive_peak(problem)
        searching += time.monotonic() - began
        planning += solution.seconds
        equal += is_valid(problem, solution) and solution.peak == lowest
        improved += lowest < solution.default_peak
    name = f"random graphs of at most {MOST_OPERATORS} operators equal to exhaustive search"
    note = f"{improved} of {graphs} graphs have an order below their default one"
    report.at_least(name, equal, graphs, Unit.COUNT, note)
    report.show("... seconds to plan all of them", planning, Unit.SECONDS)
    report.show("... seconds to search all of them exhaustively", searching, Unit.SECONDS)


def random_problem(seed: int) -> Problem:
    """A graph of 1 to 12 operators with branches, scratch and operators that run in place."""
    draw = random.Random(seed)
    sizes = {"x": Bytes(draw.randint(1, 40))}
    operators = []
    for index in range(draw.randint(1, MOST_OPERATORS)):
        known = sorted(sizes)
        reads = tuple(draw.sample(known, min(len(known), draw.choice([1, 1, 1, 2, 2, 3]))))
        written = f"t{index:02}"
        sizes[written] = Bytes(draw.randint(1, 40))
        fitting = [name for name in reads if sizes[name] >= sizes[written]]
        in_place = tuple((name, written) for name in fitting if draw.random() < 0.3)
        scratch = Bytes(draw.choice([0, 0, 0, 15]))
        operators.append(Operator(f"op{index:02}", reads, (written,), in_place, scratch))
    unread = set(sizes) - {name for operator in operators for name in operator.reads}
    return Problem(tuple(operators), sizes, ("x",), tuple(sorted(unread)))


def exhaustive_peak(problem: Problem) -> int:
    """The lowest peak: depth first over all orders, leaving one at the best peak so far.

    Written without the planner: sets of tensors and operators, nothing remembered.
    """
    best = math.inf

    def extend(alive: frozenset[str], left: frozenset[Operator], peak: int) -> None:
        nonlocal best
        if not left:
            best = peak
        later = {name for operator in left for name in operator.writes}
        for operator in sorted(left, key=lambda operator: operator.name):
            if later.isdisjoint(operator.reads):
                rest = left - {operator}
                wanted = set(problem.outputs).union(*(other.reads for other in rest))
                during = alive | set(operator.writes)
                taken = {new for old, new in operator.in_place if old not in wanted}
                step = sum(problem.sizes[name] for name in during - taken) + operator.scratch
                if max(peak, step) < best:
                    extend(frozenset(during & wanted), rest, max(peak, step))

    used = set(problem.outputs).union(*(operator.reads for operator in problem.operators))
    extend(frozenset(used & set(problem.inputs)), frozenset(problem.operators), 0)
    return int(best)


def cell_figures(
    report: Report, kind: str, cell: Callable[[int, int], Problem], nodes: int, seeds: int
) -> None:
    """How far below the default orders the planned ones are, on cells of one kind."""
    by_number, breadth_first, solutions = [], [], []
    for seed in range(seeds):
        problem = cell(nodes, seed)
        solution = plan_schedule(problem)
        if not is_valid(problem, solution):
            raise AssertionError(f"{kind}, seed {seed}: {validate(problem, solution)}")
        solutions.append(solution)
        by_number.append(solution.default_peak / solution.peak)
        breadth_first.append(peak_of(problem, breadth_first_order(problem)) / solution.peak)
    proven = [solution.status is Status.OPTIMAL for solution in solutions]
    gaps = [solution.peak / solution.lower_bound for solution in solutions]
    seconds = [solution.seconds for solution in solutions]
    name = f"{kind}: peak of the breadth-first order, of the planned"
    note = f"geometric mean of {seeds}, {spread(breadth_first)}"
    if cell is written_out_cell and nodes == TARGET_NODES:
        report.at_least(name, geometric_mean(breadth_first), RATIO, Unit.TIMES, note)
    else:
        report.show(name, geometric_mean(breadth_first), Unit.TIMES, note)
    name = f"{kind}: peak of the order by number, of the planned"
    report.show(name, geometric_mean(by_number), Unit.TIMES, spread(by_number))
    name = f"{kind}: proven optimal"
    note = f"peak of the planned order, of the bound: at most {max(gaps):.3f}"
    report.show(name, sum(proven) / seeds, note=note)
    report.show(f"{kind}: longest to plan", max(seconds), Unit.SECONDS)


def fused_cell(nodes: int, seed: int) -> Problem:
    """A cell with one operator per node."""
    builder = CellBuilder()
    for node, sources in enumerate(random_wiring(nodes, seed)):
        builder.add(f"n{node}", [f"n{source}" for source in sources] or ["x"])
    return builder.problem()


def written_out_cell(nodes: int, seed: int) -> Problem:
    """A cell with the operators that an exporter writes for every node."""
    builder = CellBuilder()
    for node, sources in enumerate(random_wiring(nodes, seed)):
        total = "x" if not sources else f"n{sources[0]}"
        if len(sources) > 1:
            for source in sources:
                builder.add(f"n{node}.mul{source}", [f"n{source}"])
            total = f"n{node}.mul{sources[0]}"
        for source in sources[1:]:
            total = builder.add(f"n{node}.add{source}", [total, f"n{node}.mul{source}"])
        relu = builder.add(f"n{node}.relu", [total])
        builder.add(f"n{node}", [builder.add(f"n{node}.depthwise", [relu])])
    return builder.problem()


class CellBuilder:
    """Collects operators that write one tensor each, named as they are."""

    def __init__(self) -> None:
        self._operators: list[Operator] = []
        self._sizes = {"x": CELL_INPUT}

    def add(self, name: str, reads: Sequence[str]) -> str:
        """Add an operator; returns the tensor that it writes."""
        # A ReLU of the input is as large as the input; all the others write the cell's size.
        self._sizes[name] = CELL_INPUT if name.endswith(".relu") and "x" in reads else CELL_TENSOR
        self._operators.append(Operator(name, tuple(reads), (name,)))
        return name

    def problem(self) -> Problem:
        """The cell, with the mean of all that nobody reads as its output."""
        read = {name for operator in self._operators for name in operator.reads}
        self.add("mean", [name for name in self._sizes if name not in read])
        return Problem(tuple(self._operators), self._sizes, ("x",), ("mean",))


def random_wiring(nodes: int, seed: int) -> list[list[int]]:
    """What each node reads: a graph of Watts and Strogatz (1998), edges towards higher numbers."""
    draw = random.Random(seed)
    ring = [
        (a, (a + step) % nodes) for step in range(1, NEIGHBOURS // 2 + 1) for a in range(nodes)
    ]
    edges = {frozenset(edge) for edge in ring}
    for a, b in ring:
        free = [c for c in range(nodes) if c != a and frozenset((a, c)) not in edges]
        if draw.random() < REWIRED and free:
            edges.remove(frozenset((a, b)))
            edges.add(frozenset((a, draw.choice(free))))
    return [sorted(min(edge) for edge in edges if max(edge) == node) for node in range(nodes)]


def breadth_first_order(problem: Problem) -> list[str]:
    """Kahn's algorithm with a first-in, first-out queue, ties by the default order."""
    writer = {name: op.name for op in problem.operators for name in op.writes}
    missing = {
        op.name: {writer[name] for name in op.reads if name in writer} for op in problem.operators
    }
    queue = deque(name for name, needs in missing.items() if not needs)
    order = []
    while queue:
        done = queue.popleft()
        order.append(done)
        for name, needs in missing.items():
            if done in needs:
                needs.remove(done)
                if not needs:
                    queue.append(name)
    return order


def model_figures(report: Report, path: Path) -> None:
    """The planned order of a real model against its own."""
    try:
        model = load_model(path, {})
    except FarmError:
        model = load_model(path, SHAPES)
    graph = build_graph(model)
    problem = from_graph(graph)
    solution = plan_schedule(problem)
    unknown = "" if graph.complete else ", some tensors of unknown shape count nothing"
    note = (
        f"{len(problem.operators)} operators, {solution.default_peak} B against "
        f"{solution.peak} B, {solution.status}{unknown}"
    )
    if not is_valid(problem, solution):
        raise AssertionError(f"{path.name}: {validate(problem, solution)}")
    ratio = solution.default_peak / solution.peak
    report.show(f"{path.stem}: peak of its own order, of the planned", ratio, Unit.TIMES, note)


def is_valid(problem: Problem, solution: Solution) -> bool:
    """Whether the validator, which knows nothing of the planner, finds nothing wrong."""
    return validate(problem, solution) is None


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of ratios, all positive."""
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))


def spread(ratios: Sequence[float]) -> str:
    """The extremes of ratios."""
    return f"{min(ratios):.2f} to {max(ratios):.2f}"


if __name__ == "__main__":
    sys.exit(main())
