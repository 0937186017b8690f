"""``farm tune``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from commands.shared.measuring import look_for_room
from commands.shared.options.common import (
    DataOption,
    JsonOption,
    MaxBatchOption,
    MetricOption,
    ProfilesOption,
    SeedOption,
    ShapeOption,
    StoreOption,
    ThreadsOption,
    TokenOption,
    shape_sizes,
    thread_limit,
)
from commands.shared.options.limits import (
    AllowUnjudgedOption,
    MaxAccuracyDropOption,
    MaxCpuOption,
    MaxEnergyOption,
    MaxLatencyOption,
    MaxLoadOption,
    MaxMemoryOption,
    MaxP99Option,
    MinThroughputOption,
    constraints,
)
from commands.shared.options.place import Place
from commands.shared.options.searching import (
    AddressOption,
    BudgetOption,
    ColdOption,
    DevicesOption,
    ForceOption,
    LocalOption,
    ObjectiveOption,
    OutputOption,
    RequireAllOption,
    ResumeOption,
    TrialsOption,
    VerboseOption,
    budget_seconds,
    more_seconds,
    trial_count,
)
from commands.shared.output import print_tables
from commands.shared.shell import exit_codes
from farm.errors import InfrastructureError, LeaseLost, OptionError, StoreError
from farm.text import printable
from tuner.goals import Objective

if TYPE_CHECKING:
    from tuner.request import TuneRequest
    from tuner.results import TuneResult
    from tuner.runs.start import Checked, OpenRun


def tune(
    context: typer.Context,
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="ONNX file to tune.")
    ] = None,
    *,
    devices: DevicesOption = None,
    data: DataOption = None,
    shape: ShapeOption = None,
    metric: MetricOption = "",
    objective: ObjectiveOption = Objective.LATENCY,
    budget: BudgetOption = "2m",
    trials: TrialsOption = None,
    max_batch: MaxBatchOption = 1,
    threads: ThreadsOption = None,
    max_accuracy_drop: MaxAccuracyDropOption = None,
    allow_unjudged: AllowUnjudgedOption = False,
    max_memory: MaxMemoryOption = None,
    max_latency: MaxLatencyOption = None,
    max_energy: MaxEnergyOption = None,
    max_p99: MaxP99Option = None,
    max_load: MaxLoadOption = None,
    max_cpu: MaxCpuOption = None,
    min_throughput: MinThroughputOption = None,
    seed: SeedOption = 0,
    cold: ColdOption = False,
    output: OutputOption = None,
    force: ForceOption = False,
    resume: ResumeOption = None,
    require_all: RequireAllOption = False,
    local: LocalOption = False,
    address: AddressOption = None,
    token: TokenOption = None,
    verbose: VerboseOption = False,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find the fastest way to run MODEL on each device, confirm it, and write it to a folder.

    Example: farm tune model.onnx --data samples.npz --devices cpu --budget 2m
    """
    look_for_room(model)
    import workers.cluster  # noqa: F401  (sets what Ray reads, before a user's metric imports it)
    from tuner.request import TuneRequest

    place = Place.of(address, token, profiles, local=local)
    folder = str(output.absolute()) if output else ""
    earlier = None
    if resume is not None:
        _refuse_with_resume(context)
        name = Path(resume).name  # winners lie in runs/RUN, which is easily given instead
        more = more_seconds(budget) if _is_given(context, "budget") else 0.0
        earlier = _resumed(store, name, place, folder, more, require_all=require_all)
        checked = earlier.checked
    elif model is None:
        raise OptionError("Give the ONNX model to tune, or --resume RUN.")
    else:
        request = TuneRequest(
            model=str(model.absolute()),
            devices=place.devices(devices),
            data=str(data.absolute()) if data else "",
            shapes=shape_sizes(shape),
            metric=metric,
            objective=objective,
            constraints=constraints(
                max_accuracy_drop,
                allow_unjudged=allow_unjudged,
                max_memory=max_memory,
                max_latency=max_latency,
                max_energy=max_energy,
                max_cpu=max_cpu,
                min_throughput=min_throughput,
                max_p99=max_p99,
                max_load=max_load,
            ),
            budget_seconds=budget_seconds(budget),
            max_trials=trial_count(trials),
            seed=seed,
            output=folder,
            threads=thread_limit(threads),
            max_batch=max_batch,
            cold=cold,
        )
        checked = _checked(request, place, require_all=require_all)
    _run(store, checked, earlier, place, force=force, verbose=verbose, as_json=json_output)


