"""``farm store``."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.shared.options.common import JsonOption, StoreOption, devices_option
from commands.shared.output import print_lines
from commands.shared.shell import completion, exit_codes
from commands.shared.shell.help import App
from commands.store.options import ModelOption, known_subject, subject_of
from farm.errors import OptionError
from farm.units import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

store_app = App(no_args_is_help=True, help="Care of the store: copies, merging, room, health.")


@store_app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy is written.")],
    *,
    store: StoreOption = None,
) -> None:
    """Copy the whole store into an SQLite file, while others work with it.

    The copy is checked, and is a store itself. It is there when it is whole, or not at all.

    Example: farm store backup farm-2026-12.db
    """
    from db.care.copies import backup as copy

    with _progress("copied") as progress:
        copy(store, file, progress)
    print_lines([f"Copied to {file} ({_size(file)})."])


@store_app.command()
def check(*, json_output: JsonOption = False, store: StoreOption = None) -> None:
    """Say whether the store is whole: the file, and what points to what. Exit code 1 if not.

    Example: farm store check
    """
    from db.care.check import check_at
    from db.connection.address import parse_address
    from reports.store_care import check_json, check_lines

    found, place = check_at(store), str(parse_address(store))
    if json_output:
        typer.echo(check_json(place, found))
    else:
        print_lines(check_lines(place, found))
    if any(each.damage for each in found):
        raise typer.Exit(exit_codes.FAILED)


@store_app.command()
def prune(
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Of runs that ended: 90d, 12h.")
    ] = "90d",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = None,
) -> None:
    """Remove raw samples and blocks of old runs. Their results stay, with their intervals.

    Races of such a run cannot be computed again from its samples. Whole runs are removed by
    farm clean --runs.

    Example: farm store prune --older-than 180d --dry-run
    """
    from db.care.prune import prunable
    from db.care.prune import prune as remove
    from db.reader import StoreReader
    from db.records import utc_now
    from db.store import Store
    from reports.store_care import prune_line
    from tuner.runs.lease import is_gone

    before = utc_now() - timedelta(seconds=parse_seconds(older_than))
    if not (yes or dry_run or sys.stdin.isatty()):
        raise OptionError(
            "farm store prune asks before it removes anything, and nobody can answer here; give "
            "--yes, or --dry-run to see what there is."
        )
    with StoreReader.open(store) if dry_run else Store.open(store) as opened:
        found = prunable(opened, before, is_gone)
        if found.runs and isinstance(opened, Store) and not dry_run:
            if not yes:
                typer.confirm(f"{prune_line(found, removed=False)} Remove them?", abort=True)
            remove(opened, found, before, is_gone)
            print_lines([prune_line(found, removed=True)])
        else:
            print_lines([prune_line(found, removed=False)])


@store_app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy is written.")],
    *,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Only this run. Repeatable.",
            autocompletion=completion.run_name,
        ),
    ] = None,
    model: ModelOption = None,
    devices: Annotated[
        list[str] | None,
        devices_option("Only runs on one of these devices, with all their devices."),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Copy whole runs, with all that belongs to them, into a file that is a store itself.

    Another farm takes it in with farm store import.

    Example: farm store export for-a-colleague.db --model resnet50
    """
    from db.care.copies import export as copy
    from db.reader import StoreReader
    from reports.store_care import merged_line

    chosen = None
    if run or model or devices:
        about = subject_of(model, devices)
        with StoreReader.open(store) as reader:
            names = known_subject(reader, about).devices
            called = {reader.run_called(name).name for name in run or ()}
            found = [r.name for r in reader.runs(model=model) if not called or r.name in called]
            chosen = frozenset(
                name
                for name in found
                if not names or any(reader.trials(run=name, device=d, limit=1) for d in names)
            )
        if not chosen:
            raise OptionError("No run is all that was asked for; `farm runs` lists what there is.")
    merged = copy(store, file, chosen)
    print_lines([merged_line(merged, str(file), f" ({_size(file)})")])


@store_app.command("import")
def import_(
    other: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="The store whose runs are taken in.")
    ],
    *,
    store: StoreOption = None,
) -> None:
    """Take in what another store has and this one has not, as a whole or not at all.

    Importing twice changes nothing the second time. The other store is not changed.

    Example: farm store import laptop.db
    """
    from db.care.copies import import_from
    from db.store import Store
    from reports.store_care import merged_line

    with Store.open(store) as opened:
        merged = import_from(other, opened)
        print_lines([merged_line(merged, opened.place)])


@contextmanager
def _progress(word: str) -> Iterator[Callable[[float], Any]]:
    """Shows a share on a terminal's standard error, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(word, total=1.0)
        yield lambda share: shown.update(task, completed=share)


def _size(file: Path) -> str:
    from farm.units import Bytes, format_bytes

    return format_bytes(Bytes(file.stat().st_size))
