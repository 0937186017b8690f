"""Runs, for people and for programs: ``farm runs`` and ``farm show``.

What it imports is light: a command that only looks into the store starts at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from datetime import datetime

from rich import box
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from db.records import RunLease, RunStatus
from farm.measurement import Estimate, Measurement
from farm.text import printable
from farm.units import counted, format_bytes, format_joules, format_seconds
from reports.rows import prediction_json
from reports.tables.cells import prediction_cell, value_cell
from tuner.goals import Constraints
from tuner.request import TuneRequest
from tuner.runs.memory import DeviceMemory
from tuner.runs.overview import DeviceStanding, Overview, Standing

_WIDE = 110  # from so many characters on, everything has a column of its own
_STYLES = {
    RunStatus.RUNNING: "cyan",
    RunStatus.FINISHED: "green",
    RunStatus.INTERRUPTED: "yellow",
    RunStatus.FAILED: "red",
}


class RunsTable:
    """Runs, one a row; on a narrow terminal all but status and time stands below the run's name.

    The name says when it was started, too.
    """

    def __init__(self, rows: Sequence[Standing]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """The table as wide as the terminal."""
        wide = options.max_width >= _WIDE
        more = ("kind", "model", "devices", "started (UTC)") if wide else ()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("run", *more, "status"):
            table.add_column(name, overflow="fold")
        table.add_column("time used", justify="right", no_wrap=True)
        for row in self._rows:
            status = Text(str(row.status), style=_STYLES[row.status])
            used = _text(format_seconds(row.run.active_seconds))
            table.add_row(*(_cells(row) if wide else [_stacked(row)]), status, used)
        yield table


def gone_lines(rows: Sequence[Standing]) -> list[str]:
    """A sentence for each run that ended without a word."""
    return [f"{row.run.name} is interrupted: {row.gone}." for row in rows if row.gone]


def overview_table(found: Overview) -> Table:
    """Everything about a run, a name and a value a row."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in (*_facts(found), *_devices(found), *_next(found)):
        table.add_row(_text(name), _text(value))
    return table


def runs_json(rows: Sequence[Standing]) -> str:
    """The list that ``farm runs --json`` prints. Times are UTC, durations seconds."""
    return json.dumps([_standing(row) for row in rows], indent=2, allow_nan=False)


def overview_json(found: Overview) -> str:
    """The object that ``farm show --json`` prints. Times are UTC, durations seconds."""
    lease, request = found.standing.lease, found.standing.run.request
    value = {
        **_standing(found.standing),
        "model": {
            "name": found.standing.model.name,
            "path": found.request.model if found.request else None,
            "sha256": found.standing.model.sha256,
        },
        "devices": [_device(device) for device in found.devices],
        "request": _request(request),
        "finished": _time(found.standing.run.finished_at),
        "lease": None if lease is None else _lease(lease),
        "output": found.output,
        "resumable": found.is_resumable,
        "resume": found.command or None,
    }
    return json.dumps(value, indent=2, allow_nan=False)


def _cells(row: Standing) -> list[Text]:
    started = f"{row.run.created_at:%Y-%m-%d %H:%M}"
    kind, devices = str(row.run.kind), ", ".join(row.devices)
    return [_text(cell) for cell in (row.run.name, kind, row.model.name, devices, started)]


def _stacked(row: Standing) -> Text:
    on = f" on {', '.join(row.devices)}" if row.devices else ""
    below = printable(f"{row.run.kind} of {row.model.name}{on}")
    return Text.assemble(_text(row.run.name), Text(f"\n{below}", style="dim"))


def _text(value: str) -> Text:
    return Text("\n".join(map(printable, value.split("\n"))))


def _facts(found: Overview) -> Iterator[tuple[str, str]]:
    standing, run = found.standing, found.standing.run
    yield "run", run.name
    yield "kind", str(run.kind)
    yield "status", _status(standing)
    yield "started", f"{run.created_at:%Y-%m-%d %H:%M:%S} UTC"
    if run.finished_at is not None:
        yield "ended", f"{run.finished_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "time used", format_seconds(run.active_seconds)
    request, sha256 = found.request, standing.model.sha256[:12]
    path = request.model if request else standing.model.name
    yield "model", f"{path} (SHA-256 {sha256})"
    if request is None:
        yield "asked for", found.unreadable
        return
    yield "data", request.data or "made up"
    yield "asked for", "; ".join(_asked_for(request, is_tune=bool(found.output)))
    if found.output:
        yield "output", found.output


def _status(standing: Standing) -> str:
    lease = standing.lease
    if lease is not None:
        since = f"{lease.taken_at:%Y-%m-%d %H:%M:%S} UTC"
        process = f"process {lease.pid} on host {lease.host}"
        return f"{standing.status}; {process} works on it since {since}"
    return f"{standing.status}; {standing.gone}" if standing.gone else str(standing.status)


