"""The ``farm`` command: parse, call one function, render.

Results go to standard output; progress and messages go to standard error. Every error that the
farm raises on purpose becomes one sentence and exit code 2.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from farm import __version__
from farm.device import DeviceProfile, load_profiles, select_profiles
from farm.errors import DeviceError, FarmError, InfrastructureError, OptionError, StoreError
from farm.measurement import Outcome
from farm.units import parse_bytes, parse_joules, parse_seconds
from tuner.request import Constraints, Objective, TuneRequest

app = typer.Typer(
    name="farm",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds the fastest way to run an ONNX model on each of your devices, and proves it.",
)
_LARGEST_SIZE = (1 << 31) - 1
EXIT_BAD_INPUT = 2
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PATH|URL",
        envvar="FARM_STORE",
        help="SQLite file or SQLAlchemy URL. Default: farm.db in the user's data folder.",
    ),
]
ProfilesOption = Annotated[
    Path | None,
    typer.Option("--profiles", metavar="DIR", help="Folder with further device profiles."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=SIZE", help="Size of a dynamic dimension. Repeatable."),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="ONNX file.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="NPZ",
        help="Samples named like the model's inputs, and `label` if there are labels.",
    ),
]
MetricOption = Annotated[
    str, typer.Option("--metric", metavar="MODULE:FUNCTION", help="Your own accuracy metric.")
]


@app.callback(invoke_without_command=True)
def _farm(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"farm {__version__}")
        raise typer.Exit


@app.command()
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
        float, typer.Option(metavar="X", help="Absolute, against the baseline.")
    ] = 0.01,
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

    known, folder = _known(profiles), str(output.absolute()) if output else ""
    earlier = None
    if resume is not None:
        resume = Path(resume).name  # winners lie in runs/RUN, which is easily given instead
        _refuse_with_resume(context)
        with StoreReader.open(store) as reader:
            earlier = resume_run(reader, resume, known, output=folder, require_all=require_all)
        checked = earlier.checked
    elif model is None:
        raise OptionError("Give the ONNX model to tune, or --resume RUN.")
    else:
        request = TuneRequest(
            model=str(model.absolute()),
            devices=_split(devices),
            data=str(data.absolute()) if data else "",
            shapes=_shapes(shape),
            metric=metric,
            objective=objective,
            constraints=Constraints(
                max_accuracy_drop,
                None if max_memory is None else parse_bytes(max_memory),
                None if max_latency is None else parse_seconds(max_latency),
                None if max_energy is None else parse_joules(max_energy),
            ),
            budget_seconds=parse_seconds(budget),
            max_trials=_trial_count(trials),
            seed=seed,
            output=folder,
        )
        checked = check_request(request, known, require_all=require_all)
    check_output(checked)
    console = Console(stderr=True)
    with Store.open(store) as opened, TuneProgress(console, verbose=verbose) as progress:
        run = earlier or start_run(opened, checked)
        console.print(f"Run [bold]{escape(run.name)}[/]", highlight=False)
        # Ray reports the death of its own processes on standard output, which is for results.
        with _resumable(run.name), redirect_stdout(sys.stderr):
            result = tune_run(opened, run, _executors(local=local), progress)
    if json_output:
        typer.echo(machine_readable.tune_json(result))
    elif result.devices:
        _print_tables(tables.run_table(result), tables.verdict_lines(result))
    if result.interrupted:
        typer.echo(
            f"Interrupted; nothing measured is lost. Go on with: farm tune --resume {result.run}",
            err=True,
        )
        raise typer.Exit(EXIT_INTERRUPTED)
    if not result.any_tuned:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def bench(
    model: Annotated[Path | None, typer.Argument(metavar="MODEL", help="ONNX file.")] = None,
    *,
    device: Annotated[str, typer.Option("--device", metavar="NAME")] = "cpu",
    candidate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Candidate as JSON. Default: the baseline.")
    ] = None,
    trial: Annotated[
        str | None, typer.Option(metavar="ID", help="Run a trial of the store again.")
    ] = None,
    data: DataOption = None,
    shape: ShapeOption = None,
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
            shapes=_shapes(shape),
            seed=seed,
        )
    (measured,) = _bench(store, request, device, profiles, chosen, recalled)
    if json_output:
        typer.echo(machine_readable.benchmark_json(measured))
    else:
        _print_tables(tables.benchmark_table(measured), [])


class _WithDefault(TyperGroup):
    """A group in which `build` is meant where no command is named: ``farm package MODEL``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `build` in front of arguments that are not the group's own."""
        own = {*self.commands, "-h", "--help"}
        return super().parse_args(ctx, args if not args or args[0] in own else ["build", *args])


