"""Costs that are added up by hand, and by the validator."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from benchmarks.placement.placement_problems import random_problem
from farm.plan.placement.evaluate import Transfer, evaluate, transfers, value
from farm.plan.placement.problem import CALLER, FusedGroup, PlacementObjective
from farm.plan.placement.solution import Part, Solution
from farm.plan.placement.tables import tables
from farm.plan.placement.validate import violations
from farm.plan.solution import Status
from tests.farm.plan.placement.samples import ORDER, SPLIT, diamond


def test_every_cost_is_in_the_value_once():
    found = evaluate(diamond(), SPLIT, ORDER)
    assert [(cost.part, cost.compute, cost.launch) for cost in found.parts] == [
        (Part("dsp", ("top", "left")), 2.0 + 2.0 - 1.5, 4.0),
        (Part("cpu", ("right",)), 5.0, 3.0),
        (Part("dsp", ("bottom",)), 2.0, 4.0),
    ]
    assert [(t.tensor, t.source, t.target) for t in found.transfers] == [
        ("x", CALLER, "dsp"),
        ("t", "dsp", "cpu"),
        ("r", "cpu", "dsp"),
        ("y", "dsp", CALLER),
    ]
    assert found.transferring == 4 * 2.0
    assert found.value == found.compute + found.launches + found.transferring == 28.5


def test_a_tensor_goes_to_a_place_once_however_many_read_it_there():
    everything = dict.fromkeys(ORDER, "cpu") | {"top": "dsp"}
    found = transfers(diamond(), everything)
    assert found[1] == Transfer("dsp", "cpu", "t", 10, 2.0)
    assert [t.tensor for t in found] == ["x", "t", "y"]


def test_a_group_saves_only_what_one_part_has_in_full():
    order = ("top", "right", "left", "bottom")
    split = [cost.compute for cost in evaluate(diamond(), SPLIT, order).parts]
    assert split == [2.0, 5.0, 4.0]
    elsewhere = diamond(groups=(FusedGroup(frozenset(("top", "left")), "cpu", 1.5),))
    assert evaluate(elsewhere, SPLIT, ORDER).parts[0].compute == 4.0


def test_throughput_is_that_of_the_place_with_the_largest_sum():
    problem = diamond(objective=PlacementObjective.THROUGHPUT)
    at_dsp = 2.0 + 2.0 + 2.0 - 1.5 + 4.0 + 4.0 + 2.0 + 2.0 + 2.0  # x, r, and y to the caller
    assert evaluate(problem, SPLIT, ORDER).value == at_dsp


def test_a_place_holds_weights_once_and_tensors_until_they_have_left():
    found = evaluate(diamond(objective=PlacementObjective.PEAK_MEMORY), SPLIT, ORDER)
    dsp = 7 + 5 + 30  # w, v; when right runs, t, which it reads, l, and r, which it writes
    assert found.memory == {"cpu": 20, "dsp": dsp}
    assert found.value == 20 + dsp


def test_memory_lives_from_the_producer_to_the_last_reader():
    """The cpu has t from step 0 on; the dsp has r from step 2 on, when the cpu writes it."""
    small = diamond(sizes={"x": 1, "t": 100, "l": 1, "r": 1, "y": 1})
    assert evaluate(small, SPLIT, ORDER).memory == {"cpu": 101, "dsp": 12 + 102}


def test_without_a_link_the_cost_is_infinite():
    problem = diamond(links={})
    assert value(tables(problem), (0, 0, 0, 0), (0, 1, 2, 3)) == float("inf")


@pytest.mark.parametrize("objective", list(PlacementObjective))
def test_the_value_is_what_the_validator_finds(objective):
    for seed in range(30):
        random = Random(seed)
        problem = random_problem(random, most=8, objective=objective)
        places = tuple(replace(place, capacity=None) for place in problem.places)
        problem = replace(problem, places=places)
        order = tuple(op.name for op in problem.operators)
        assignment = {op.name: random.choice(sorted(op.costs)) for op in problem.operators}
        found = evaluate(problem, assignment, order).value
        if found < float("inf"):
            solution = Solution(assignment, order, found, 0.0, Status.FEASIBLE, 0.0)
            assert violations(problem, solution) == []
