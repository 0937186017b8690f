"""Is the memory planner fast, and are its plans the best ones? Each plan is validated.

``python -m benchmarks.memory.memory_plan [--problems DIR]`` prints every figure with its target;
the exit code is 1 when one is missed. DIR holds real problems as ``NAME.CAPACITY.csv``. Random
problems are compared with all possible answers; seeds are fixed. The time that numba takes to
compile, or to load what it compiled before, is shown by itself.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from time import perf_counter

from benchmarks.common import Report, Unit, options
from benchmarks.memory.memory_problems import (
    crowded_problem,
    fewest_portions,
    joined_problem,
    large_problem,
    lowest_height,
    packed_problem,
    random_problem,
)
from farm.plan.memory.arena import Solution, plan_memory, violations
from farm.plan.memory.csv_files import read_problem
from farm.plan.memory.portions import plan_portions, portion_violations
from farm.plan.memory.problem import Problem
from farm.plan.solution import Status
from farm.units import Bytes

SEED = 20261
SECONDS = 60.0  # for each of the real problems
ALL_SECONDS = 30.0  # for all of them together
MINIMALLOC_SECONDS = 27.2  # the published solver in C++ on A to G and I
RANDOM_PROBLEMS = 1000
ROOMS = (4, 16)
LARGE = 10_000
LARGE_PROBLEMS = 3


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--problems", type=Path, help="folder with NAME.CAPACITY.csv files")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    first_call(report)
    if arguments.problems is not None:
        real_problems(report, arguments.problems)
    random_problems(report)
    for rooms in ROOMS:
        without_a_free_byte(report, rooms)
    large(report)
    return report.close()


def first_call(report: Report) -> None:
    """What it costs to plan the first problem that is worth compiled code, and a tiny one."""
    tiny = random_problem(Random(SEED))
    report.show("a tiny problem, nothing compiled", plan_memory(tiny).seconds, Unit.SECONDS)
    packed = packed_problem(Random(SEED), count=80)
    first = plan_memory(packed).seconds
    report.show("the first problem of 80 buffers", first, Unit.SECONDS, "compiles or loads")
    report.show("the same again", plan_memory(packed).seconds, Unit.SECONDS)


def real_problems(report: Report, folder: Path) -> None:
    """Each problem of a folder within its capacity, and how long all of them take.

    The kernels are compiled or loaded by now: that is not in these times.
    """
    paths = sorted(folder.glob("*.*.csv"))
    if not paths:
        sys.exit(f"there are no problems in {folder}; expected NAME.CAPACITY.csv")
    total = 0.0
    for path in paths:
        capacity = Bytes(int(path.stem.rpartition(".")[2]))
        problem = read_problem(path, capacity)
        solution = plan_memory(problem, seconds=SECONDS)
        total += solution.seconds
        name = path.stem.partition(".")[0]
        report.at_most(f"{name}: time", solution.seconds, SECONDS, Unit.SECONDS)
        wrong = len(violations(problem, solution)) + (not solution.offsets)
        report.at_most(f"{name}: violations", wrong, 0, Unit.COUNT, described(solution))
        settled = solution.status is Status.OPTIMAL or solution.height < capacity
        report.at_most(f"{name}: at its capacity, unproven", not settled, 0, Unit.COUNT)
    report.at_most("all real problems: time", total, ALL_SECONDS, Unit.SECONDS)
    report.at_most("the same, stretch", total, MINIMALLOC_SECONDS, Unit.SECONDS)


def described(solution: Solution) -> str:
    """Height, bound, status, and how much was searched."""
    searched = f"{solution.nodes} nodes" if solution.nodes else "not searched"
    return f"{solution.height} B, bound {solution.lower_bound} B, {solution.status}, {searched}"


def random_problems(report: Report) -> None:
    """Problems of at most 8 buffers, half of them without a free byte: as good as brute force."""
    random = Random(SEED)
    problems = [
        make(random)
        for make in (random_problem, crowded_problem)
        for _ in range(RANDOM_PROBLEMS // 2)
    ]
    above = sum(not is_lowest(problem) for problem in problems)
    report.at_most(f"{len(problems)} random arenas: not the lowest", above, 0, Unit.COUNT)
    above = sum(not has_fewest_portions(problem) for problem in problems)
    report.at_most(f"{len(problems)} sets of portions: not the smallest", above, 0, Unit.COUNT)


def is_lowest(problem: Problem) -> bool:
    """Whether the arena is valid and as low as any order of the buffers makes it."""
    solution = plan_memory(problem)
    return solution.height == lowest_height(problem) and not violations(problem, solution)


def has_fewest_portions(problem: Problem) -> bool:
    """Whether the portions are valid, as few as possible, and as small as so many can be."""
    solution = plan_portions(problem)
    found = (len(solution.sizes), solution.height)
    return found == fewest_portions(problem) and not portion_violations(problem, solution)


def without_a_free_byte(report: Report, rooms: int) -> None:
    """Full squares under bars that join them: no solver may take them all at once."""
    problem = joined_problem(Random(SEED), rooms=rooms, count=40)
    solution = plan_memory(problem)
    name = f"{rooms} full rooms, {len(problem.buffers)} buffers"
    report.at_most(f"{name}: above the bound", solution.gap, 0, note=described(solution))
    wrong = len(violations(problem, solution))
    report.at_most(f"{name}: violations", wrong, 0, Unit.COUNT)
    report.show(f"{name}: time", solution.seconds, Unit.SECONDS)


def large(report: Report) -> None:
    """Models with very many tensors. The kernels are compiled by now."""
    for seed in range(SEED, SEED + LARGE_PROBLEMS):
        one_large(report, seed)


def one_large(report: Report, seed: int) -> None:
    """How close to the bound, and in what time."""
    problem = large_problem(LARGE, seed)
    begin = perf_counter()
    solution = plan_memory(problem, seconds=1.4)
    seconds = perf_counter() - begin
    name = f"{LARGE} buffers, seed {seed}"
    report.at_most(f"{name}: above the bound", solution.gap, 0.02, note=described(solution))
    report.at_most(f"{name}: time", seconds, 2.0, Unit.SECONDS)
    wrong = len(violations(problem, solution))
    report.at_most(f"{name}: violations", wrong, 0, Unit.COUNT)


if __name__ == "__main__":
    sys.exit(main())
