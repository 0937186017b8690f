"""Where the numbers of a page come from: what ran, by which versions, and how to run it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    machines: Sequence[Machine],
    software: Sequence[Software],
    trials: Sequence[str],
) -> Section:
    """request: None where it cannot be read. trials: ids that the page is about."""
    rows = [
        ("run", run.name),
        ("kind", str(run.kind)),
        ("started (UTC)", time_cell(run.created_at)),
        ("model", f"{model.name}, {counted(model.operators, 'operator')}, opset {model.opset}"),
        ("model's SHA-256", model.sha256),
        ("seed", str(run.seed)),
        ("asked for", run.request),
        *(("machine", machine_text(each)) for each in machines),
        *(("software", ", ".join(_versions(each))) for each in software),
    ]
    return Section(
        "provenance",
        "Provenance",
        f"Everything above is of run {run.name} and what the store keeps of it.",
        table=table(("what", "value"), rows),
        notes=("The commands measure again, on the machine on which they are called.",),
        commands=(*_tune(run, request), *(f"farm bench --trial {each[:8]}" for each in trials)),
    )


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


def _tune(run: Run, request: TuneRequest | None) -> Iterator[str]:
    """What runs the same search again, as far as options say it."""
    if run.kind is RunKind.TUNE and request is not None:
        given = {
            "--devices": ",".join(request.devices),
            "--data": request.data,
            "--budget": f"{request.budget_seconds:g}s",
            "--objective": str(request.objective),
            "--metric": request.metric,
            "--threads": str(request.threads or ""),
            "--max-trials": str(request.max_trials or ""),
            "--seed": str(request.seed),
        }
        shapes = [f"--shape {shlex.quote(f'{name}={n}')}" for name, n in request.shapes.items()]
        options = [f"{name} {shlex.quote(text)}" for name, text in given.items() if text]
        yield " ".join([f"farm tune {shlex.quote(request.model)}", *options, *shapes])
    yield f"farm show {run.name}"
