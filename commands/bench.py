"""``farm bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands import completion
from commands.measuring import measure
from commands.options import (
    DataOption,
    JsonOption,
    ProfilesOption,
    ShapeOption,
    StoreOption,
    ThreadsOption,
    shape_sizes,
    thread_limit,
)
from commands.output import print_tables
from farm.errors import OptionError
from tuner.request import TuneRequest


def bench(
    model: Annotated[Path | None, typer.Argument(metavar="MODEL", help="ONNX file.")] = None,
    *,
    device: Annotated[
        str,
        typer.Option("--device", metavar="NAME", autocompletion=completion.device_name),
    ] = "cpu",
    candidate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Candidate as JSON. Default: the baseline.")
    ] = None,
    trial: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Run a trial of the store again.",
            autocompletion=completion.trial_id,
        ),
    ] = None,
    data: DataOption = None,
    shape: ShapeOption = None,
    threads: ThreadsOption = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of everything random.")] = 0,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measure one candidate on one device, without searching.

    Example: farm bench model.onnx --device cpu --candidate candidate.json
    """
    from db.reader import StoreReader
    from farm.candidate import read_candidate
    from reports import machine_readable, tables
    from tuner.bench import recall

    if trial is None and model is None:
        raise OptionError("Give the ONNX model to measure, or --trial ID.")
    if trial is not None and (candidate is not None or model is not None):
        raise OptionError(
            "Give either --trial ID or MODEL with --candidate FILE: a trial has both."
        )
    if trial is not None and threads is not None:
        raise OptionError("A trial has its own threads: leave out --threads, or --trial ID.")
    chosen = [read_candidate(candidate)] if candidate else []
    recalled = None
    if trial is not None:
        with StoreReader.open(store) as reader:
            recalled = recall(reader, trial)
        request, chosen = recalled.request, [recalled.candidate]
        device = recalled.trial.device
    else:
        assert model is not None
        request = TuneRequest(
            model=str(model.absolute()),
            devices=(device,),
            data=str(data.absolute()) if data else "",
            shapes=shape_sizes(shape),
            seed=seed,
            threads=thread_limit(threads),
        )
    (measured,) = measure(store, request, device, profiles, chosen, recalled)
    if json_output:
        typer.echo(machine_readable.benchmark_json(measured))
    else:
        print_tables(tables.benchmark_table(measured), list(measured.notes))
