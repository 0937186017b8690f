"""Predicted against measured: for a terminal, and as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from xml.sax import saxutils

from farm.text import printable
from farm.units import counted, format_seconds
from tuner.learning.report import HeldOut

_COLUMNS, _LINES = 60, 20
_DIAGONAL, _SEVERAL = "·", "#"
_SIDE, _LEFT, _TOP, _BELOW, _LEGEND = 520, 84, 24, 48, 190
_ROW, _MOST_NAMES = 16, 28
_FILLS = ("#2a9d8f", "#e76f51", "#457b9d", "#e9c46a", "#7353ba", "#d1495b", "#6a994e", "#f4a261")
_AXIS = "#808080"
_LEAST_SPAN = math.log(4.0)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Seconds on a logarithmic axis, from 0 to 1."""

    begin: float
    end: float

    @classmethod
    def of(cls, pairs: Sequence[HeldOut]) -> _Scale:
        """All that is predicted and measured, with a little room."""
        found = [math.log(value) for p in pairs for value in (p.predicted, p.measured)]
        middle = (min(found) + max(found)) / 2
        half = max(max(found) - min(found), _LEAST_SPAN) / 2 * 1.04
        return cls(middle - half, middle + half)

    def at(self, seconds: float) -> float:
        return (math.log(seconds) - self.begin) / (self.end - self.begin)

    def seconds(self, at: float) -> float:
        return math.exp(self.begin + at * (self.end - self.begin))


def scatter_lines(pairs: Sequence[HeldOut]) -> Iterator[str]:
    """A plot in characters: measured to the right, predicted upwards, a letter for each model.

    Where several models meet there is a ``#``; dots are where both are the same.
    """
    if not pairs:
        return
    scale, letters = _Scale.of(pairs), _letters(pairs)
    grid = [[" "] * _COLUMNS for _ in range(_LINES)]
    for column in range(_COLUMNS):
        line = round(column / (_COLUMNS - 1) * (_LINES - 1))
        grid[line][column] = _DIAGONAL
    for pair in pairs:
        column = _cell(scale.at(pair.measured), _COLUMNS)
        line = _cell(scale.at(pair.predicted), _LINES)
        letter, held = letters[pair.model], grid[line][column]
        grid[line][column] = letter if held in (" ", _DIAGONAL, letter) else _SEVERAL
    width = 10
    for line in reversed(range(_LINES)):
        told = line in (0, _LINES // 2, _LINES - 1)
        label = format_seconds(scale.seconds(line / (_LINES - 1))) if told else ""
        yield f"{label:>{width}} |{''.join(grid[line])}".rstrip()
    yield f"{'':>{width}} +{'-' * _COLUMNS}"
    ends = [format_seconds(scale.seconds(at)) for at in (0.0, 1.0)]
    gap = _COLUMNS - len(ends[0]) - len(ends[1])
    yield f"{'':>{width}}  {ends[0]}{'measured':^{gap}}{ends[1]}"
    yield from _named(letters)


def scatter_svg(pairs: Sequence[HeldOut], title: str) -> str:
    """The same with intervals, a colour for each model; on light and dark ground.

    Raises ValueError: there is nothing to draw.
    """
    if not pairs:
        raise ValueError("nothing was left out, so that there is no picture")
    scale = _Scale.of(pairs)
    models = sorted({pair.model for pair in pairs})
    fills = dict(zip(models, cycle(_FILLS), strict=False))
    height = max(_TOP + _SIDE + _BELOW, _TOP + _ROW * (min(len(models), _MOST_NAMES) + 2))
    width = _LEFT + _SIDE + _LEGEND
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
            ' font-family="system-ui, sans-serif" font-size="11" role="img">',
            f"<title>{_safe(title)}</title>",
            *_axes(scale),
            *(line for pair in pairs for line in _drawn(pair, scale, fills[pair.model])),
            *_legend(models, fills),
            "</svg>\n",
        ]
    )


def _letters(pairs: Sequence[HeldOut]) -> dict[str, str]:
    """A letter for each model; of very many the last ones share one."""
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    models = sorted({pair.model for pair in pairs})
    return {name: alphabet[min(at, len(alphabet) - 1)] for at, name in enumerate(models)}


def _named(letters: dict[str, str]) -> Iterator[str]:
    cells = [f"{letter} {name}" for name, letter in letters.items()]
    width = max(map(len, cells)) + 2
    each = max(1, 76 // width)
    for at in range(0, len(cells), each):
        yield "".join(f"{cell:<{width}}" for cell in cells[at : at + each]).rstrip()


def _cell(at: float, count: int) -> int:
    return min(count - 1, max(0, round(at * (count - 1))))


def _axes(scale: _Scale) -> Iterator[str]:
    left, top, side = _LEFT, _TOP, _SIDE
    yield (
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" '
        f'stroke="{_AXIS}" stroke-width="0.75"/>'
    )
    yield (
        f'<line x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}" stroke="{_AXIS}" '
        'stroke-width="0.75" stroke-dasharray="4 4"/>'
    )
    for at in (0.0, 0.25, 0.5, 0.75, 1.0):
        told = format_seconds(scale.seconds(at))
        x, y = left + at * side, top + (1 - at) * side
        yield _text(x, top + side + 16, told, "middle")
        yield _text(left - 6, y + 4, told, "end")
    yield _text(left + side / 2, top + side + 36, "measured", "middle")
    yield _text(left, top - 8, "predicted", "start")


def _drawn(pair: HeldOut, scale: _Scale, fill: str) -> Iterator[str]:
    """A point with its interval, and what it is where one points at it."""
    x = _LEFT + _SIDE * scale.at(pair.measured)
    y, low, high = (
        _TOP + _SIDE * (1 - min(1.0, max(0.0, scale.at(value))))
        for value in (pair.predicted, pair.low, pair.high)
    )
    tip = (
        f"{pair.model}, {pair.candidate}: predicted {format_seconds(pair.predicted)}, "
        f"measured {format_seconds(pair.measured)}"
    )
    yield f"<g><title>{_safe(tip)}</title>"
    yield (
        f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{fill}" '
        'stroke-width="0.75" stroke-opacity="0.5"/>'
    )
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{fill}" fill-opacity="0.8"/></g>'


def _legend(models: Sequence[str], fills: dict[str, str]) -> Iterator[str]:
    x = _LEFT + _SIDE + 16
    for at, name in enumerate(models[:_MOST_NAMES]):
        y = _TOP + _ROW * (at + 1)
        yield f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{fills[name]}"/>'
        yield _text(x + 10, y, name, "start")
    if (more := len(models) - _MOST_NAMES) > 0:
        y = _TOP + _ROW * (_MOST_NAMES + 1)
        yield _text(x + 10, y, f"and {counted(more, 'more model')}", "start")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_AXIS}">{_safe(text)}</text>'
    )


def _safe(text: str) -> str:
    return saxutils.escape(printable(text))
