"""``farm bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.shared.measuring import measure
from commands.shared.options.common import (
    DataOption,
    JsonOption,
    ProfilesOption,
    SeedOption,
    ShapeOption,
    StoreOption,
    ThreadsOption,
    devices_option,
    one_device,
    shape_sizes,
    thread_limit,
)
from commands.shared.options.searching import ForceOption
from commands.shared.output import print_tables
from commands.shared.shell import completion
from commands.shared.shell.help import Panel
from farm.errors import OptionError

CandidateOption = Annotated[
    Path | None,
    typer.Option(
        "--candidate",
        metavar="FILE",
        help="Candidate as JSON. Default: the baseline.",
        rich_help_panel=Panel.SUBJECT,
    ),
]
TrialOption = Annotated[
    str | None,
    typer.Option(
        "--trial",
        metavar="ID",
        help="Run a trial of the store again.",
        autocompletion=completion.trial_id,
        rich_help_panel=Panel.SUBJECT,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder to deliver it to, in a folder of its device.",
    ),
]


def bench(
    model: Annotated[Path | None, typer.Argument(metavar="MODEL", help="ONNX file.")] = None,
    *,
    devices: Annotated[
        list[str] | None, devices_option("Device profile, one. Default: cpu.")
    ] = None,
    candidate: CandidateOption = None,
    trial: TrialOption = None,
    data: DataOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    shape: ShapeOption = None,
    threads: ThreadsOption = None,
    seed: SeedOption = 0,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measure one candidate on one device, without searching.

    Example: farm bench model.onnx --device cpu --candidate candidate.json
    """
    from dataclasses import replace

    from db.reader import StoreReader
    from farm.candidate import read_candidate
    from reports import machine_readable
    from reports.tables.benchmark import benchmark_table
    from tuner.bench import recall
    from tuner.request import TuneRequest

    _refuse_both(model, candidate, trial, threads)
    chosen = [read_candidate(candidate)] if candidate else []
    recalled = None
    if trial is not None:
        with StoreReader.open(store) as reader:
            recalled = recall(reader, trial)
        request, chosen = recalled.request, [recalled.candidate]
        device = recalled.trial.device
    else:
        assert model is not None
        device = one_device(devices, "cpu")
        request = TuneRequest(
            model=str(model.absolute()),
            devices=(device,),
            data=str(data.absolute()) if data else "",
            shapes=shape_sizes(shape),
            seed=seed,
            threads=thread_limit(threads),
        )
    if output is not None:
        request = replace(request, output=str(output.absolute()))
    (measured,) = measure(store, request, device, profiles, chosen, recalled, force=force)
    if json_output:
        typer.echo(machine_readable.benchmark_json(measured))
    else:
        lies = [f"It lies in {measured.output}."] if measured.output else []
        print_tables(benchmark_table(measured), [*measured.notes, *lies])


def _refuse_both(
    model: Path | None, candidate: Path | None, trial: str | None, threads: int | None
) -> None:
    """Raise OptionError where neither a model nor a trial is given, or more than the trial."""
    if trial is None and model is None:
        raise OptionError("Give the ONNX model to measure, or --trial ID.")
    if trial is not None and (candidate is not None or model is not None):
        raise OptionError(
            "Give either --trial ID or MODEL with --candidate FILE: a trial has both."
        )
    if trial is not None and threads is not None:
        raise OptionError("A trial has its own threads: leave out --threads, or --trial ID.")
