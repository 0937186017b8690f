"""How quiet the machine was: the fixed work that ran in every block, and blocks not counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from db.records import Block, Machine
from farm.units import counted, format_bytes, format_seconds
from reports.pages.section import Chart, Drawing, Role, Section, label, rounded, table

_MOST_POINTS = 3000
_QUERY = "farm query \"SELECT kept, reason, sentinel_seconds FROM block WHERE run = '{}'\""


def health(run: str, device: str, machine: Machine, blocks: Sequence[Block]) -> Section:
    """The sentinel of each block over the time since the first one; rejected ones are marked."""
    rejected = [block for block in blocks if not block.kept]
    reasons = Counter(block.reason or "no reason was kept" for block in rejected)
    return Section(
        f"health-{device}",
        f"Machine health on {device}",
        f"{machine.hostname}, {machine.cpu}, {counted(machine.cores, 'core')}, "
        f"{format_bytes(machine.memory_bytes)}. {len(rejected)} of "
        f"{counted(len(blocks), 'block')} were rejected and run again. {_drift(blocks)}",
        _chart(blocks) if any(block.sentinel_seconds for block in blocks) else None,
        table(
            ("why blocks were rejected", "blocks"),
            [(reason, str(count)) for reason, count in reasons.most_common()],
            "blocks",
        )
        if reasons
        else None,
        commands=(_QUERY.format(run), "farm doctor"),
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

    kept = points([b for b in blocks if b.kept]) | {
        "name": "counted",
        "marker": {"color": Role.WINNER, "size": 6},
    }
    rejected = points([b for b in blocks if not b.kept]) | {
        "name": "rejected",
        "marker": {"color": Role.BAD, "size": 9, "symbol": "x"},
    }
    layout = {
        "xaxis": {"title": {"text": "seconds since the first block"}},
        "yaxis": {"title": {"text": "sentinel, ms"}, "rangemode": "tozero"},
    }
    return Chart((kept, rejected), layout, 320)
