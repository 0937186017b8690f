"""``farm tune``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from commands import exit_codes
from commands.cluster import Cluster
from commands.options import (
    DataOption,
    JsonOption,
    MetricOption,
    ProfilesOption,
    ShapeOption,
    StoreOption,
    TokenOption,
    known_profiles,
    shape_sizes,
    split_names,
)
from commands.output import print_tables
from farm.device import DeviceProfile
from farm.errors import InfrastructureError, OptionError, StoreError
from farm.text import printable
from farm.units import parse_bytes, parse_joules, parse_seconds
from tuner.request import Constraints, Objective, TuneRequest


def tune(
    context: typer.Context,
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="ONNX file to tune.")
    ] = None,
    *,
    devices: Annotated[
        str, typer.Option("--devices", metavar="NAMES", help="Device profiles, with commas.")
    ] = "cpu",
    data: DataOption = None,
    shape: ShapeOption = None,
    metric: MetricOption = "",
    objective: Annotated[
        Objective, typer.Option(metavar="NAME", help="latency, memory or energy.")
    ] = Objective.LATENCY,
    budget: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Time per device, confirmation included: 90s, 2m. Starting comes on top.",
        ),
    ] = "2m",
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="At most so many candidates per device.")
    ] = None,
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Absolute, against the baseline. Default: 0.01 with labels or --metric, "
            "0.05 of agreement with the baseline without.",
        ),
    ] = None,
    allow_unjudged: Annotated[
        bool,
        typer.Option(
            "--allow-unjudged",
            help="Where accuracy cannot be judged, let candidates of another precision win, too.",
        ),
    ] = False,
    max_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Peak memory, for example 64MiB.")
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option(metavar="TIME", help="Latency, for example 5ms.")
    ] = None,
    max_energy: Annotated[
        str | None, typer.Option(metavar="ENERGY", help="Energy of one run, for example 2mJ.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of everything random.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the winners. Default: runs/RUN."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")
    ] = None,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Fail if a device is not there.")
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Without Ray: run the worker in this process.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST[:PORT]",
            help="Tune on the machines of this head: see `farm worker`. Their devices are "
            "tuned at the same time.",
        ),
    ] = None,
    token: TokenOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every failed trial.")
    ] = False,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find the fastest way to run MODEL on each device, confirm it, and write it to a folder.

    Example: farm tune model.onnx --data samples.npz --devices cpu --budget 2m
    """
    from db.reader import StoreReader
    from db.store import Store
    from reports import machine_readable, tables
    from reports.progress import TuneProgress
    from tuner.delivery.winners import check_output
    from tuner.runs.start import check_request, resume_run, start_run
    from tuner.tune import tune_run
    from workers.discovery import device_availability

    if address is not None and (local or profiles is not None):
        raise OptionError("--address takes devices of other machines: no --local, no --profiles.")
    cluster = (
        None
        if address is None
        else Cluster.at(address, token, () if resume is not None else split_names(devices))
    )
    known = known_profiles(profiles) if cluster is None else cluster.profiles
    found = device_availability if cluster is None else cluster.availability
    folder = str(output.absolute()) if output else ""
    earlier = None
    if resume is not None:
        resume = Path(resume).name  # winners lie in runs/RUN, which is easily given instead
        _refuse_with_resume(context)
        with StoreReader.open(store) as reader:
            earlier = resume_run(
                reader,
                resume,
                known,
                output=folder,
                require_all=require_all,
                availability=found,
            )
        checked = earlier.checked
    elif model is None:
        raise OptionError("Give the ONNX model to tune, or --resume RUN.")
    else:
        request = TuneRequest(
            model=str(model.absolute()),
            devices=split_names(devices),
            data=str(data.absolute()) if data else "",
            shapes=shape_sizes(shape),
            metric=metric,
            objective=objective,
            constraints=Constraints(
                max_accuracy_drop,
                None if max_memory is None else parse_bytes(max_memory),
                None if max_latency is None else parse_seconds(max_latency),
                None if max_energy is None else parse_joules(max_energy),
                allow_unjudged,
            ),
            budget_seconds=parse_seconds(budget),
            max_trials=_trial_count(trials),
            seed=seed,
            output=folder,
        )
        checked = check_request(request, known, require_all=require_all, availability=found)
    check_output(checked)
    console = Console(stderr=True)
    with Store.open(store) as opened, TuneProgress(console, verbose=verbose) as progress:
        run = earlier or start_run(opened, checked)
        console.print(f"Run [bold]{escape(printable(run.name))}[/]", highlight=False)
        # Ray reports the death of its own processes on standard output, which is for results.
        with _resumable(run.name), redirect_stdout(sys.stderr):
            make = _executors(console, cluster, local=local)
            result = tune_run(opened, run, make, progress)
    if json_output:
        typer.echo(machine_readable.tune_json(result))
    elif result.devices:
        print_tables(tables.run_table(result), tables.verdict_lines(result))
    if result.interrupted:
        told = (
            f"Interrupted; nothing measured is lost. Go on with: farm tune --resume {result.run}"
        )
        typer.echo(printable(told), err=True)
        raise typer.Exit(exit_codes.INTERRUPTED)
    if not result.any_tuned:
        raise typer.Exit(exit_codes.FAILED)


def _refuse_with_resume(context: typer.Context) -> None:
    """Raise OptionError for options that a run cannot change."""
    free = {"resume", "output", "require_all", "local", "address", "token", "verbose"}
    free |= {"profiles", "store"}
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if (
            source is not None
            and source.name == "COMMANDLINE"
            and name not in free | {"json_output"}
        ):
            shown = "MODEL" if name == "model" else parameter.opts[0]
            raise OptionError(
                f"{shown} cannot be given with --resume: a run keeps what it was started with."
            )


@contextmanager
def _resumable(run: str) -> Iterator[None]:
    """Say how to go on where the store or the machinery gives up in the middle of a run."""
    try:
        yield
    except (StoreError, InfrastructureError) as error:
        raise StoreError(f"{error} Then go on with: farm tune --resume {run}") from error


def _trial_count(trials: int | None) -> int:
    if trials is None:
        return 0
    if trials < 1:
        raise OptionError(f"--trials must be 1 or more, got {trials}.")
    return trials


def _executors(
    console: Console, cluster: Cluster | None, *, local: bool
) -> Callable[[Sequence[DeviceProfile]], AbstractContextManager[Any]]:
    """How executors are made; Ray is imported only where it is used."""
    from workers.trials.cache import default_folder

    def say(sentence: str) -> None:
        console.print(escape(printable(sentence)), highlight=False, soft_wrap=True)

    def make(profiles: Sequence[DeviceProfile]) -> AbstractContextManager[Any]:
        if cluster is not None:
            return cluster.executor(profiles, say)
        if local:
            from workers.executor import LocalExecutor

            return LocalExecutor(profiles, default_folder())
        from workers.cluster.pool import RayExecutor

        return RayExecutor(profiles, default_folder())

    return make
