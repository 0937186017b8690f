"""What became of each device of a run: the winner, how much faster it is, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from db.records import Result
from farm.measurement import Estimate, Method
from farm.units import counted
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
    measured: where nothing is searched, what was measured instead.
    """

    standing: DeviceStanding
    baseline: Result | None
    winner: Result | None
    pairs: int = 0
    measured: tuple[Result, ...] = ()

    @property
    def ratio(self) -> Estimate | None:
        """How many times as fast as the baseline the winner is."""
        return self.standing.known.ratio if self.standing.known else None


def verdicts(run: str, devices: Sequence[DeviceVerdict]) -> Section:
    """A row for each device, and a point with its interval for each speed-up.

    Where nothing is searched there is a row for each candidate that was measured.
    """
    what = "candidate" if any(each.measured for each in devices) else "winner"
    columns = ("device", "verdict", what, "times as fast [95 %]", "baseline", "latency")
    more = ("accuracy", "peak memory", "energy")
    known = [(each.standing.device, ratio) for each in devices if (ratio := each.ratio)]
    return Section(
        "verdicts",
        "Verdicts",
        " ".join(map(_sentence, devices)) or "The run has no device.",
        _chart(known),
        table(
            (*columns, *more),
            [row for each in devices for row in _rows(each)],
            "times as fast [95 %],baseline,latency,accuracy,peak memory,energy",
        ),
        commands=(f"farm show {run}", *_again(devices)),
    )


def _sentence(each: DeviceVerdict) -> str:
    name, ratio = each.standing.device, each.ratio
    timed = [(m.latency.value, n) for n, m in enumerate(each.measured) if m.latency is not None]
    if timed and not each.standing.reason:
        fastest = each.measured[min(timed)[1]]
        told = f"{name}: {counted(len(each.measured), 'trial')} measured"
        which = "" if len(each.measured) == 1 else "the fastest, "
        return f"{told}; {which}{fastest.candidate}, takes {value_cell(fastest.latency)}."
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
        return f"{standing.status}: {standing.reason}" if standing.reason else standing.status
    return known.reason or (known.verdict.words if known.verdict else str(known.status))


def _rows(each: DeviceVerdict) -> Iterator[tuple[str, ...]]:
    standing, known = each.standing, each.standing.known
    won = known.label if known and known.label else MISSING
    for row in each.measured or (each.winner,):
        yield (
            standing.device,
            _said(standing),
            row.candidate if row and each.measured else won,
            format_ratio(each.ratio) if each.ratio else MISSING,
            value_cell(each.baseline.latency) if each.baseline else MISSING,
            value_cell(row.latency) if row else MISSING,
            accuracy_cell(row.accuracy) if row else MISSING,
            bytes_cell(row.memory) if row else MISSING,
            energy_cell(row.energy) if row else MISSING,
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
