"""Tables for people: the result of a run, the devices, the rows of the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from db.records import Result
from farm.accuracy.result import Worst
from farm.codegen.package.manifest import Manifest
from farm.device import Availability, DeviceProfile
from farm.measurement import Estimate, Measurement, Method, Metric
from farm.plan.memory.portions import PortionSolution
from farm.plan.solution import Status as PlanStatus
from farm.text import printable_lines
from farm.units import counted, format_bytes, format_joules, format_seconds
from reports.doctor import Finding
from reports.interrupted import interrupted_lines
from tuner.bench import Benchmark
from tuner.plan import Planned
from tuner.racing.statistics import Comparison
from tuner.request import Objective
from tuner.results import AccuracyComparison, DeviceResult, Measured, Status, TuneResult, Verdict

_MISSING = "-"


def run_table(result: TuneResult) -> Table:
    """Baseline and winner of each device, with intervals, and why a device is missing."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("device", "", "candidate"):
        table.add_column(name, overflow="fold")
    for name in ("latency [95 %]", "speed-up [95 %]", "accuracy", "peak memory", "energy"):
        table.add_column(name, justify="right", no_wrap=name != "energy")
    for device in result.devices:
        if device.status is Status.TUNED or device.best is not None:
            _add_tuned(table, device)
        else:
            _add(table, device.device, str(device.status), Text(device.reason, style="yellow"))
    return table


def verdict_lines(result: TuneResult) -> list[str]:
    """One or more sentences per device: verdict, limits of what was measured, where it lies."""
    lines: list[str] = []
    for device in result.devices:
        if device.status is Status.TUNED:
            lines += _verdict(device, result.objective)
        elif device.status is Status.INTERRUPTED:
            lines += interrupted_lines(device, _trial_counts(device))
        elif device.remedy:
            lines.append(f"{device.device}: to tune it, {device.remedy}.")
    return lines


def results_table(rows: Sequence[Result]) -> Table:
    """Trials as ``farm results`` shows them; a failed one with its message."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("trial", "run", "device", "phase", "candidate", "outcome"):
        table.add_column(name, overflow="fold")
    for name in ("latency", "accuracy", "memory", "energy"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        outcome = str(row.outcome or "pending")
        _add(
            table,
            row.trial[:8],
            row.run,
            row.device,
            str(row.phase),
            f"{row.candidate}: {row.message}" if row.message else row.candidate,
            outcome,
            _latency(row.latency),
            _accuracy(row.accuracy),
            _bytes(row.memory),
            _energy(row.energy),
        )
    return table


def benchmark_table(measured: Benchmark) -> Table:
    """Every metric of one candidate, with interval and method."""
    title = _cell(f"{measured.candidate.label()} on {measured.device} (trial {measured.trial_id})")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("metric", "value", "95 % interval", "method", "samples"):
        table.add_column(name, justify="left" if name in ("metric", "method") else "right")
    for metric, found in sorted(measured.measurements.items()):
        interval = _MISSING
        if found.low is not None and found.high is not None:
            interval = f"{_with_unit(found, found.low)} to {_with_unit(found, found.high)}"
        value, samples = _with_unit(found, found.value), str(len(found.samples) or "")
        _add(table, str(metric), value, interval, str(found.method), samples)
    return table


def comparison_lines(found: Comparison, labels: tuple[str, str]) -> list[str]:
    """Two candidates, and how they compare in one sentence."""
    first, second = labels
    ratio = found.ratio
    verdict = (
        "no significant difference"
        if ratio.low <= 1.0 <= ratio.high
        else f"B is {ratio.value:.3f} times as fast as A"
    )
    sentence = (
        f"{verdict}: latency A / B = {ratio.value:.3f}, 95 % interval {ratio.low:.3f} to "
        f"{ratio.high:.3f}, p = {found.p_value:.2g}, {found.pairs} pairs."
    )
    return [f"A: {first}", f"B: {second}", sentence]


def devices_table(
    rows: Sequence[tuple[DeviceProfile, Availability, tuple[str, ...]]],
) -> Table:
    """Profiles, whether their devices are there, and what would change that."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("device", "description", "status", "engines", "reason and remedy"):
        table.add_column(name, overflow="fold")
    for profile, found, engines in rows:
        status = Text("available", style="green") if found.available else Text("unavailable")
        why = "" if found.available else f"{found.reason}; {found.remedy}"
        _add(table, profile.name, profile.description, status, ", ".join(engines), why)
    return table


