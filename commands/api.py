"""The farm from Python: what its commands do, with values in and values out.

    from commands import api

    result = api.tune("model.onnx", devices=["cpu"], budget=60.0, store="farm.db")
    pandas.DataFrame(api.results(store="farm.db", model="model"))

Nothing is printed; ``on_event`` is told what happens. Everything that goes wrong on purpose is a
``farm.errors.FarmError`` whose text is the sentence that the command would have printed. Times
are seconds, sizes bytes, energies joules. Ctrl-C ends ``tune`` with what it found by then.
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import workers.cluster  # noqa: F401  (sets what Ray reads, before anything imports it)

# isort: split
from rich.console import Console

from commands.shared.arguments import checked
from commands.shared.measuring import measured
from commands.shared.options.common import device_names, known_profiles
from commands.shared.options.place import Place, require_here
from commands.store.options import known_subject, subject_of
from db.questions.results import results as questions_results
from db.reader import StoreReader
from db.store import Store
from farm.candidate import CalibrationMethod, Candidate
from farm.codegen.build.compilers import CompilerKind
from farm.codegen.package.manifest import Manifest
from farm.codegen.program import DEFAULT_NAME, PortType
from farm.devices.profile import select_profiles
from farm.errors import OptionError
from farm.measurement import Metric, Outcome
from farm.model.model import load_model
from reports.rows import result_rows
from tuner.bench import (
    Benchmark,
    check_pair,
    compare_measured,
    compare_recorded,
    recall,
)
from tuner.delivery.place import check_output
from tuner.events import Listener, ignore
from tuner.goals import Constraints, Objective
from tuner.package import PackagePrecision, PackageRequest, make_package
from tuner.predicting import Forecast
from tuner.predicting import forecast as forecast_of
from tuner.racing.statistics import Comparison
from tuner.request import TuneRequest
from tuner.results import TuneResult
from tuner.runs.start import check_request, resume_run, start_run
from tuner.tune import tune_run
from workers.facts import facts_of

__all__ = [
    "Benchmark",
    "Candidate",
    "Columns",
    "Comparison",
    "Constraints",
    "Forecast",
    "Manifest",
    "Metric",
    "Objective",
    "Outcome",
    "TuneResult",
    "bench",
    "compare",
    "package",
    "predict",
    "results",
    "resume",
    "tune",
]

Columns = dict[str, list[Any]]
"""Rows by column, each as long as the others, as ``pandas.DataFrame`` takes them."""

_NOWHERE = Console(quiet=True)


@checked
def tune(
    model: str | Path,
    *,
    devices: str | Sequence[str] = ("cpu",),
    data: str | Path | None = None,
    budget: float = 120.0,
    objective: Objective = Objective.LATENCY,
    constraints: Constraints = Constraints(),  # noqa: B008  (it is frozen)
    max_trials: int = 0,
    threads: int = 0,
    max_batch: int = 1,
    metric: str = "",
    shapes: Mapping[str, int] | None = None,
    seed: int = 0,
    cold: bool = False,
    output: str | Path | None = None,
    force: bool = False,
    local: bool = False,
    address: str | None = None,
    profiles: str | Path | None = None,
    store: str | None = None,
    on_event: Listener = ignore,
) -> TuneResult:
    """Find the fastest way to run a model on each device, confirm it, and deliver it.

    devices: names of profiles, or one text with commas. data: npz file of samples. budget:
    seconds per device. max_trials, threads: 0 for no limit. cold: without what the store has of
    other models. output: folder for the winners, ``runs/RUN`` for None; force replaces those of
    other models there. local: without Ray, in this process. address: of a head, whose machines
    are used. profiles: folder with further device profiles. store: path or URL. on_event: may be
    called by several threads.

    Raises FarmError.
    """
    place = _place(address, profiles, local=local)
    request = TuneRequest(
        model=str(Path(model).absolute()),
        devices=place.devices([_joined(devices)]),
        data=_path(data),
        shapes=dict(shapes or {}),
        metric=metric,
        objective=objective,
        constraints=constraints,
        budget_seconds=budget,
        max_trials=max_trials,
        seed=seed,
        output=_path(output),
        threads=threads,
        max_batch=max_batch,
        cold=cold,
    )
    checked = check_request(request, place.profiles, availability=place.availability)
    check_output(checked, "", force=force)
    with Store.open(store) as opened, redirect_stdout(sys.stderr):
        run = start_run(opened, checked)
        return tune_run(opened, run, place.executors(_NOWHERE), on_event)


@checked
def resume(
    run: str,
    *,
    more_seconds: float = 0.0,
    output: str | Path | None = None,
    local: bool = False,
    address: str | None = None,
    profiles: str | Path | None = None,
    store: str | None = None,
    on_event: Listener = ignore,
) -> TuneResult:
    """Go on with a run of ``tune`` that was interrupted, or deliver a finished one again.

    more_seconds: per device, on top of the run's budget. The rest is as for :func:`tune`.

    Raises FarmError.
    """
    place = _place(address, profiles, local=local)
    with StoreReader.open(store) as reader:
        place.require(run, TuneRequest.from_json(reader.run(run).request).devices)
        opened_run = resume_run(
            reader,
            run,
            place.profiles,
            output=_path(output),
            more_seconds=more_seconds,
            availability=place.availability,
        )
    check_output(opened_run.checked, opened_run.name)
    with Store.open(store) as opened, redirect_stdout(sys.stderr):
        return tune_run(opened, opened_run, place.executors(_NOWHERE), on_event)


@checked
def bench(
    model: str | Path,
    *,
    device: str = "cpu",
    candidate: Candidate | None = None,
    data: str | Path | None = None,
    output: str | Path | None = None,
    threads: int = 0,
    shapes: Mapping[str, int] | None = None,
    seed: int = 0,
    profiles: str | Path | None = None,
    store: str | None = None,
    on_event: Listener = ignore,
) -> Benchmark:
    """Measure one candidate on one device, the baseline for None, without searching.

    output: folder to deliver it to, in a folder of its device.

    Raises FarmError.
    """
    request = TuneRequest(
        model=str(Path(model).absolute()),
        devices=(device,),
        data=_path(data),
        output=_path(output),
        shapes=dict(shapes or {}),
        seed=seed,
        threads=threads,
    )
    chosen = [] if candidate is None else [candidate]
    found: Benchmark
    (found,) = measured(store, request, _folder(profiles), chosen, on_event)
    return found


@checked
def compare(
    first: str,
    second: str,
    *,
    measure: bool = False,
    profiles: str | Path | None = None,
    store: str | None = None,
    on_event: Listener = ignore,
) -> Comparison:
    """Compare two trials by the blocks in which they ran side by side.

    first, second: ids of trials, or their beginnings. measure: run both again, side by side.
    The ratio is the latency of the first over that of the second: above 1 the second is faster.

    Raises FarmError.
    """
    with StoreReader.open(store) as reader:
        pair = recall(reader, first), recall(reader, second)
        if not measure:
            return compare_recorded(reader, pair[0].trial, pair[1].trial)
    one, other = pair
    check_pair(one, other)
    # What a search was limited to does not bind what is compared.
    request = replace(one.request, threads=0, devices=(one.trial.device,))
    candidates = [one.candidate, other.candidate]
    again = measured(store, request, _folder(profiles), candidates, on_event, one)
    return compare_measured(again[0], again[1])


@checked
def predict(
    model: str | Path,
    *,
    devices: str | Sequence[str] = ("cpu",),
    candidate: Candidate | None = None,
    best: int = 0,
    shapes: Mapping[str, int] | None = None,
    profiles: str | Path | None = None,
    store: str | None = None,
) -> tuple[Forecast, ...]:
    """What a model is expected to take on each device, without running anything.

    candidate: the baseline for None. best: so many of all that may be tried, in the order in
    which a search would try them.

    Raises FarmError.
    """
    if best < 0 or (best and candidate is not None):
        raise OptionError("best must be 0 or more, and 0 where a candidate is given.")
    loaded = load_model(Path(model), dict(shapes or {}))
    known = known_profiles(_folder(profiles))
    chosen = select_profiles(device_names([_joined(devices)]), known)
    require_here(chosen, "Nothing can be predicted for device {} here")
    with StoreReader.open(store) as reader:
        return tuple(
            forecast_of(reader, loaded, profile, facts_of(profile), candidate, best, known)
            for profile in chosen
        )


@checked
def package(
    model: str | Path,
    *,
    output: str | Path,
    device: str = "dsp",
    data: str | Path | None = None,
    precision: PackagePrecision | None = None,
    calibration: CalibrationMethod | None = None,
    keep_float: Sequence[str] = (),
    compiler: CompilerKind | None = None,
    name: str = DEFAULT_NAME,
    ports: PortType = PortType.FLOAT32,
    metric: str = "",
    shapes: Mapping[str, int] | None = None,
    force: bool = False,
    profiles: str | Path | None = None,
) -> Manifest:
    """Make a model into a compiled package for one device, in a folder; its manifest.

    Raises FarmError.
    """
    (profile,) = select_profiles((device,), known_profiles(_folder(profiles)))
    request = PackageRequest(
        model=Path(model).absolute(),
        output=Path(output).absolute(),
        data=None if data is None else Path(data).absolute(),
        metric=metric,
        shapes=dict(shapes or {}),
        precision=precision,
        calibration=calibration,
        keep_float=tuple(keep_float),
        compiler=compiler,
        name=name,
        ports=ports,
        force=force,
    )
    return make_package(request, profile)


@checked
def results(
    *,
    model: str | None = None,
    devices: str | Sequence[str] = (),
    run: str | None = None,
    outcome: Outcome | None = None,
    limit: int | None = None,
    store: str | None = None,
) -> Columns:
    """Trials of the store, newest first, by column.

    model: its name, its SHA-256, or the beginning of that. run: its name, or the beginning of
    that. limit: 1 or more; None for all. Columns are those of ``farm results --format csv``.

    Raises FarmError.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"limit must be 1 or more, got {limit}.")
    about = subject_of(model, [_joined(devices)] if devices else [])
    with StoreReader.open(store) as reader:
        if run is not None:
            run = reader.run_called(run).name  # what does not exist is no empty answer
        names = known_subject(reader, about).devices
        rows = questions_results(
            reader, model=model, devices=names, run=run, outcome=outcome, limit=limit
        )
        keys, cells = result_rows(rows, lambda of: reader.candidate(of).json)
        columns: Columns = {key: [] for key in keys}
        for row in cells:
            for name, value in zip(keys, row, strict=True):
                columns[name].append(value)
    return columns


def _place(address: str | None, profiles: str | Path | None, *, local: bool) -> Place:
    return Place.of(address, None, _folder(profiles), local=local)


def _joined(devices: str | Sequence[str]) -> str:
    """Names as ``--devices`` takes them: a text with commas is as good as several."""
    return devices if isinstance(devices, str) else ",".join(devices)


def _folder(profiles: str | Path | None) -> Path | None:
    return None if profiles is None else Path(profiles)


def _path(given: str | Path | None) -> str:
    return "" if given is None else str(Path(given).absolute())