def _checked(request: TuneRequest, place: Place, *, require_all: bool) -> Checked:
    """A request that can be run. Raises InputError."""
    from tuner.runs.start import check_request

    return check_request(
        request, place.profiles, require_all=require_all, availability=place.availability
    )


def _resumed(
    store: str | None, name: str, place: Place, folder: str, more: float, *, require_all: bool
) -> OpenRun:
    """An earlier run, which goes on. Raises NotInStore, InputError.

    folder: for the winners, "" for the run's own. more: seconds per device.
    """
    from db.reader import StoreReader
    from db.records import RunKind
    from tuner.request import TuneRequest
    from tuner.runs.start import resume_run

    with StoreReader.open(store) as reader:
        run = reader.run_called(name, RunKind.TUNE)
        place.require(run.name, TuneRequest.from_json(run.request).devices)
        return resume_run(
            reader,
            run.name,
            place.profiles,
            output=folder,
            require_all=require_all,
            more_seconds=more,
            availability=place.availability,
        )


def _run(
    store: str | None,
    checked: Checked,
    earlier: OpenRun | None,
    place: Place,
    *,
    force: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run what was checked, or go on with an earlier run, and show what came of it."""
    from db.store import Store
    from reports.progress import TuneProgress
    from tuner.delivery.place import check_output
    from tuner.runs.start import start_run
    from tuner.tune import tune_run

    check_output(checked, earlier.name if earlier else "", force=force)
    console = Console(stderr=True)
    executors = place.executors(console)
    with Store.open(store) as opened, TuneProgress(console, verbose=verbose) as progress:
        run = earlier or start_run(opened, checked)
        to_resume = place.to_resume(run.name)
        console.print(f"Run [bold]{escape(printable(run.name))}[/]", highlight=False)
        # Ray reports the death of its own processes on standard output, which is for results.
        with _resumable(to_resume), redirect_stdout(sys.stderr):
            result = tune_run(opened, run, executors, progress)
    _show(result, to_resume, as_json=as_json)


def _show(result: TuneResult, to_resume: str, *, as_json: bool) -> None:
    """Write the result to standard output, and end as it says. Raises Exit."""
    from reports import machine_readable
    from reports.tables.run import run_table, verdict_lines

    if as_json:
        typer.echo(machine_readable.tune_json(result))
    elif result.devices:
        print_tables(run_table(result), verdict_lines(result))
    if result.interrupted:
        told = f"Interrupted; nothing measured is lost. Go on with: farm tune --resume {to_resume}"
        typer.echo(printable(told), err=True)
        raise typer.Exit(exit_codes.INTERRUPTED)
    if not result.any_tuned:
        raise typer.Exit(exit_codes.FAILED)


def _refuse_with_resume(context: typer.Context) -> None:
    """Raise OptionError for options that a run cannot change."""
    free = {"resume", "output", "force", "require_all", "local", "address", "token", "verbose"}
    free |= {"profiles", "store"}
    for parameter in context.command.params:
        name = parameter.name or ""
        if _is_given(context, name) and name not in free | {"json_output", "budget"}:
            shown = "MODEL" if name == "model" else parameter.opts[0]
            raise OptionError(
                f"{shown} cannot be given with --resume: a run keeps what it was started with."
            )


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def _resumable(run: str) -> Iterator[None]:
    """Say how to go on where the store or the machinery gives up in the middle of a run."""
    try:
        yield
    except LeaseLost:
        raise  # another process goes on with it
    except (StoreError, InfrastructureError) as error:
        raise StoreError(f"{error} Then go on with: farm tune --resume {run}") from error
