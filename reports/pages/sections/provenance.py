"""Where the numbers of a page come from: what ran, by which versions, and how to run it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise

from db.records import Machine, Model, Run, RunKind, Software
from farm.units import counted, format_bytes
from reports.pages.section import Section, table
from reports.tables.cells import time_cell
from tuner.request import TuneRequest


def provenance(
    run: Run,
    model: Model,
    request: TuneRequest | None,
    machines: Sequence[tuple[str, Machine]],
    software: Sequence[tuple[str, Software]],
    trials: Sequence[str],
) -> Section:
    """request: None where it cannot be read. trials: ids that the page is about.

    machines, software: each with the devices that ran there and so, "" where none did.
    """
    rows = [
        ("run", run.name),
        ("kind", str(run.kind)),
        ("started (UTC)", time_cell(run.created_at)),
        ("model", f"{model.name}, {counted(model.operators, 'operator')}, opset {model.opset}"),
        ("model's SHA-256", model.sha256),
        ("seed", str(run.seed)),
        ("asked for", _asked(run.request)),
        *_of_devices("machine", [(names, machine_text(each)) for names, each in machines]),
        *_of_devices("software", [(names, ", ".join(_versions(s))) for names, s in software]),
    ]
    return Section(
        "provenance",
        "Provenance",
        f"Everything above is of run {run.name} and what the store keeps of it.",
        table=table(("what", "value"), rows),
        notes=("The commands measure again, on the machine on which they are called.",),
        commands=(*_again(run, request), *(f"farm bench --trial {each[:8]}" for each in trials)),
    )


def _of_devices(what: str, told: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """A row for each; of which devices it is where there are several."""
    for names, text in told:
        yield (what if len(told) == 1 else f"{what} of {names or 'the run itself'}"), text


def _asked(request: str) -> str:
    """``devices cpu, dsp; budget seconds 60``: what was asked for, but for what is left open."""
    try:
        return "; ".join(_words("", json.loads(request)))
    except ValueError:
        return request


def _words(name: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _words(f"{name} {key}".strip(), inner)
    elif isinstance(value, list) and value:
        yield f"{name} {', '.join(map(str, value))}"
    elif value is True:
        yield name.replace("_", " ")
    elif isinstance(value, float) or value:  # an int of 0 is no limit, a float is a limit
        yield f"{name.replace('_', ' ')} {value}"


def machine_text(machine: Machine) -> str:
    """A machine in one line."""
    size = format_bytes(machine.memory_bytes)
    return f"{machine.hostname}: {machine.cpu}, {counted(machine.cores, 'core')}, {size}"


def version_changes(software: Iterable[Mapping[str, str]]) -> list[str]:
    """What changed from each set of versions to the next: ``onnxruntime 1.31.1 → 1.32.0``."""
    return [
        ", ".join(
            f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        )
        or "software"
        for before, after in pairwise(software)
    ]


def versions_of(software: Software) -> dict[str, str]:
    """Versions by package; none where they cannot be read."""
    try:
        read = json.loads(software.versions)
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in read.items()} if isinstance(read, dict) else {}


def _versions(software: Software) -> list[str]:
    return [f"{name} {version}" for name, version in versions_of(software).items()]


def tune_command(request: TuneRequest) -> str:
    """What runs the same search again; it delivers to another folder."""
    limits = request.constraints
    options = {
        "--devices": ",".join(request.devices),
        "--data": request.data,
        "--metric": request.metric,
        "--objective": str(request.objective),
        "--budget": _number(request.budget_seconds, "s"),
        "--trials": str(request.max_trials or ""),
        "--threads": str(request.threads or ""),
        "--max-batch": str(request.max_batch) if request.max_batch > 1 else "",
        "--max-accuracy-drop": _number(limits.max_accuracy_drop),
        "--max-memory": str(limits.max_memory or ""),
        "--max-latency": _number(limits.max_latency, "s"),
        "--max-energy": _number(limits.max_energy, "J"),
        "--max-cpu": _number(limits.max_cpu, "s"),
        "--min-throughput": _number(limits.min_throughput),
        "--max-p99": _number(limits.max_p99, "s"),
        "--max-load": _number(limits.max_load, "s"),
        "--seed": str(request.seed),
    }
    flags = {"--allow-unjudged": limits.allow_unjudged, "--cold": request.cold}
    words = ["farm", "tune", request.model]
    words += [word for option, text in options.items() if text for word in (option, text)]
    words += [word for name, n in request.shapes.items() for word in ("--shape", f"{name}={n}")]
    words += [flag for flag, given in flags.items() if given]
    return shlex.join(words)


def _number(value: float | None, unit: str = "") -> str:
    """``0.00005s``: what options read, to the last digit."""
    return "" if value is None else f"{Decimal(repr(value)):f}{unit}"


def _again(run: Run, request: TuneRequest | None) -> Iterator[str]:
    """What shows a run, and what runs its search again."""
    if run.kind is RunKind.TUNE and request is not None:
        yield tune_command(request)
    yield f"farm show {run.name}"
