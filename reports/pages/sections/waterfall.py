"""From the baseline to the winner, choice by choice: what each of them brought.

A step is a candidate that was measured, on the engine of either. It agrees with the winner in all
that the one before it agrees in, and in more. Of all such chains the longest is shown, and of
equals the one that the search came by first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from farm.measurement import Estimate
from farm.units import counted, format_seconds
from reports.pages.section import Chart, Role, Section, label, rounded, table
from reports.tables.cells import MISSING, format_ratio

_NOTE = (
    "Each step is a candidate that the run measured in its search, and not what the confirmation "
    "found in fresh processes and on other data. It has all that the one before has of the "
    "winner, and more. A step without an interval ran in too few blocks with the one "
    "before, or both latencies are modelled, and do not vary."
)
_NAMED = 4  # choices of a step that are named
_ROW, _AXES = 36, 110  # pixels
_KIND = ".kind"
_ENGINE = "engine.kind"


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate that was measured. choices: see ``choices_of``. seconds: its latency."""

    trial: str
    label: str
    choices: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Step:
    """A candidate of the chain.

    changed: choices that it has of the winner and the one before has not, ``threads: 1``.
    ratio: how many times as fast as the one before it is, by blocks that both ran in; None where
    there are too few.
    """

    tried: Tried
    changed: tuple[str, ...]
    ratio: Estimate | None


def choices_of(candidate: str) -> dict[str, str]:
    """The choices of a candidate by dotted name. candidate: its JSON text."""
    return dict(_flat("", json.loads(candidate)))


def chain(baseline: Tried, winner: Tried, tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """The longest chain of candidates from the baseline to the winner, both included."""
    ends = (baseline, winner)
    inner = [
        each
        for each in tried
        if each.choices not in [end.choices for end in ends]
        and each.choices.get(_ENGINE) in [end.choices.get(_ENGINE) for end in ends]
    ]
    nodes = [(each, _agreed(each, winner)) for each in (baseline, *inner, winner)]
    order = sorted(range(len(nodes)), key=lambda n: (len(nodes[n][1]), n))
    longest: dict[int, list[int]] = {0: [0]}
    for at in order:
        before = [
            longest[n] for n in order if n in longest and n != at and nodes[n][1] < nodes[at][1]
        ]
        if at != 0 and before:
            longest[at] = [*max(before, key=len), at]
    last = len(nodes) - 1
    return tuple(nodes[n][0] for n in longest.get(last, [0, last]))


def changed(before: Tried, after: Tried, winner: Tried) -> tuple[str, ...]:
    """What the later one has of the winner and the earlier one has not."""
    names = _agreed(after, winner) - _agreed(before, winner)
    whole = [name.removesuffix(_KIND) for name in names if name.endswith(_KIND)]
    # Options of an engine or a quantisation come with it.
    told = [n for n in names if n.endswith(_KIND) or not any(n.startswith(w + ".") for w in whole)]
    return tuple(f"{_word(name)}: {winner.choices[name]}" for name in sorted(told))


def waterfall(
    run: str,
    device: str,
    steps: Sequence[Step],
    together: Estimate | None = None,
    confirmed: Estimate | None = None,
) -> Section:
    """A bar for each step, from the baseline's latency to the winner's, all of the search.

    steps: two or more. together: how many times as fast the last is as the first, by blocks that
    both ran in; None where there are too few. confirmed: the same as the confirmation found it.
    """
    first, last = steps[0].tried, steps[-1].tried
    return Section(
        f"waterfall-{device}",
        f"From the baseline to the winner on {device}",
        f"In the search {format_seconds(first.seconds)} became {format_seconds(last.seconds)}, "
        f"{_times(first, last, together)}, in {counted(len(steps) - 1, 'measured step')}."
        + (f" The confirmation found {format_ratio(confirmed)}." if confirmed else ""),
        _chart(steps),
        table(
            ("step", "what changed", "candidate", "latency", "times as fast [95 %]", "trial"),
            [_row(number, each, steps) for number, each in enumerate(steps)],
            "step,latency,times as fast [95 %]",
        ),
        notes=(_NOTE,),
        commands=(
            f"farm results --run {run} --device {device}",
            f"farm explain {last.trial[:8]}",
        ),
    )


def _times(first: Tried, last: Tried, together: Estimate | None) -> str:
    if together is not None:
        interval = f" [{together.low:.2f}, {together.high:.2f}]"
        return f"{together.value:.2f} times as fast{interval}"
    ratio = first.seconds / last.seconds if last.seconds else 0.0
    return f"{ratio:.2f} times as fast (no interval)"


def _chart(steps: Sequence[Step]) -> Chart:
    first, last = steps[0].tried, steps[-1].tried
    milliseconds = [1e3 * each.tried.seconds for each in steps]
    differences = [after - before for before, after in pairwise(milliseconds)]
    names = [label(f"{n}. {_named(each.changed)}") for n, each in enumerate(steps) if n]
    trace = {
        "type": "waterfall",
        "orientation": "h",
        "y": ["baseline", *names, "winner"],
        "measure": ["absolute", *["relative"] * len(differences), "total"],
        "x": rounded([milliseconds[0], *differences, milliseconds[-1]]),
        "decreasing": {"marker": {"color": Role.GOOD}},
        "increasing": {"marker": {"color": Role.BAD}},
        "totals": {"marker": {"color": Role.BASELINE}},
        "connector": {"line": {"color": Role.SOFT, "width": 1}},
        "hoverinfo": "text",
        "hovertext": [
            f"baseline: {format_seconds(first.seconds)}",
            *(
                f"{label(each.tried.label)}: {format_seconds(each.tried.seconds)}"
                for each in steps[1:]
            ),
            f"winner: {format_seconds(last.seconds)}",
        ],
    }
    layout = {
        "xaxis": {"title": {"text": "latency, ms"}},
        "yaxis": {"type": "category", "autorange": "reversed"},
        "showlegend": False,
    }
    return Chart((trace,), layout, _AXES + _ROW * (len(steps) + 1))


def _row(number: int, step: Step, steps: Sequence[Step]) -> tuple[str, ...]:
    ratio = MISSING
    if step.ratio is not None:
        ratio = format_ratio(step.ratio)
    elif number and step.tried.seconds:
        ratio = f"{steps[number - 1].tried.seconds / step.tried.seconds:.2f}x"
    what = ", ".join(step.changed) if number else "the baseline"
    latency = format_seconds(step.tried.seconds)
    return str(number), what, step.tried.label, latency, ratio, step.tried.trial[:8]


def _agreed(one: Tried, winner: Tried) -> frozenset[str]:
    """What both chose alike; options of another engine are other choices."""
    same_engine = one.choices.get(_ENGINE) == winner.choices.get(_ENGINE)
    return frozenset(
        name
        for name, choice in winner.choices.items()
        if one.choices.get(name) == choice and (same_engine or not name.startswith("engine."))
    )


def _flat(prefix: str, value: object) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(prefix, value if isinstance(value, str) else json.dumps(value))]
    return [
        pair
        for key, inner in sorted(value.items())
        for pair in _flat(f"{prefix}.{key}" if prefix else key, inner)
    ]


def _word(name: str) -> str:
    return name.removesuffix(_KIND).rsplit(".", 1)[-1].replace("_", " ")


def _named(changed: Sequence[str]) -> str:
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    return ", ".join(changed[:_NAMED]) + more