def findings_table(findings: Sequence[Finding]) -> Table:
    """What ``farm doctor`` found."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("what", "found", "remedy"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        style = {"ok": "green", "note": "yellow", "problem": "bold red"}[finding.level]
        _add(table, finding.what, Text(finding.found, style=style), finding.remedy)
    return table


def package_table(manifest: Manifest) -> Table:
    """What a package needs and reaches."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, value in _package_rows(manifest):
        _add(table, name, value)
    return table


def plan_lines(planned: Planned) -> list[str]:
    """What a plan of memory found."""
    solution = planned.solution
    count = len(planned.problem.buffers)
    buffers = counted(count, "buffer")
    if not planned.fits:
        return [f"{buffers} {'does' if count == 1 else 'do'} not fit: {solution.binding}"]
    bound = (
        "which is proven to be the least"
        if solution.status is PlanStatus.OPTIMAL
        else f"{solution.gap:.2%} above the bound of {solution.lower_bound:,}"
    )
    where = "arena"
    if isinstance(solution, PortionSolution):
        where = counted(len(solution.sizes), "portion")
    found = f"{buffers} in {counted(solution.height, 'byte')} ({where}), {bound}"
    return [f"{found}; planned in {format_seconds(solution.seconds)}."]


def rows_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Any rows, for ``farm query``."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(_cell(column))
    for row in rows:
        _add(table, *("" if value is None else str(value) for value in row))
    return table


def _add(table: Table, *cells: str | Text) -> None:
    """Add a row whose cells are taken as they are: brackets are no markup."""
    table.add_row(*(_cell(cell) for cell in cells))


def _cell(cell: str | Text) -> Text:
    """Text of which every character can be seen, in its own style."""
    if isinstance(cell, str):
        return Text(printable_lines(cell))
    return Text(printable_lines(cell.plain), style=cell.style)


def format_ratio(ratio: Estimate) -> str:
    """``2.91x [2.85, 2.97]``."""
    return f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"


def format_latency(latency: Measurement) -> str:
    """``51.2 µs [50.9, 51.6]``, with the method if it is not measured."""
    text = format_seconds(latency.value)
    if latency.low is not None and latency.high is not None:
        low, high = format_seconds(latency.low), format_seconds(latency.high)
        text += f" [{low.split()[0] if low[-2:] == text[-2:] else low}, {high}]"
    return text + _method(latency)


