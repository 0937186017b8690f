"""How quiet the machine was: the fixed work that ran in every block, and disturbed blocks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from db.records import Block, Machine
from farm.units import counted, format_bytes, format_seconds
from reports.pages.section import Chart, Drawing, Role, Section, Table, label, rounded, table

_MOST_POINTS = 3000
_QUERY = (
    "farm query \"SELECT kept, reason, sentinel_seconds FROM block WHERE run = '{}' "
    "AND device = '{}'\""
)
_FIGURE = re.compile(r"\d[\d.,]*")  # in a reason


def health(run: str, device: str, machine: Machine, blocks: Sequence[Block]) -> Section:
    """The sentinel of each block over the time since the first one; disturbed ones are marked."""
    return Section(
        f"health-{device}",
        f"Machine health on {device}",
        f"{machine.hostname}, {machine.cpu}, {counted(machine.cores, 'core')}, "
        f"{format_bytes(machine.memory_bytes)}. {_quiet(blocks)} {_drift(blocks)}",
        _chart(blocks) if any(block.sentinel_seconds for block in blocks) else None,
        _table([block for block in blocks if _is_disturbed(block)]),
        commands=(_QUERY.format(run, device), "farm doctor"),
        has_numbers=False,  # of single blocks
    )


def without_blocks(device: str) -> Section:
    """What there is to say of measurements whose blocks are not in the store."""
    return Section(
        f"health-{device}",
        f"Machine health on {device}",
        "The store has no block of this run any more: farm store prune removes them with the raw "
        "samples. Values and their intervals are those of before.",
    )


def _is_disturbed(block: Block) -> bool:
    """A block that was kept has a reason where the machine was never quiet."""
    return not block.kept or bool(block.reason)


def _quiet(blocks: Sequence[Block]) -> str:
    rejected = sum(not block.kept for block in blocks)
    tolerated = sum(block.kept and bool(block.reason) for block in blocks)
    if not rejected and not tolerated:
        return f"Nothing disturbed its {counted(len(blocks), 'block')}."
    was = "was" if rejected == 1 else "were"
    return (
        f"Of {counted(len(blocks), 'block')} {rejected} {was} rejected, and {tolerated} disturbed "
        "but kept, because the machine was not quiet."
    )


def _table(disturbed: Sequence[Block]) -> Table | None:
    """A row for each kind of reason: its figures are those of one block."""
    groups: dict[str, list[Block]] = defaultdict(list)
    for block in disturbed:
        groups[_FIGURE.sub("\0", block.reason)].append(block)
    rows = [
        (
            _ranges([block.reason for block in group]) or "no reason was kept",
            str(sum(not block.kept for block in group)),
            str(sum(block.kept for block in group)),
        )
        for group in sorted(groups.values(), key=len, reverse=True)
    ]
    names = ("why blocks were disturbed", "rejected", "kept")
    return table(names, rows, "rejected,kept") if rows else None


def _ranges(reasons: Sequence[str]) -> str:
    """``threads waited 91 to 100 %``: reasons that differ in their figures alone, as one."""
    figures = zip(*(_FIGURE.findall(reason) for reason in reasons), strict=True)
    told = []
    for each in figures:
        low, high = (pick(each, key=_number) for pick in (min, max))
        told.append(low if low == high else f"{low} to {high}")
    found = iter(told)
    return _FIGURE.sub(lambda _: next(found), reasons[0])


def _number(figure: str) -> float:
    digits = figure.replace(",", "").rstrip(".")
    return float(digits) if digits.count(".") < 2 else 0.0


def _drift(blocks: Sequence[Block]) -> str:
    seconds = [b.sentinel_seconds for b in blocks if b.kept and b.sentinel_seconds]
    if not seconds:
        return "The sentinel did not run."
    low, middle, high = np.quantile(seconds, [0.1, 0.5, 0.9])
    return (
        f"The sentinel, the same work each time, took {format_seconds(float(middle))} in half of "
        f"the blocks that counted, and between {format_seconds(float(low))} and "
        f"{format_seconds(float(high))} in four of five."
    )


def _chart(blocks: Sequence[Block]) -> Chart:
    begin = min(block.started_at for block in blocks)

    def points(chosen: Sequence[Block]) -> Drawing:
        timed = [b for b in chosen if b.sentinel_seconds][:: max(1, len(chosen) // _MOST_POINTS)]
        return {
            "type": "scatter",
            "mode": "markers",
            "x": rounded([(b.started_at - begin).total_seconds() for b in timed]),
            "y": rounded([1e3 * (b.sentinel_seconds or 0.0) for b in timed]),
            "hoverinfo": "text",
            "hovertext": [
                label(f"race {b.race}, block {b.index}{f': {b.reason}' if b.reason else ''}")
                for b in timed
            ],
        }

    kept = points([b for b in blocks if not _is_disturbed(b)]) | {
        "name": "quiet",
        "marker": {"color": Role.WINNER, "size": 6},
    }
    tolerated = points([b for b in blocks if b.kept and b.reason]) | {
        "name": "disturbed but kept",
        "marker": {"color": Role.BASELINE, "size": 8, "symbol": "triangle-up"},
    }
    rejected = points([b for b in blocks if not b.kept]) | {
        "name": "rejected",
        "marker": {"color": Role.BAD, "size": 9, "symbol": "x"},
    }
    layout = {
        "xaxis": {"title": {"text": "seconds since the first block"}},
        "yaxis": {"title": {"text": "sentinel, ms"}, "rangemode": "tozero"},
    }
    return Chart((kept, tolerated, rejected), layout, 320)