def _asked_for(request: TuneRequest, *, is_tune: bool) -> Iterator[str]:
    if is_tune:
        yield f"lowest {request.objective}"
        yield f"{format_seconds(request.budget_seconds)} per device"
        if request.max_trials:
            yield f"at most {request.max_trials} trials"
        yield from _limits(request.constraints)
    if request.metric:
        yield f"metric {request.metric}"
    yield from (f"{name}={size}" for name, size in request.shapes.items())
    yield f"seed {request.seed}"


def _limits(limits: Constraints) -> Iterator[str]:
    if limits.max_accuracy_drop is not None:
        yield f"accuracy drop at most {limits.max_accuracy_drop:g}"
    if limits.max_memory is not None:
        yield f"memory at most {format_bytes(limits.max_memory)}"
    if limits.max_latency is not None:
        yield f"latency at most {format_seconds(limits.max_latency)}"
    if limits.max_energy is not None:
        yield f"energy at most {format_joules(limits.max_energy)}"
    if limits.allow_unjudged:
        yield "unjudged accuracy allowed"


def _devices(found: Overview) -> Iterator[tuple[str, str]]:
    for device in found.devices:
        yield device.device, "\n".join(_device_lines(device))


def _device_lines(device: DeviceStanding) -> Iterator[str]:
    yield _outcome(device)
    if device.known and device.known.label:
        yield f"winner {device.known.label} (trial {device.known.trial[:8]})"
    if device.measured is not None and device.predicted is not None:
        yield (
            f"latency {value_cell(device.measured)}, predicted "
            f"{prediction_cell(device.predicted)} ({device.predicted.basis})"
        )
    if device.trials:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in device.trials.items())
        yield f"{counted(sum(device.trials.values()), 'trial')}: {counts}"
    if device.used is not None and device.left is not None:
        left = "none" if device.left == 0 else format_seconds(device.left)
        yield f"{format_seconds(device.used)} used, {left} left"
    if device.known and device.known.output:
        yield f"delivered to {device.known.output}"
    if device.unconfirmed:
        yield f"the best so far, not confirmed, lies in {device.unconfirmed}"


def _outcome(device: DeviceStanding) -> str:
    known = device.known
    if known is None:
        return f"{device.status}: {device.reason}" if device.reason else device.status
    said = [known.verdict.words] if known.verdict else []
    if known.ratio is not None:
        said.append(
            f"{known.ratio.value:.2f} times as fast as the baseline{_interval(known.ratio)}"
        )
    said += [known.reason] if known.reason else []
    return f"{known.status}: {'; '.join(said)}" if said else str(known.status)


def _interval(ratio: Estimate) -> str:
    if not _has_interval(ratio):
        return ""
    return f" (95 % interval {ratio.low:.2f} to {ratio.high:.2f})"


def _has_interval(ratio: Estimate) -> bool:
    """Counts have no width, and few values no bounds."""
    return math.isfinite(ratio.high - ratio.low) and ratio.high > ratio.low


def _next(found: Overview) -> Iterator[tuple[str, str]]:
    if found.command:
        yield "go on" if found.is_resumable else "more time", found.command


def _standing(row: Standing) -> dict[str, object]:
    return {
        "run": row.run.name,
        "kind": str(row.run.kind),
        "status": str(row.status),
        "gone": row.gone or None,
        "model": row.model.name,
        "devices": list(row.devices),
        "started": _time(row.run.created_at),
        "seconds": row.run.active_seconds,
    }


def _request(text: str) -> object:
    """As the store keeps it; the text itself where that is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lease(lease: RunLease) -> dict[str, object]:
    taken, renewed = _time(lease.taken_at), _time(lease.renewed_at)
    return {"process": lease.pid, "host": lease.host, "since": taken, "renewed": renewed}


def _device(device: DeviceStanding) -> dict[str, object]:
    known = device.known
    return {
        "device": device.device,
        "status": device.status,
        "reason": known.reason if known else device.reason,
        "verdict": str(known.verdict) if known and known.verdict else None,
        "winner": _winner(known) if known and known.label else None,
        "ratio": _ratio(known.ratio) if known and known.ratio else None,
        "budget": None if device.used is None else {"used": device.used, "left": device.left},
        "trials": dict(device.trials),
        "output": known.output if known else "",
        "unconfirmed": device.unconfirmed,
        "latency": _measured(device.measured),
        "predicted": prediction_json(device.predicted),
    }


def _measured(found: Measurement | None) -> object:
    if found is None:
        return None
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "unit": found.unit,
        "method": str(found.method),
    }


def _winner(known: DeviceMemory) -> dict[str, object]:
    return {"trial": known.trial, "candidate": known.candidate, "label": known.label}


def _ratio(ratio: Estimate) -> dict[str, object]:
    interval = [ratio.low, ratio.high] if _has_interval(ratio) else None
    return {"estimate": ratio.value, "ci": interval}


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