def _add_tuned(table: Table, device: DeviceResult) -> None:
    best, name = device.winner or device.best, "winner" if device.winner else "best so far"
    accuracy = device.accuracy
    assert device.baseline is not None
    assert best is not None
    _add(
        table,
        device.device,
        "baseline",
        device.baseline.label,
        _latency(device.baseline.measurements.get(Metric.LATENCY)),
        "1.00x",
        _share(accuracy.baseline if accuracy else device.baseline.value(Metric.ACCURACY)),
        *_resources(device.baseline),
    )
    if device.ratio is None:
        _add(table, "", name, "the baseline")
        return
    _add(
        table,
        "",
        name,
        Text(best.label, style="bold"),
        _latency(best.measurements.get(Metric.LATENCY)),
        Text(_speed_up(device), style="bold green"),
        _share(accuracy.winner if accuracy else best.value(Metric.ACCURACY)),
        *_resources(best),
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
    if _is_visible(accuracy.worst):
        yield f"least alike is output {accuracy.worst}."


def _resources(measured: Measured) -> tuple[str, str]:
    found = measured.measurements
    return _bytes(found.get(Metric.PEAK_MEMORY)), _energy(found.get(Metric.ENERGY))


def _verdict(device: DeviceResult, objective: Objective) -> list[str]:
    name = device.device
    lines = [f"{name}: {_sentence(device, objective)} {_trial_counts(device)}"]
    if device.accuracy:
        lines += [f"{name}: {line}" for line in _accuracy_lines(device.accuracy)]
    lines += [f"{name}: {note}" for note in device.notes]
    if device.winner is not None and Metric.ARENA in device.winner.measurements:
        lines.append(f"{name}: {_package(device.winner)}.")
    if device.tolerated:
        lines.append(
            f"{name}: the machine was not quiet: {device.disturbed} disturbed blocks were run "
            f"again and {device.tolerated} had to be kept."
        )
    if device.output:
        package = device.winner is not None and Metric.ARENA in device.winner.measurements
        what = "the package" if package else "the winner"
        lines.append(f"{name}: {what} lies in {device.output}")
    return lines


def _package_rows(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield "device", f"{manifest.profile} ({manifest.target})"
    yield "precision", manifest.precision
    if manifest.packets is not None:
        yield "packets of one run", f"{manifest.packets:,} (emulated)"
    for name, size in (
        ("arena", manifest.arena_bytes),
        ("scratch memory", manifest.scratch_bytes),
        ("weights", manifest.weight_bytes),
        ("code", manifest.code_bytes),
    ):
        yield name, f"{format_bytes(size)} ({size:,} B)"
    if found := manifest.accuracy:
        itself = f"of the model itself {_share(found.float_value)}, on {found.samples} samples"
        yield f"accuracy ({found.metric})", f"{_share(found.value)}, {itself}"
        if _is_visible(found.worst):
            yield "least alike", f"output {found.worst}"
        yield from (("accuracy", note) for note in found.notes)
    yield "test vectors", f"{manifest.vectors}, agree bit for bit"
    yield "compiler", manifest.compiler
    yield from (("note", note) for note in manifest.notes)


def _package(winner: Measured) -> str:
    """What a compiled package needs: ``24,310 packets (emulated), arena 16.0 KiB (planned)``."""
    found = winner.measurements
    parts = []
    if packets := found.get(Metric.PACKETS):
        parts.append(f"{packets.value:,.0f} packets{_method(packets)}")
    for metric, name in (
        (Metric.ARENA, "arena and scratch"),
        (Metric.MODEL_SIZE, "weights and code"),
    ):
        if metric in found:
            parts.append(f"{name} {_bytes(found[metric])}")
    return ", ".join(parts)


def _sentence(device: DeviceResult, objective: Objective) -> str:
    if device.verdict is not Verdict.IMPROVED or device.ratio is None or device.gain is None:
        return f"{device.reason or device.verdict}."
    speed = f"{device.ratio.value:.2f} times as fast as the baseline"
    if _is_modelled(device):
        return f"{speed} by modelled time; accuracy is that of data the search never saw."
    confirmed = "confirmed in fresh processes on data the search never saw"
    if objective is Objective.LATENCY:
        return f"{speed} {_interval(device.ratio)}, {confirmed}."
    saved = "peak memory" if objective is Objective.MEMORY else "energy"
    gain = f"{device.gain.value:.2f} times less {saved} than the baseline"
    return f"{gain} {_interval(device.gain)}, {speed}, {confirmed}."


def _speed_up(device: DeviceResult) -> str:
    assert device.ratio is not None
    if device.winner is None:
        return f"{device.ratio.value:.2f}x (not confirmed)"
    if _is_modelled(device):
        return f"{device.ratio.value:.2f}x (modelled)"
    return format_ratio(device.ratio)


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


def _with_unit(measurement: Measurement, value: float) -> str:
    formats = {"s": format_seconds, "B": format_bytes, "J": format_joules}
    if measurement.unit in formats:
        return formats[measurement.unit](value)
    if measurement.unit in ("1/s", "packet", "instruction"):
        return f"{value:,.0f} {measurement.unit}"
    return f"{value:.4f}"


def _latency(latency: Measurement | None) -> str:
    return _MISSING if latency is None else format_latency(latency)


def _is_visible(worst: Worst | None) -> bool:
    """Whether it is not 1.0000 for people."""
    return worst is not None and worst.value < 0.99995


def _share(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.4f}"


def _accuracy(accuracy: Measurement | None) -> str:
    return _MISSING if accuracy is None else f"{accuracy.value:.4f}"


def _bytes(memory: Measurement | None) -> str:
    return _MISSING if memory is None else format_bytes(memory.value) + _method(memory)


def _energy(energy: Measurement | None) -> str:
    return _MISSING if energy is None else f"{format_joules(energy.value)} ({energy.method})"


def _method(measurement: Measurement) -> str:
    return "" if measurement.method is Method.MEASURED else f" ({measurement.method})"
