"""``farm tune``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from commands.shared import completion, exit_codes
from commands.shared.cluster import Cluster
from commands.shared.help import Panel
from commands.shared.limits import (
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
from commands.shared.measuring import look_for_room
from commands.shared.options import (
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
    device_names,
    devices_option,
    known_profiles,
    shape_sizes,
    thread_limit,
)
from commands.shared.output import print_tables
from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError, InfrastructureError, LeaseLost, OptionError, StoreError
from farm.text import printable
from farm.units import parse_seconds
from tuner.request import Objective, TuneRequest

if TYPE_CHECKING:
    from db.reader import StoreReader
    from tuner.results import TuneResult


def tune(
    context: typer.Context,
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="ONNX file to tune.")
    ] = None,
    *,
    devices: Annotated[
        list[str] | None,
        devices_option("Device profiles, with commas or repeated. Default: cpu."),
    ] = None,
    data: DataOption = None,
    shape: ShapeOption = None,
    metric: MetricOption = "",
    objective: Annotated[
        Objective,
        typer.Option(
            metavar="NAME",
            help="What wins: the least latency, p99 (of latency), memory, energy, cpu (processor "
            "time) or load (to the first outputs), or the largest throughput of several callers.",
            rich_help_panel=Panel.SEARCH,
        ),
    ] = Objective.LATENCY,
    budget: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Time per device, confirmation included: 90s, 2m. Starting comes on top. "
            "With --resume: +30s adds time, also to a finished run.",
            rich_help_panel=Panel.SEARCH,
        ),
    ] = "2m",
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="At most so many candidates per device.",
            rich_help_panel=Panel.SEARCH,
        ),
    ] = None,
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
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the winners. Default: runs/RUN."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace winners of other models in --output, too.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with a run, or deliver a finished one again.",
            autocompletion=completion.tune_name,
            rich_help_panel=Panel.SUBJECT,
        ),
    ] = None,
    require_all: Annotated[
        bool,
        typer.Option(
            "--require-all", help="Fail if a device is not there.", rich_help_panel=Panel.PLACE
        ),
    ] = False,
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="Without Ray: run the worker in this process.",
            rich_help_panel=Panel.PLACE,
        ),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST[:PORT]",
            help="Tune on the machines of this head: see `farm worker`. Their devices are "
            "tuned at the same time.",
            rich_help_panel=Panel.PLACE,
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
    look_for_room(model)
    import workers.cluster  # noqa: F401  (sets what Ray reads, before a user's metric imports it)
    from db.reader import StoreReader
    from db.store import Store
    from reports.progress import TuneProgress
    from tuner.delivery.place import check_output
    from tuner.runs.start import check_request, resume_run, start_run
    from tuner.tune import tune_run
    from workers.discovery import device_availability

    if address is not None and (local or profiles is not None):
        raise OptionError("--address takes devices of other machines: no --local, no --profiles.")
    cluster = None if address is None else Cluster.at(address, token)
    known = known_profiles(profiles) if cluster is None else cluster.profiles
    found = device_availability if cluster is None else cluster.availability
    folder = str(output.absolute()) if output else ""
    earlier = None
    if resume is not None:
        resume = Path(resume).name  # winners lie in runs/RUN, which is easily given instead
        _refuse_with_resume(context)
        more = _more_seconds(budget) if _is_given(context, "budget") else 0.0
        with StoreReader.open(store) as reader:
            _check_devices(reader, resume, known, cluster)
            earlier = resume_run(
                reader,
                resume,
                known,
                output=folder,
                require_all=require_all,
                more_seconds=more,
                availability=found,
            )
        checked = earlier.checked
    elif model is None:
        raise OptionError("Give the ONNX model to tune, or --resume RUN.")
    else:
        request = TuneRequest(
            model=str(model.absolute()),
            devices=_device_names(devices, cluster),
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
            budget_seconds=_budget_seconds(budget),
            max_trials=_trial_count(trials),
            seed=seed,
            output=folder,
            threads=thread_limit(threads),
            max_batch=max_batch,
        )
        checked = check_request(request, known, require_all=require_all, availability=found)
    check_output(checked, earlier.name if earlier else "", force=force)
    console = Console(stderr=True)
    executors = _executors(console, cluster, local=local)
    with Store.open(store) as opened, TuneProgress(console, verbose=verbose) as progress:
        run = earlier or start_run(opened, checked)
        console.print(f"Run [bold]{escape(printable(run.name))}[/]", highlight=False)
        # Ray reports the death of its own processes on standard output, which is for results.
        with _resumable(_options_to_resume(run.name, cluster, token)), redirect_stdout(sys.stderr):
            result = tune_run(opened, run, executors, progress)
    _show(result, _options_to_resume(run.name, cluster, token), as_json=json_output)


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


def _options_to_resume(run: str, cluster: Cluster | None, token: Path | None) -> str:
    return run if cluster is None else f"{run}{cluster.options(token)}"


def _device_names(devices: list[str] | None, cluster: Cluster | None) -> tuple[str, ...]:
    """What --devices names. Raises DeviceError when no machine of a cluster offers it."""
    names = device_names(devices, "cpu")
    if cluster is not None:
        cluster.require(names)
    return names


def _check_devices(
    reader: StoreReader, run: str, known: Mapping[str, DeviceProfile], cluster: Cluster | None
) -> None:
    """Raise DeviceError when a run is about a device that is not known where it is to go on."""
    devices = TuneRequest.from_json(reader.run(run).request).devices
    if cluster is not None:
        cluster.require(devices)
    elif missing := [name for name in devices if name not in known]:
        raise DeviceError(
            f"Run {run} is about device '{missing[0]}', which no profile here has: if another "
            "machine offers it, give --address; if it is from a file, give --profiles."
        )


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


def _more_seconds(budget: str) -> float:
    """``+30s``, as a run that is there takes it. Raises OptionError."""
    if not budget.startswith("+"):
        raise OptionError(
            "--budget cannot be given with --resume: a run keeps what it was started with. To "
            f"give it more time per device, write --budget +{budget}."
        )
    seconds = parse_seconds(budget.removeprefix("+"))
    if seconds <= 0:
        raise OptionError(f"--budget {budget} adds no time; write for example --budget +30s.")
    return seconds


def _budget_seconds(budget: str) -> float:
    """``30s``, as a new run takes it. Raises OptionError."""
    if budget.startswith("+"):
        raise OptionError(
            f"--budget {budget} adds time to a run that is there: name it with --resume RUN, or "
            f"write --budget {budget.removeprefix('+')} for a new one."
        )
    return parse_seconds(budget)


@contextmanager
def _resumable(run: str) -> Iterator[None]:
    """Say how to go on where the store or the machinery gives up in the middle of a run."""
    try:
        yield
    except LeaseLost:
        raise  # another process goes on with it
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
    from farm.host.folders import give_home
    from workers.trials.cache import default_folder

    cache = default_folder()  # may be unknown, which is said before anything starts

    def say(sentence: str) -> None:
        console.print(escape(printable(sentence)), highlight=False, soft_wrap=True)

    def make(profiles: Sequence[DeviceProfile]) -> AbstractContextManager[Any]:
        if cluster is not None:
            return cluster.executor(profiles, say)
        if local:
            from workers.executor import LocalExecutor

            return LocalExecutor(profiles, cache)
        from workers.cluster.pool import RayExecutor

        give_home(cache.parent)
        return RayExecutor(profiles, cache)

    return make
