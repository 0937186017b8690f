"""Problems that make no sense are refused, each with a sentence."""

from __future__ import annotations

from math import inf

import pytest

from farm.errors import PlanError
from farm.plan.placement.problem import FusedGroup, Link, Place, PlacedOperator
from farm.units import Bytes
from tests.farm.plan.placement.samples import diamond


def group(*operators, place="dsp", saving=0.5):
    return FusedGroup(frozenset(operators), place, saving)


REFUSED = [
    ({"places": ()}, "There is no place that operators could run at."),
    (
        {"places": (Place("cpu"), Place("cpu"))},
        "There are 2 places 'cpu'; each may be there once.",
    ),
    ({"places": (Place(""), Place("cpu"), Place("dsp"))}, "A place has no name"),
    ({"inputs": ("x", "x")}, "There are 2 inputs 'x'; each may be there once."),
    (
        {"weight_sizes": {"w": Bytes(1), "v": Bytes(-1)}},
        "The size of 'v' is -1; it must be 0 or more.",
    ),
    ({"outputs": ("z",)}, "Nothing writes the output 'z'."),
    ({"inputs": ()}, "Operator 'top' reads 'x' before anything writes it"),
    ({"weight_sizes": {"w": Bytes(1)}}, "The weight 'v' of operator 'left' has no size."),
    ({"places": (Place("cpu"),)}, "There is no place 'dsp', which operator 'top' names"),
    ({"places": (Place("cpu", -1.0), Place("dsp"))}, "The cost of a launch at 'cpu' is -1.0"),
    (
        {"groups": (group("top", "left"), group("left", "bottom"))},
        "Operator 'left' is in 2 fused groups of 'dsp'; it may be in one.",
    ),
    (
        {"groups": (group("top", "left", saving=4.5),)},
        (
            "The fused group of left, top saves 4.5 at 'dsp', more than the 4.0 that these "
            "operators cost there."
        ),
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(PlanError) as error:
        diamond(**changes)
    assert message in str(error.value)


def test_groups_of_different_places_may_have_operators_in_common():
    groups = (group("top", "left"), group("left", "bottom", place="cpu"))
    assert diamond(groups=groups).groups == groups


def test_a_link_costs_its_latency_and_what_its_bytes_do():
    link = Link(2.0, 0.5, 0.25)
    assert link.cost(Bytes(4)) == 5.0
    assert Link(2.0, inf).cost(Bytes(0)) == 2.0


def test_an_operator_may_read_what_another_one_wrote_only_later():
    late = PlacedOperator("early", ("y",), ("z",), {"cpu": 1.0})
    with pytest.raises(PlanError, match="Operator 'early' reads 'y' before anything writes it"):
        diamond(operators=(late, *diamond().operators))
