"""Small placement problems whose costs can be added up by hand."""

from __future__ import annotations

from farm.plan.placement.problem import (
    CALLER,
    FusedGroup,
    Link,
    Place,
    PlacedOperator,
    Problem,
)
from farm.units import Bytes

PLACES = ("cpu", "dsp")


def links(latency=1.0, per_byte=0.1):
    """Between both places, and from and to the caller."""
    ends = (*PLACES, CALLER)
    return {(a, b): Link(latency, per_byte) for a in ends for b in ends if a != b}


def diamond(**changes):
    """``top`` is read by ``left`` and ``right``, which ``bottom`` adds up for the caller.

    At the cpu 5 each, at the dsp 2, but for ``right``, which the dsp cannot run. A launch costs 3
    at the cpu and 4 at the dsp. Tensors have 10 bytes: 2 each to transfer.
    """
    both = {"cpu": 5.0, "dsp": 2.0}
    operators = (
        PlacedOperator("top", ("x",), ("t",), both, ("w",)),
        PlacedOperator("left", ("t",), ("l",), both, ("w", "v")),
        PlacedOperator("right", ("t",), ("r",), {"cpu": 5.0}),
        PlacedOperator("bottom", ("l", "r"), ("y",), both),
    )
    return Problem(
        **{
            "operators": operators,
            "places": (Place("cpu", 3.0), Place("dsp", 4.0)),
            "links": links(),
            "sizes": dict.fromkeys(("x", "t", "l", "r", "y"), Bytes(10)),
            "inputs": ("x",),
            "outputs": ("y",),
            "weight_sizes": {"w": Bytes(7), "v": Bytes(5)},
            "groups": (FusedGroup(frozenset(("top", "left")), "dsp", 1.5),),
            **changes,
        }
    )


SPLIT = {"top": "dsp", "left": "dsp", "right": "cpu", "bottom": "dsp"}
ORDER = ("top", "left", "right", "bottom")


def independent(count):
    """Operators that read the same input, and whose outputs nothing reads."""
    both = {"cpu": 1.0, "dsp": 1.0}
    operators = tuple(PlacedOperator(f"op{i}", ("x",), (f"y{i}",), both) for i in range(count))
    sizes = {"x": Bytes(1)} | {f"y{i}": Bytes(1) for i in range(count)}
    places = tuple(Place(name, 1.0) for name in PLACES)
    return Problem(operators, places, links(), sizes, ("x",), tuple(sizes)[1:])