package_app = typer.Typer(
    cls=_WithDefault,
    no_args_is_help=True,
    help="Make MODEL into a compiled package for one device, or verify a package.\n\n"
    "Example: farm package model.onnx --device dsp -o package --data samples.npz",
    subcommand_metavar="MODEL -o DIR [OPTIONS] | verify DIR",
)
app.add_typer(package_app, name="package")


@package_app.command("build")
def package_build(
    model: ModelArgument,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")
    ],
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="Device profile.")
    ] = "dsp",
    data: DataOption = None,
    metric: MetricOption = "",
    shape: ShapeOption = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="int8 or float32. Default: int8, or the integers of a quantised MODEL.",
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="min-max (default), entropy or percentile."),
    ] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(metavar="OPERATOR", help="Stays in float32. Repeatable."),
    ] = None,
    compiler: Annotated[
        str | None, typer.Option(metavar="NAME", help="zig, clang or gcc.")
    ] = None,
    name: Annotated[
        str,
        typer.Option(metavar="NAME", help="What its functions and macros begin with: NAME_run."),
    ] = "model",
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier package.")] = False,
    profiles: ProfilesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make MODEL into a compiled package for one device. The word `build` can be left out.

    Example: farm package model.onnx --device dsp -o package --data samples.npz
    """
    from farm.candidate import CalibrationMethod
    from farm.codegen.build.compilers import CompilerKind
    from reports import tables
    from tuner.package import PackagePrecision, PackageRequest, make_package

    (profile,) = select_profiles((device,), _known(profiles))
    request = PackageRequest(
        model=model.absolute(),
        output=output.absolute(),
        data=data.absolute() if data else None,
        metric=metric,
        shapes=_shapes(shape),
        precision=_one_of(PackagePrecision, precision, "--precision"),
        calibration=_one_of(CalibrationMethod, calibration, "--calibration"),
        keep_float=tuple(keep_float or ()),
        compiler=_one_of(CompilerKind, compiler, "--compiler"),
        name=name,
        force=force,
    )
    manifest = make_package(request, profile)
    if json_output:
        typer.echo(manifest.to_json(), nl=False)
    else:
        _print_tables(tables.package_table(manifest), [f"The package lies in {output}."])


@package_app.command("verify")
def package_verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a package.")],
    *,
    json_output: JsonOption = False,
) -> None:
    """Build a package anew: what it ships must be the same, and every test vector's answer.

    Example: farm package verify package
    """
    from reports import machine_readable, tables
    from tuner.delivery.verify import verify_package

    verified = verify_package(folder)
    if json_output:
        typer.echo(machine_readable.verified_json(verified))
    else:
        typer.echo("\n".join(tables.verified_lines(verified)))
    if not verified.agrees:
        raise typer.Exit(EXIT_FAILED)


plan_app = typer.Typer(no_args_is_help=True, help="Plan the memory of a model.")
app.add_typer(plan_app, name="plan")


@plan_app.command("memory")
def plan_memory(
    problem: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|PROBLEM.csv",
            help="ONNX file, whose float32 tensors are placed; or columns id,lower,upper,size.",
        ),
    ],
    *,
    capacity: Annotated[
        str | None, typer.Option(metavar="BYTES", help="Most that may be used, as 64KiB.")
    ] = None,
    alignment: Annotated[
        str, typer.Option(metavar="BYTES", help="Buffers begin at multiples of it.")
    ] = "1",
    mode: Annotated[
        str, typer.Option(metavar="NAME", help="arena: one block. portions: few, shared in turn.")
    ] = "arena",
    seconds: Annotated[str, typer.Option("--time", metavar="TIME", help="At most.")] = "60s",
    shape: ShapeOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CSV", help="Solution to write.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="SVG", help="Picture of the memory over time.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Find where each buffer of a model or problem lies, in as little memory as possible.

    Example: farm plan memory problem.csv --capacity 1MiB -o solution.csv --figure plan.svg
    """
    from reports import machine_readable, tables
    from tuner.plan import PlanMode, PlanRequest, plan

    _check_plan_files(problem, output, figure)
    planned = plan(
        PlanRequest(
            problem,
            None if capacity is None else parse_bytes(capacity),
            parse_bytes(alignment),
            _one_of(PlanMode, mode, "--mode") or PlanMode.ARENA,
            parse_seconds(seconds),
            _shapes(shape),
        )
    )
    if planned.fits:
        _write_plan(planned, output, figure)
    if json_output:
        typer.echo(machine_readable.plan_json(planned))
    else:
        typer.echo("\n".join(tables.plan_lines(planned)))
    if not planned.fits:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="Trial id, or its beginning.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Trial id, or its beginning.")],
    *,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure both again, side by side.")
    ] = False,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Compare two trials by the blocks in which they ran side by side.

    Example: farm compare 3fa9 b71c
    """
    from db.reader import StoreReader
    from reports import machine_readable, tables
    from tuner.bench import compare_measured, compare_recorded, recall

    with StoreReader.open(store) as reader:
        pair = (recall(reader, first), recall(reader, second))
        found = None if measure else compare_recorded(reader, pair[0].trial, pair[1].trial)
    labels = (pair[0].candidate.label(), pair[1].candidate.label())
    if found is None:
        if pair[0].request.model != pair[1].request.model or (
            pair[0].trial.device != pair[1].trial.device
        ):
            raise OptionError("Only trials of one model on one device can be compared.")
        if pair[0].candidate == pair[1].candidate:
            raise OptionError("Both trials have the same candidate: there is nothing to compare.")
        device, request = pair[0].trial.device, pair[0].request
        candidates = [pair[0].candidate, pair[1].candidate]
        found = compare_measured(*_bench(store, request, device, profiles, candidates, pair[0]))
    if json_output:
        typer.echo(machine_readable.comparison_json(found, labels))
    else:
        typer.echo(tables.comparison_text(found, labels))


@app.command()
def results(
    *,
    model: Annotated[str | None, typer.Option(metavar="NAME|SHA", help="Only this model.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Only this device.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only this run.")] = None,
    outcome: Annotated[
        Outcome | None, typer.Option(metavar="OUTCOME", help="Only trials that ended so.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many rows.")] = 50,
    output_format: Annotated[
        Format, typer.Option("--format", help="How rows are written.")
    ] = Format.TABLE,
    store: StoreOption = None,
) -> None:
    """Show trials of the store, newest first.

    Example: farm results --device cpu --outcome ok --format csv
    """
    from db.queries import results as find
    from db.reader import StoreReader
    from reports import machine_readable, tables

    with StoreReader.open(store) as reader:
        if run is not None:
            reader.run(run)  # a name that does not exist is no empty answer
        rows = find(reader, model=model, device=device, run=run, outcome=outcome, limit=limit)
        candidates = {r.candidate_id: reader.candidate(r.candidate_id).json for r in rows}
    if output_format is Format.TABLE:
        _print_tables(tables.results_table(rows), [] if rows else ["No trial fits."])
        return
    columns, cells = machine_readable.result_rows(rows, candidates)
    _print_rows(columns, cells, output_format)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT statement.")],
    *,
    output_format: Annotated[
        Format, typer.Option("--format", help="How rows are written.")
    ] = Format.TABLE,
    store: StoreOption = None,
) -> None:
    """Ask the store anything; the connection cannot write.

    Example: farm query "SELECT outcome, count(*) FROM trial GROUP BY outcome"
    """
    from db.queries import query as ask

    columns, rows = ask(store, sql)
    _print_rows(columns, rows, output_format)


@app.command()
def devices(*, profiles: ProfilesOption = None, json_output: JsonOption = False) -> None:
    """List the device profiles, and whether their devices are there.

    Example: farm devices --json
    """
    from reports import machine_readable, tables
    from workers.discovery import device_availability, usable_engines

    shown = [p for p in _known(profiles).values() if not p.is_fake]
    rows = [(p, device_availability(p), usable_engines(p)) for p in shown]
    if json_output:
        typer.echo(machine_readable.devices_json(rows))
    else:
        _print_tables(tables.devices_table(rows), [])


@app.command()
def doctor(*, profiles: ProfilesOption = None, store: StoreOption = None) -> None:
    """Show what is installed, what each device lacks, and how quiet the machine is.

    Example: farm doctor
    """
    from reports import tables
    from reports.doctor import diagnose

    findings = diagnose(_known(profiles), store)
    _print_tables(tables.findings_table(findings), [])
    if any(finding.fatal for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def _bench(
    store: str | None,
    request: TuneRequest,
    device: str,
    folder: Path | None,
    candidates: Sequence[Any],
    recalled: Any = None,
) -> tuple[Any, ...]:
    """Measure candidates side by side in a new run. recalled: a trial that is run again."""
    from dataclasses import replace

    from db.records import RunKind
    from db.store import Store
    from reports.progress import TuneProgress
    from tuner.bench import bench as measure
    from tuner.bench import check_device
    from tuner.runs.start import check_model, check_request, start_run
    from workers.executor import LocalExecutor
    from workers.trials.cache import default_folder

    known = _known(folder)
    (profile,) = select_profiles((device,), known)
    check_device(profile, candidates)
    checked = check_request(replace(request, devices=(device,)), known)
    if recalled is not None:
        what = f"Trial {recalled.trial.id} cannot be run again"
        check_model(checked, recalled.model_sha256, what)
    with (
        Store.open(store) as opened,
        TuneProgress(Console(stderr=True)) as progress,
        LocalExecutor([profile], default_folder()) as executor,
    ):
        run = start_run(opened, checked, RunKind.BENCH)
        return measure(opened, executor, run, profile, candidates, progress)


def _check_plan_files(problem: Path, output: Path | None, figure: Path | None) -> None:
    """Find before anything is planned what could not be written. Raises OptionError."""
    taken = {os.path.realpath(problem): "the problem"}
    for option, path in (("--output", output), ("--figure", figure)):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise OptionError(f"{option} {path} cannot be written: {path.parent} is no folder.")
        if not os.access(path.parent, os.W_OK):
            raise OptionError(f"{option} {path} cannot be written: {path.parent} is not writable.")
        if path.exists() and not path.is_file():
            raise OptionError(f"{option} {path} is no file that can be replaced; give another.")
        place = os.path.realpath(path)
        if place in taken:
            raise OptionError(f"{option} {path} is {taken[place]} as well; give another.")
        taken[place] = option


def _write_plan(planned: Any, output: Path | None, figure: Path | None) -> None:
    from farm.delivery import write_file
    from farm.plan.memory.csv_files import solution_csv
    from reports.figures import arena_svg

    files = {}
    if output is not None:
        files[output] = solution_csv(planned.problem, planned.solution.offsets)
    if figure is not None:
        files[figure] = arena_svg(planned.problem, planned.solution)
    for path, text in files.items():
        try:
            write_file(path, text.encode())
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error.strerror}.") from error


def _print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[object]], output_format: Format
) -> None:
    from reports import machine_readable, tables

    if output_format is Format.JSON:
        typer.echo(machine_readable.rows_json(columns, rows))
    elif output_format is Format.CSV:
        typer.echo(machine_readable.rows_csv(columns, rows), nl=False)
    else:
        _print_tables(tables.rows_table(columns, rows), [])


def _known(folder: Path | None) -> dict[str, DeviceProfile]:
    """All device profiles by name. Raises DeviceError."""
    if folder is not None and not folder.is_dir():
        raise DeviceError(f"There is no folder {folder} with device profiles.")
    return load_profiles(folder)


_E = TypeVar("_E", bound=StrEnum)


def _one_of(kind: type[_E], name: str | None, option: str) -> _E | None:
    """The choice of this name, None for none. Raises OptionError, which offers the choices."""
    if name is None:
        return None
    try:
        return kind(name)
    except ValueError:
        choices = ", ".join(str(choice) for choice in kind)
        raise OptionError(f"{option} takes one of {choices}, got '{name}'.") from None


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _refuse_with_resume(context: typer.Context) -> None:
    """Raise OptionError for options that a run cannot change."""
    free = {"resume", "output", "require_all", "local", "verbose", "profiles", "store"}
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


def _shapes(options: Sequence[str] | None) -> dict[str, int]:
    """``NAME=SIZE`` options as a mapping. Raises OptionError."""
    shapes: dict[str, int] = {}
    for option in options or ():
        name, _, size = option.rpartition("=")
        if not (name and size.isdecimal() and 1 <= int(size) <= _LARGEST_SIZE):
            raise OptionError(
                f"--shape takes NAME=SIZE with a size from 1 to {_LARGEST_SIZE}, for example "
                f"--shape batch=1, got '{option}'."
            )
        shapes[name] = int(size)
    return shapes


def _trial_count(trials: int | None) -> int:
    if trials is None:
        return 0
    if trials < 1:
        raise OptionError(f"--trials must be 1 or more, got {trials}.")
    return trials


def _executors(*, local: bool) -> Callable[[Sequence[DeviceProfile]], AbstractContextManager[Any]]:
    """How executors are made; Ray is imported only where it is used."""
    from workers.trials.cache import default_folder

    def make(profiles: Sequence[DeviceProfile]) -> AbstractContextManager[Any]:
        if local:
            from workers.executor import LocalExecutor

            return LocalExecutor(profiles, default_folder())
        from workers.cluster.pool import RayExecutor

        return RayExecutor(profiles, default_folder())

    return make


def _print_tables(table: Any, lines: Sequence[str]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn handled errors into a sentence on standard error and exit code 2."""
    try:
        yield
    except FarmError as error:
        message = str(error)
    except OSError as error:
        what = f" ({error.filename})" if error.filename else ""
        message = f"{error.strerror or error}{what}."
    except MemoryError as error:
        message = f"The memory does not suffice: {error}."
    else:
        return
    typer.echo(f"farm: {' '.join(message.split())}", err=True)
    sys.exit(EXIT_BAD_INPUT)


def main() -> None:
    """Entry point of the console script. Being asked to end is the same as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _one_sentence():
        app(prog_name="farm")


if __name__ == "__main__":
    main()
