"""The picture of a placement plan: a lane per place, parts from left to right as they run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, pairwise
from xml.sax import saxutils

from farm.plan.placement.record import PlacementPlan, PlannedPart
from farm.text import printable
from farm.units import counted, format_bytes
from reports.placement.words import operators_text, value_text

_WIDTH, _LANE, _BAR = 960, 64, 36
_LEFT, _RIGHT, _TOP, _BOTTOM = 210, 24, 44, 40
_CHARACTER = 6.3  # width of a letter in pixels
_LEAST_WIDTH = 3.0  # of a part that takes next to nothing
_FILLS = ("#8ecae6", "#ffd166", "#b5e48c", "#cdb4db", "#f4a261", "#ffafcc")
_INK, _SOFT, _EDGE = "#1d1d1f", "#808080", "#d1495b"


def placement_svg(plan: PlacementPlan) -> str:
    """Parts by what they cost, borders with what crosses them; on light and dark ground."""
    lanes = tuple(dict.fromkeys(part.place for part in plan.parts))
    height = _TOP + _LANE * len(lanes) + _BOTTOM
    title = f"{plan.model.name}: {counted(len(plan.parts), 'part')} at {', '.join(lanes)}"
    drawing = _Drawing(plan, lanes)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
            ' font-family="system-ui, sans-serif" font-size="11" role="img">',
            f"<title>{_safe(title)}</title>",
            *drawing.lanes(),
            *drawing.parts(),
            *drawing.borders(),
            *drawing.axis(height),
            "</svg>\n",
        ]
    )


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What is drawn, and where. lanes: places from top to bottom."""

    plan: PlacementPlan
    lanes_: tuple[str, ...]

    def lanes(self) -> Iterator[str]:
        """A name and a line for each place."""
        for number, place in enumerate(self.lanes_):
            y = _TOP + _LANE * number + _LANE / 2
            yield _text(12, y + 4, place, _SOFT)
            yield (
                f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" '
                f'stroke="{_SOFT}" stroke-width="0.5"/>'
            )

    def parts(self) -> Iterator[str]:
        """A rectangle for each part, as wide as it is dear, with what is in it."""
        fills = dict(zip(self.lanes_, cycle(_FILLS), strict=False))
        for part, begin, end in self._spans():
            y = self._top(part)
            tip = f"{operators_text(part.operators)}: {self._value(part)}"
            yield f"<g><title>{_safe(tip)}</title>"
            yield (
                f'<rect x="{begin:.1f}" y="{y}" width="{end - begin:.1f}" height="{_BAR}" rx="3" '
                f'fill="{fills[part.place]}" stroke="{_INK}" stroke-width="0.75"/>'
            )
            for line, text in enumerate((counted(len(part.operators), "op"), self._value(part))):
                if len(text) * _CHARACTER < end - begin:
                    yield _text((begin + end) / 2, y + 15 + 14 * line, text, _INK, "middle")
            yield "</g>"

    def borders(self) -> Iterator[str]:
        """A line from each part to the next; the first of each way with all bytes that go it."""
        spans, told = list(self._spans()), set[tuple[str, str]]()
        for (before, _, end), (after, begin, _) in pairwise(spans):
            crossing = sum(
                t.bytes
                for t in self.plan.transfers
                if (t.source, t.target) == (before.place, after.place)
            )
            top, bottom = self._top(before) + _BAR / 2, self._top(after) + _BAR / 2
            yield (
                f'<path d="M{end:.1f} {top} L{begin:.1f} {bottom}" stroke="{_EDGE}" '
                'stroke-width="1.5" fill="none"/>'
            )
            if (before.place, after.place) in told:
                continue
            told.add((before.place, after.place))
            text, middle = format_bytes(crossing), (top + bottom) / 2 + 4
            if begin + 6 + len(text) * _CHARACTER < _WIDTH:
                yield _text(begin + 6, middle, text, _EDGE)
            else:
                yield _text(end - 6, middle, text, _EDGE, "end")

    def axis(self, height: int) -> Iterator[str]:
        """The whole cost below, with its interval."""
        found = self.plan.predicted
        low, high = (value_text(v, found.unit) for v in (found.low, found.high))
        text = f"predicted {self.plan.objective} {value_text(found.value, found.unit)}"
        yield _text(_LEFT, height - 14, f"{text} [{low}, {high}], {found.basis}", _SOFT)
        yield _text(12, 22, f"{printable(self.plan.model.name)}", _SOFT)

    def _spans(self) -> Iterator[tuple[PlannedPart, float, float]]:
        """Each part with where it begins and ends on the page."""
        whole = sum(part.predicted.value for part in self.plan.parts) or 1.0
        gaps = 14.0 * (len(self.plan.parts) - 1)
        room = _WIDTH - _LEFT - _RIGHT - gaps
        x = float(_LEFT)
        for part in self.plan.parts:
            width = max(_LEAST_WIDTH, room * part.predicted.value / whole)
            yield part, x, x + width
            x += width + 14.0

    def _top(self, part: PlannedPart) -> float:
        return _TOP + _LANE * self.lanes_.index(part.place) + (_LANE - _BAR) / 2

    def _value(self, part: PlannedPart) -> str:
        return value_text(part.predicted.value, part.predicted.unit)


def _text(x: float, y: float, text: str, fill: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}">{_safe(text)}</text>'
    )


def _safe(text: str) -> str:
    return saxutils.escape(printable(text))
