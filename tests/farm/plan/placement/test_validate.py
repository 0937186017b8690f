"""The validator finds what is wrong with a solution, and says it in a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.plan.placement.problem import Place
from farm.plan.placement.solution import Solution
from farm.plan.placement.validate import violations
from farm.plan.solution import Status
from farm.units import Bytes
from tests.farm.plan.placement.samples import ORDER, SPLIT, diamond, links

RIGHT = Solution(SPLIT, ORDER, 28.5, 20.0, Status.FEASIBLE, 0.0)


def test_a_solution_that_keeps_all_rules_has_no_violations():
    assert violations(diamond(), RIGHT) == []


WRONG = [
    ({"assignment": {**SPLIT, "right": "dsp"}}, "'right' cannot run at 'dsp'."),
    ({"assignment": dict.fromkeys(ORDER[:3], "cpu")}, "'bottom' has no place."),
    ({"order": ORDER[:3]}, "The order does not have each operator once."),
    ({"order": ("left", "top", "right", "bottom")}, "'left' runs before what writes 't'."),
    ({"value": 28.0}, "The value is 28.5, not 28.0."),
    ({"bound": 29.0}, "The value 28.5 is below its bound 29.0."),
    ({"status": Status.INFEASIBLE}, "It does not say why there is no assignment."),
    ({"status": Status.UNKNOWN, "binding": "No time."}, "It has an assignment."),
]


@pytest.mark.parametrize(("changes", "sentence"), WRONG)
def test_what_is_wrong_is_said(changes, sentence):
    assert sentence in violations(diamond(), replace(RIGHT, **changes))


def test_a_place_that_is_too_small_is_named_with_what_it_would_need():
    small = diamond(places=(Place("cpu", 3.0), Place("dsp", 4.0, Bytes(41))))
    assert violations(small, RIGHT) == ["'dsp' has to hold 42 bytes, and it has 41."]


def test_a_link_that_is_missing_is_named():
    ways = {pair: link for pair, link in links().items() if pair != ("cpu", "dsp")}
    assert violations(diamond(links=ways), RIGHT) == ["There is no link from 'cpu' to 'dsp'."]
