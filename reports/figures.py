"""Figures as SVG: text that browsers and documents show as it is, on light and dark ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from xml.sax import saxutils

from farm.plan.memory.arena import Solution
from farm.plan.memory.portions import PortionSolution
from farm.plan.memory.problem import Buffer, Problem, merge
from farm.text import printable
from farm.units import counted, format_bytes

_WIDTH, _HEIGHT = 960, 540
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 150, 16, 44  # margins around the plot
_CHARACTER, _LINE = 6.3, 12.0  # width and height of the text in pixels
_FILLS = ("#8ecae6", "#ffd166", "#a8dadc", "#f4a261", "#b5e48c", "#cdb4db", "#ffafcc", "#e9c46a")
_INK, _AXIS, _CAPACITY, _BOUND, _PORTION = "#1d1d1f", "#808080", "#d1495b", "#2a9d8f", "#7353ba"
_TICKS = 4  # parts of the axis of bytes
_MOST_STEPS = 10  # that are numbered
_GROWTH = (4, 5, 4)  # halves: from 1 to 2, 5 and 10, and so on
_FEWEST_CHARACTERS = 6  # of a shortened name


def arena_svg(problem: Problem, solution: Solution | PortionSolution) -> str:
    """The arena over time: steps to the right, offsets upwards, a rectangle per buffer.

    Lines show the capacity and the bound below which no arena is possible; portions are named
    where an arena has its offsets, with lines between them. Buffers that lie in others are drawn
    over these, with a dashed border. Raises ValueError: there are no offsets.
    """
    if not solution.offsets:
        raise ValueError("a solution without offsets has no picture")
    plot = _Plot(problem, solution)
    title = f"{counted(len(problem.buffers), 'buffer')} in {format_bytes(solution.height)}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"',
            ' font-family="system-ui, sans-serif" font-size="11" role="img">',
            f"<title>{title}</title>",
            *plot.steps(),
            *([] if isinstance(solution, PortionSolution) else plot.offsets()),
            *plot.rectangles(),
            *(plot.portions(solution) if isinstance(solution, PortionSolution) else []),
            *plot.lines(),
            "</svg>\n",
        ]
    )


class _Plot:
    """Where steps and bytes lie on the page, and everything that is drawn there."""

    def __init__(self, problem: Problem, solution: Solution | PortionSolution) -> None:
        self._problem = problem
        self._solution = solution
        self._begin = min(buffer.start for buffer in problem.buffers)
        self._end = max(buffer.end for buffer in problem.buffers)
        self._bytes = max(solution.height, self._visible_capacity() or 0, 1)

    def steps(self) -> Iterator[str]:
        """The axis of steps, with numbers at round ones."""
        distance = _round_distance(self._begin, self._end)
        for step in range(-(-self._begin // distance) * distance, self._end + 1, distance):
            yield _text(self._x(step), _HEIGHT - _BOTTOM + 16, str(step), _AXIS, "middle")
        yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, "step", _AXIS, "middle")

    def offsets(self) -> Iterator[str]:
        """The axis of bytes."""
        for tick in range(_TICKS + 1):
            size = tick * self._bytes // _TICKS
            yield _text(_LEFT - 8, self._y(size) + 4, format_bytes(size), _AXIS, "end")
            yield _line(_LEFT, self._y(size), self._x(self._end), _AXIS, "0.25")

    def portions(self, solution: PortionSolution) -> Iterator[str]:
        """Where each portion begins and ends, and its number and size where there is room."""
        begin = 0
        yield _line(_LEFT, self._y(begin), self._x(self._end), _PORTION, "1")
        for number, size in enumerate(solution.sizes):
            middle, end = self._y(begin + size / 2), self._y(begin + size)
            room = self._y(begin) - end
            yield _line(_LEFT, end, self._x(self._end), _PORTION, "1")
            lines = [f"portion {number}", format_bytes(size)][: int(room // _LINE)]
            for row, text in enumerate(lines):
                y = middle + 4 + (row - (len(lines) - 1) / 2) * _LINE
                yield _text(_LEFT - 8, y, text, _PORTION, "end")
            begin += size

    def rectangles(self) -> Iterator[str]:
        """A rectangle per buffer, those that lie in others last and in the colour of these."""
        aliases = {alias.id for alias in self._problem.aliases}
        buffers = {buffer.id: buffer for buffer in self._problem.buffers}
        for number, block in enumerate(merge(self._problem)):
            fill = _FILLS[number % len(_FILLS)]
            for name in sorted(block.places, key=lambda name: name in aliases):
                border = ' stroke-dasharray="3 2"' if name in aliases else ""
                covered = [buffers[other].start for other in block.places if other in aliases]
                yield self._rectangle(buffers[name], fill, border, covered)

    def lines(self) -> Iterator[str]:
        """The height, the bound and the capacity, with labels that do not cover each other."""
        marks: list[tuple[int, str, str]] = [
            (self._solution.height, "height", _AXIS),
            (self._solution.lower_bound, "bound", _BOUND),
        ]
        capacity = self._visible_capacity()
        if capacity is not None:
            marks.append((capacity, "capacity", _CAPACITY))
        lowest_free = 0.0
        for size, name, color in sorted(marks, key=lambda mark: -mark[0]):
            y = self._y(size)
            lowest_free = max(y + 4, lowest_free + _LINE)
            label = f"{name} {format_bytes(size)}"
            yield _line(_LEFT, y, self._x(self._end), color, "1", ' stroke-dasharray="6 3"')
            yield _text(self._x(self._end) + 6, lowest_free, label, color, "start")

    def _rectangle(self, buffer: Buffer, fill: str, border: str, covered: Sequence[int]) -> str:
        """covered: steps from which on something else is drawn over it."""
        offset = self._solution.offsets[buffer.id]
        x, y = self._x(buffer.start), self._y(offset + buffer.size)
        width, height = self._x(buffer.end) - x, self._y(offset) - y
        name, portion = _escaped(buffer.id), ""
        if isinstance(self._solution, PortionSolution):
            portion = f" in portion {self._solution.portions[buffer.id]}"
        visible = min([buffer.end, *(step for step in covered if step > buffer.start)])
        room = self._x(visible) - x
        shown = (
            _shortened(printable(buffer.id), int(room / _CHARACTER) - 1) if height >= _LINE else ""
        )
        label = _text(x + room / 2, y + height / 2 + 4, shown, _INK, "middle") if shown else ""
        return (
            f"<g><title>{name}: {buffer.size} bytes at {offset}{portion}, steps {buffer.start} to "
            f'{buffer.end}</title><rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" '
            f'height="{height:.2f}" fill="{fill}" stroke="{_INK}" stroke-width="0.5"{border}/>'
            f"{label}</g>"
        )

    def _visible_capacity(self) -> int | None:
        """The capacity, unless it is so large that it would press the plan to the ground."""
        capacity = self._problem.capacity
        return capacity if capacity is not None and capacity <= 2 * self._solution.height else None

    def _x(self, step: int) -> float:
        share = (step - self._begin) / (self._end - self._begin)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, size: float) -> float:
        return _HEIGHT - _BOTTOM - size / self._bytes * (_HEIGHT - _TOP - _BOTTOM)


def _round_distance(begin: int, end: int) -> int:
    """Steps from one number to the next: round, and so that the numbers stay apart."""
    longest = max(len(str(begin)), len(str(end))) + 2
    most = min(_MOST_STEPS, int((_WIDTH - _LEFT - _RIGHT) / (_CHARACTER * longest))) or 1
    distance, factors = 1, cycle(_GROWTH)
    while distance * most < end - begin:
        distance = distance * next(factors) // 2
    return distance


def _shortened(name: str, most: int) -> str:
    """The end of a name, which tells it apart; nothing where there is too little room for it."""
    if len(name) <= most:
        return name
    return f"…{name[1 - most :]}" if most >= _FEWEST_CHARACTERS else ""


def _escaped(text: str) -> str:
    """Text for XML, which has no place for most characters that cannot be seen."""
    return saxutils.escape(printable(text))


def _text(x: float, y: float, text: str, color: str, anchor: str) -> str:
    place = f'x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{color}">{_escaped(text)}</text>'


def _line(x: float, y: float, end: float, color: str, width: str, dashes: str = "") -> str:
    return (
        f'<line x1="{x:.2f}" y1="{y:.2f}" x2="{end:.2f}" y2="{y:.2f}" stroke="{color}" '
        f'stroke-width="{width}"{dashes}/>'
    )
