"""The result of ``farm tune``: baselines and winners, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from farm.measurement import Estimate, Method, Metric
from farm.text import listed
from farm.units import counted
from reports.interrupted import interrupted_lines
from reports.objectives import AS_MUCH, COLUMNS
from reports.tables.cells import (
    MISSING,
    bytes_cell,
    energy_cell,
    format_ratio,
    is_visible,
    method_note,
    prediction_cell,
    seconds_cell,
    share_cell,
    value_cell,
)
from reports.tables.layout import ALWAYS, Column, Rows
from tuner.goals import Objective
from tuner.racing.objective import METRICS
from tuner.results import AccuracyComparison, DeviceResult, Measured, Status, TuneResult, Verdict

_LATENCY = Column("latency [95 %]", right=True, below=5)
_PREDICTED = Column("predicted [90 %]", right=True, below=4)
_COLUMNS = (
    Column("device"),
    Column(""),
    Column("candidate", wraps=24),
    _LATENCY,
    Column("speed-up [95 %]", right=True, below=4),
    Column("accuracy", right=True, below=3),
    Column("peak memory", right=True, below=2),
    Column("energy", right=True, below=1),
    Column("CPU time", below=ALWAYS),
)


def run_table(result: TuneResult) -> Rows:
    """Baseline and winner of each device, with intervals, and why a device is missing.

    An objective that has no column of its own gets two: its values, and the gain.
    """
    name = COLUMNS.get(result.objective, "")
    columns = [
        Column(f"{name} [95 %]", right=True, below=7),
        Column("gain [95 %]", right=True, below=6),
    ]
    shown = [*_COLUMNS[:3], *(columns if name else []), *_COLUMNS[3:]]
    if _is_predicted(result):
        shown.insert(shown.index(_LATENCY) + 1, _PREDICTED)
    table = Rows(shown)
    for device in result.devices:
        if device.status is Status.TUNED or device.best is not None:
            _add_tuned(table, device, result.objective, predicted=_is_predicted(result))
        else:
            table.add(device.device, str(device.status), Text(device.reason, style="yellow"))
    return table


def verdict_lines(result: TuneResult) -> list[str]:
    """One or more sentences per device: verdict, limits of what was measured, where it lies."""
    lines: list[str] = []
    for device in result.devices:
        if device.status is Status.TUNED:
            lines += _verdict(device, result.objective)
        elif device.status is Status.INTERRUPTED:
            lines += interrupted_lines(device, _trial_counts(device))
        else:
            lines += [f"{device.device}: {note}" for note in device.notes]
            if device.remedy:
                lines.append(f"{device.device}: to tune it, {device.remedy}.")
    return lines


def _is_predicted(result: TuneResult) -> bool:
    """Whether anything that the table shows was predicted before it was measured."""
    shown = (m for d in result.devices for m in (d.baseline, d.winner or d.best) if m)
    return any(Metric.LATENCY in each.predicted for each in shown)


def _add_tuned(
    table: Rows, device: DeviceResult, objective: Objective, *, predicted: bool
) -> None:
    best, name = device.winner or device.best, "winner" if device.winner else "best so far"
    accuracy = device.accuracy
    assert device.baseline is not None
    assert best is not None
    table.add(
        device.device,
        "baseline",
        device.baseline.label,
        *_objective(device.baseline, objective, "1.00x"),
        value_cell(device.baseline.measurements.get(Metric.LATENCY)),
        *_predicted(device.baseline, shown=predicted),
        "1.00x",
        share_cell(accuracy.baseline if accuracy else device.baseline.value(Metric.ACCURACY)),
        *_resources(device.baseline, objective),
    )
    if device.ratio is None:
        table.add("", name, "the baseline")
        return
    table.add(
        "",
        name,
        Text(best.label, style="bold"),
        *_objective(best, objective, _ratio(device, device.gain)),
        value_cell(best.measurements.get(Metric.LATENCY)),
        *_predicted(best, shown=predicted),
        Text(_ratio(device, device.ratio), style="bold green"),
        share_cell(accuracy.winner if accuracy else best.value(Metric.ACCURACY)),
        *_resources(best, objective),
    )


def _accuracy_lines(accuracy: AccuracyComparison) -> Iterator[str]:
    """How accuracy was judged, what is worst, and what could not be judged."""
    yield from accuracy.notes
    if accuracy.winner is None:
        yield (
            "accuracy cannot be judged: unless --allow-unjudged is given, only candidates of the "
            "model's own precision win."
        )
    elif not accuracy.on_real_data:
        yield (
            f"accuracy is {accuracy.metric} with the baseline on made-up inputs; it was not "
            "checked on real data (--data)."
        )
    else:
        yield f"accuracy is {accuracy.metric} on {accuracy.samples} samples."
    if is_visible(accuracy.worst):
        yield f"least alike is output {accuracy.worst}."


def _objective(measured: Measured, objective: Objective, gain: str) -> Iterator[str | Text]:
    """Cells of an objective that has columns of its own."""
    if objective in COLUMNS:
        yield value_cell(measured.measurements.get(METRICS[objective]))
        yield Text(gain, style="bold green") if gain != "1.00x" else gain


def _predicted(measured: Measured, *, shown: bool) -> Iterator[str]:
    """What its latency was expected to be, where there is a column for that."""
    if shown:
        yield prediction_cell(measured.predicted.get(Metric.LATENCY))


def _resources(measured: Measured, objective: Objective) -> Iterator[str]:
    """Memory, energy, and the processor time, where it has no column of its own."""
    found = measured.measurements
    yield bytes_cell(found.get(Metric.PEAK_MEMORY))
    yield energy_cell(found.get(Metric.ENERGY))
    if objective is not Objective.CPU:
        yield seconds_cell(found.get(Metric.CPU_SECONDS))


def _verdict(device: DeviceResult, objective: Objective) -> list[str]:
    name = device.device
    lines = [f"{name}: {_sentence(device, objective)} {_trial_counts(device)}"]
    if device.accuracy:
        lines += [f"{name}: {line}" for line in _accuracy_lines(device.accuracy)]
    lines += [f"{name}: {note}" for note in device.notes]
    if device.winner is not None and Metric.ARENA in device.winner.measurements:
        lines.append(f"{name}: {_package(device.winner)}.")
    if device.winner is not None and Metric.WITH_TRANSFERS in device.winner.measurements:
        lines.append(f"{name}: {_of_gpu(device.winner)}.")
    if device.tolerated:
        verb = "was" if device.disturbed == 1 else "were"
        lines.append(
            f"{name}: the machine was not quiet: {counted(device.disturbed, 'disturbed block')} "
            f"{verb} run again and {device.tolerated} had to be kept."
        )
    if device.output:
        package = device.winner is not None and Metric.ARENA in device.winner.measurements
        what = "the package" if package else "the winner"
        lines.append(f"{name}: {what} lies in {device.output}")
    return lines


def _of_gpu(winner: Measured) -> str:
    """What a run takes besides: ``1.2 ms from and to the host's memory, 310 MiB of the GPU's``."""
    found = winner.measurements
    text = f"{seconds_cell(found[Metric.WITH_TRANSFERS])} from and to the host's memory"
    memory = found.get(Metric.DEVICE_MEMORY)
    return text if memory is None else f"{text}, {bytes_cell(memory)} of the GPU's memory"


def _package(winner: Measured) -> str:
    """What a compiled package needs: ``24,310 packets (emulated), arena 16.0 KiB (planned)``."""
    found = winner.measurements
    parts = []
    if packets := found.get(Metric.PACKETS):
        parts.append(f"{packets.value:,.0f} packets{method_note(packets)}")
    for metric, name in (
        (Metric.ARENA, "arena and scratch"),
        (Metric.MODEL_SIZE, "weights and code"),
    ):
        if metric in found:
            parts.append(f"{name} {bytes_cell(found[metric])}")
    return ", ".join(parts)


def _sentence(device: DeviceResult, objective: Objective) -> str:
    if device.verdict is Verdict.SPLIT and device.ratio is not None and device.places:
        return (
            f"the model runs as a split only, over {listed(device.places)}: "
            f"{device.ratio.value:.2f} times as fast as the baseline, all on {device.places[-1]}."
        )
    if device.verdict is not Verdict.IMPROVED or device.ratio is None or device.gain is None:
        return f"{device.reason or (device.verdict.words if device.verdict else MISSING)}."
    speed = f"{device.ratio.value:.2f} times as fast as the baseline"
    if _is_modelled(device):
        return f"{speed} by modelled time; accuracy is that of data the search never saw."
    confirmed = "confirmed in fresh processes on data the search never saw"
    if objective is Objective.LATENCY:
        return f"{speed} {_interval(device.ratio)}, {confirmed}."
    gain = f"{device.gain.value:.2f} times {_as_much(device, objective)}"
    return f"{gain} {_interval(device.gain)}, {speed}, {confirmed}."


def _as_much(device: DeviceResult, objective: Objective) -> str:
    """Of an energy with how it was found."""
    energy = device.winner.measurements.get(Metric.ENERGY) if device.winner else None
    if objective is Objective.ENERGY and energy is not None:
        return f"less {energy.method} energy than the baseline"
    return AS_MUCH[objective]


def _ratio(device: DeviceResult, ratio: Estimate | None) -> str:
    """Of a device whose winner is not the baseline."""
    assert ratio is not None
    if device.winner is None:
        return f"{ratio.value:.2f}x (not confirmed)"
    if _is_modelled(device):
        return f"{ratio.value:.2f}x (modelled)"
    return format_ratio(ratio)


def _is_modelled(device: DeviceResult) -> bool:
    """Whether seconds were computed from counts, which are the same every time."""
    latency = device.winner.measurements.get(Metric.LATENCY) if device.winner else None
    return latency is not None and latency.method is not Method.MEASURED


def _interval(ratio: Estimate) -> str:
    return f"(95 % interval {ratio.low:.2f} to {ratio.high:.2f})"


def _trial_counts(device: DeviceResult) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in device.trials.items())
    total = sum(device.trials.values())
    return f"{counted(total, 'trial')}: {counts}."
