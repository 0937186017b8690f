"""What became of each device of a run: the winner, how much faster it is, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from db.records import Result
from farm.measurement import Estimate, Method
from reports.pages.section import Chart, Role, Section, bars, label, rounded, table, vertical
from reports.tables.cells import (
    MISSING,
    accuracy_cell,
    bytes_cell,
    energy_cell,
    format_ratio,
    value_cell,
)
from tuner.racing.recorded import MIN_COMMON_BLOCKS
from tuner.runs.overview import DeviceStanding

_ROW = 56  # pixels


@dataclass(frozen=True, slots=True)
class DeviceVerdict:
    """A device of a run. baseline, winner: as they were confirmed, None where they were not.

    pairs: blocks that are in the store in which both ran.
    """

    standing: DeviceStanding
    baseline: Result | None
    winner: Result | None
    pairs: int = 0

    @property
    def ratio(self) -> Estimate | None:
        """How many times as fast as the baseline the winner is."""
        return self.standing.known.ratio if self.standing.known else None


def verdicts(run: str, devices: Sequence[DeviceVerdict]) -> Section:
    """A row for each device, and a point with its interval for each speed-up."""
    columns = ("device", "verdict", "winner", "times as fast [95 %]", "baseline", "latency")
    more = ("accuracy", "peak memory", "energy")
    known = [(each.standing.device, ratio) for each in devices if (ratio := each.ratio)]
    return Section(
        "verdicts",
        "Verdicts",
        " ".join(map(_sentence, devices)) or "The run has no device.",
        _chart(known),
        table(
            (*columns, *more),
            [_row(each) for each in devices],
            "times as fast [95 %],baseline,latency,accuracy,peak memory,energy",
        ),
        commands=(f"farm show {run}", *_again(devices)),
    )


def _sentence(each: DeviceVerdict) -> str:
    name, ratio = each.standing.device, each.ratio
    if ratio is None:
        return f"{name}: {_said(each.standing).rstrip('.')}."
    told = f"{name}: {ratio.value:.2f} times as fast as the baseline"
    latency = each.winner.latency if each.winner else None
    if latency is not None and latency.method is not Method.MEASURED:
        return f"{told} by {latency.method} time."
    return f"{told} (95 % interval {ratio.low:.2f} to {ratio.high:.2f})."


def _said(standing: DeviceStanding) -> str:
    """What became of a device, in words."""
    known = standing.known
    if known is None:
        return standing.status
    return known.reason or (known.verdict.words if known.verdict else str(known.status))


def _row(each: DeviceVerdict) -> tuple[str, ...]:
    standing, known, winner = each.standing, each.standing.known, each.winner
    return (
        standing.device,
        _said(standing),
        known.label if known and known.label else MISSING,
        format_ratio(each.ratio) if each.ratio else MISSING,
        value_cell(each.baseline.latency) if each.baseline else MISSING,
        value_cell(winner.latency) if winner else MISSING,
        accuracy_cell(winner.accuracy) if winner else MISSING,
        bytes_cell(winner.memory) if winner else MISSING,
        energy_cell(winner.energy) if winner else MISSING,
    )


def _chart(known: Sequence[tuple[str, Estimate]]) -> Chart | None:
    if not known:
        return None
    ratios = [ratio for _, ratio in known]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded([ratio.value for ratio in ratios]),
        "y": [label(name) for name, _ in known],
        "error_x": bars(ratios),
        "marker": {"color": Role.WINNER, "size": 11},
        "hoverinfo": "text",
        "hovertext": [f"{label(name)}: {format_ratio(ratio)}" for name, ratio in known],
    }
    layout = {
        "xaxis": {"title": {"text": "times as fast as the baseline"}},
        "yaxis": {"type": "category", "autorange": "reversed"},
        "shapes": [vertical(1.0)],
    }
    return Chart((trace,), layout, 110 + _ROW * len(known))


def _again(devices: Sequence[DeviceVerdict]) -> Iterator[str]:
    """What compares winner and baseline: in their blocks, or measured anew where these are few."""
    for each in devices:
        if not (each.baseline and each.winner) or each.baseline.trial == each.winner.trial:
            continue
        if each.baseline.latency is None or each.winner.latency is None:
            continue  # nothing tells it
        anew = "" if each.pairs >= MIN_COMMON_BLOCKS else " --measure"
        yield f"farm compare {each.baseline.trial[:8]} {each.winner.trial[:8]}{anew}"
