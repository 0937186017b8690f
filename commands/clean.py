"""``farm clean``."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated, Any

import typer

from commands.shared.options.common import JsonOption, StoreOption
from commands.shared.output import print_tables
from farm.errors import OptionError
from farm.units import parse_seconds


def clean(
    *,
    cache: Annotated[
        bool, typer.Option("--cache", help="Compiled artifacts, models and data, made anew.")
    ] = False,
    temporary: Annotated[
        bool, typer.Option("--temporary", help="What killed runs left, sessions of Ray included.")
    ] = False,
    runs: Annotated[
        bool, typer.Option("--runs", help="Old runs in the store, with all they measured.")
    ] = False,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Of runs: 30d, 12h.")
    ] = "30d",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show what takes room, ask, and remove it. Without a choice: all of it.

    What a living process uses stays. Runs that are running, folders of winners and environments
    always stay.

    Example: farm clean --runs --older-than 90d --dry-run
    """
    from db.records import utc_now
    from reports.clean import clean_json, clean_line, clean_table
    from reports.machines.environments import staying_lines
    from tuner.clean import Area, Cleaning
    from workers.environments.installed import states
    from workers.trials.stored.cache import default_folder
    from workers.trials.stored.keep import kept_size

    environments = [each for each in states({}) if each.installed]
    before = utc_now() - timedelta(seconds=parse_seconds(older_than))
    chosen = {Area.CACHE: cache, Area.TEMPORARY: temporary, Area.RUNS: runs}
    areas = frozenset(area for area, given in chosen.items() if given) or frozenset(Area)
    if not (yes or dry_run) and (json_output or not sys.stdin.isatty()):
        raise OptionError(
            "farm clean asks before it removes anything, and nobody can answer here; give --yes, "
            "or --dry-run to see what there is."
        )
    with _store(store, wanted=Area.RUNS in areas, write=not dry_run) as opened:
        cleaning = Cleaning(areas, default_folder(), opened, before)
        found = cleaning.found
        if not json_output:
            staying = staying_lines(environments, kept_size()) if len(areas) == len(Area) else []
            print_tables(clean_table(found), staying)
        removed = not dry_run and any(each.count for each in found)
        if removed and not yes:
            typer.confirm(f"{clean_line(found, removed=False)} Remove it?", abort=True)
        if removed:
            cleaning.clear(opened)
    if json_output:
        typer.echo(clean_json(found, environments, removed=removed))
    else:
        typer.echo(clean_line(found, removed=removed))


def _store(url: str | None, *, wanted: bool, write: bool) -> Any:
    """The store, for writing if need be; None where it is not wanted, or not there."""
    from contextlib import nullcontext

    from db.connection.address import parse_address
    from db.reader import StoreReader
    from db.store import Store

    path = parse_address(url).path
    if not wanted or (path is not None and not path.exists()):
        return nullcontext()
    return Store.open(url) if write else StoreReader.open(url)
