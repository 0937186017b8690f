"""The picture of an arena: every buffer where it lies, named where there is room."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from farm.plan.memory.arena import plan_memory
from farm.plan.memory.portions import plan_portions
from farm.plan.memory.problem import Alias, Buffer, Problem
from farm.units import Bytes
from reports.figures import arena_svg

SVG = "{http://www.w3.org/2000/svg}"
PROBLEM = Problem(
    buffers=(
        Buffer("x<1>", 0, 10, Bytes(1024)),
        Buffer("view", 0, 5, Bytes(512)),
        Buffer("a name without room", 4, 5, Bytes(2048)),
    ),
    capacity=Bytes(4096),
    aliases=(Alias("view", "x<1>"),),
)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("plan", [plan_memory, plan_portions])
def test_a_rectangle_per_buffer(plan):
    svg = arena_svg(PROBLEM, plan(PROBLEM))
    root = ET.fromstring(svg)
    rectangles = list(root.iter(f"{SVG}rect"))
    assert len(rectangles) == 3
    borders = [rectangle.get("stroke-dasharray") for rectangle in rectangles]
    assert borders == [None, "3 2", None], "the view is drawn over what it is a view of"
    rectangles.pop(1)
    widths = [float(rectangle.get("width", 0)) for rectangle in rectangles]
    heights = [float(rectangle.get("height", 0)) for rectangle in rectangles]
    assert widths[0] == pytest.approx(10 * widths[1], rel=1e-3)
    assert heights[1] == pytest.approx(2 * heights[0], rel=1e-3)


def test_names_and_lines():
    labels = texts(arena_svg(PROBLEM, plan_memory(PROBLEM)))
    assert "x<1>" in labels
    assert "…hout room" in labels, "names differ in their ends"
    assert {"capacity 4.00 KiB", "bound 3.00 KiB", "height 3.00 KiB"} <= set(labels)


def test_what_cannot_be_seen_is_written_out():
    odd = "a\r\x1b\u202e\ufffe\udc80"
    problem = Problem((Buffer(odd, 0, 10, Bytes(1024)),))
    svg = arena_svg(problem, plan_memory(problem))
    assert r"a\r\x1b\u202e\ufffe\udc80" in texts(svg)
    assert all(line.isprintable() for line in svg.split("\n"))


def test_every_rectangle_tells_about_its_buffer():
    svg = arena_svg(PROBLEM, plan_memory(PROBLEM))
    titles = [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}title")]
    assert titles[0] == "3 buffers in 3.00 KiB"
    one = Problem(PROBLEM.buffers[:1])
    assert "<title>1 buffer in 1.00 KiB</title>" in arena_svg(one, plan_memory(one))
    assert any(t.startswith("a name without room: 2048 bytes at ") for t in titles)


def test_portions_have_names_and_borders():
    solution = plan_portions(PROBLEM)
    svg = arena_svg(PROBLEM, solution)
    assert len(solution.sizes) == 2
    labels = texts(svg)
    assert labels[labels.index("portion 0") + 1] == "2.00 KiB"
    assert labels[labels.index("portion 1") + 1] == "1.00 KiB"
    assert "0 B" not in labels, "offsets mean nothing between portions"
    heights = {line.get("y1") for line in ET.fromstring(svg).iter(f"{SVG}line")}
    assert len(heights) == 4, "below, between and above the portions, and the capacity"
    assert ": 2048 bytes at 0 in portion 0, steps 4 to 5" in svg


@pytest.mark.parametrize(
    ("begin", "end", "numbers"),
    [
        (0, 10, [str(step) for step in range(11)]),
        (0, 25, ["0", "5", "10", "15", "20", "25"]),
        (3, 4, ["3", "4"]),
        (7, 130, ["20", "40", "60", "80", "100", "120"]),
        (0, 3 * 10**30, ["0", f"{10**30}", f"{2 * 10**30}", f"{3 * 10**30}"]),
    ],
)
def test_steps_have_round_numbers_that_stay_apart(begin, end, numbers):
    problem = Problem((Buffer("x", begin, end, Bytes(1)),))
    labels = texts(arena_svg(problem, plan_memory(problem)))
    assert labels[: labels.index("step")] == numbers


def test_a_capacity_far_above_the_plan_is_not_drawn():
    problem = Problem(PROBLEM.buffers[:1], capacity=Bytes(1 << 20))
    assert not any("capacity" in text for text in texts(arena_svg(problem, plan_memory(problem))))


def test_without_offsets_there_is_no_picture():
    problem = Problem(PROBLEM.buffers, capacity=Bytes(100))
    with pytest.raises(ValueError, match="without offsets"):
        arena_svg(problem, plan_memory(problem))
