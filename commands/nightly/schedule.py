"""``farm nightly schedule``."""

from __future__ import annotations

import os
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.nightly.options import SuiteArgument
from commands.shared.options.common import ProfilesOption, StoreOption, known_profiles
from farm.errors import OptionError

_FOLDERS = ("XDG_DATA_HOME", "XDG_CACHE_HOME")  # where a store and what is installed are found


class _Form(StrEnum):
    """What a night can be started by."""

    CRON = "--cron"
    SYSTEMD = "--systemd"
    GITHUB = "--github"


def schedule(
    suite: SuiteArgument,
    *,
    cron: Annotated[bool, typer.Option("--cron", help="Print a line of a crontab.")] = False,
    systemd: Annotated[
        bool, typer.Option("--systemd", help="Print a service and a timer of systemd.")
    ] = False,
    github: Annotated[
        bool, typer.Option("--github", help="Print a workflow of GitHub Actions.")
    ] = False,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
) -> None:
    """Print what runs a suite when its schedule says so.

    Example: farm nightly schedule suite.toml --systemd
    """
    form = _chosen({_Form.CRON: cron, _Form.SYSTEMD: systemd, _Form.GITHUB: github})
    known_profiles(profiles)  # says that there is no such folder
    invocation = _invocation(suite, profiles)
    typer.echo(_text(form, invocation, store), nl=False)


def _chosen(given: dict[_Form, bool]) -> _Form:
    """The one form that was asked for. Raises OptionError."""
    chosen = [form for form, is_given in given.items() if is_given]
    if len(chosen) != 1:
        raise OptionError(
            f"Give one of {', '.join(_Form)}: it says what the suite is to be started by."
        )
    return chosen[0]


def _invocation(path: Path, profiles: Path | None) -> Any:
    """What a night is begun with, but for the store. Raises OptionError, DeviceError."""
    from reports.nightly.timers.invocation import Invocation
    from tuner.nightly.suites.file import read_suite
    from tuner.nightly.suites.schedule import EXAMPLE, parse_schedule

    suite = read_suite(path, profiles)
    if not suite.schedule:
        raise OptionError(
            f'Suite {path} has no schedule: write for example schedule = "{EXAMPLE}" into it.'
        )
    if not str(suite.path).isprintable():
        raise OptionError(
            f"Suite {path}: its path has characters that cannot be seen, which no crontab and no "
            "unit can name; rename it."
        )
    return Invocation(
        suite,
        parse_schedule(suite.schedule),
        _farm(),
        profiles=str(profiles.absolute()) if profiles else "",
        variables={name: os.environ[name] for name in _FOLDERS if os.environ.get(name)},
    )


def _text(form: _Form, invocation: Any, store: str | None) -> str:
    from dataclasses import replace

    from reports.nightly.timers.crontab import crontab
    from reports.nightly.timers.github import workflow
    from reports.nightly.timers.systemd import systemd as units

    place, has_password = _store(store)
    kept = replace(invocation, store=place)
    if form is _Form.GITHUB:
        from farm.host.time_zone import zone_name

        root = _repository(invocation.suite.path)
        return workflow(kept, root=root, zone=zone_name(), secret=has_password)
    if has_password:
        raise OptionError(
            "--store has a password in it, which others could read there: leave it out of the "
            "URL and write it into ~/.pgpass."
        )
    return crontab(kept) if form is _Form.CRON else units(kept)


def _store(store: str | None) -> tuple[str, bool]:
    """The store as an option has it from any folder, and whether there is a password in it."""
    if store is None:
        return "", False
    from db.connection.address import parse_address

    address = parse_address(store)
    secret = address.url.password is not None or "password" in address.url.query
    plain = address.path is not None and not address.url.query
    return (str(address.path.absolute()) if address.path and plain else store), secret


def _farm() -> tuple[str, ...]:
    """The command that runs now, by an absolute path."""
    beside = Path(sys.executable).with_name("farm")
    found = str(beside) if beside.is_file() else shutil.which("farm")
    return (found,) if found else (sys.executable, "-m", "cli")


def _repository(path: Path) -> Path:
    """The Git repository in which a file lies. Raises OptionError."""
    for folder in path.parents:
        if (folder / ".git").exists():
            return folder
    raise OptionError(
        f"Suite {path} lies in no Git repository, and a workflow begins with checking one out: "
        "move it into one, with what it names."
    )
