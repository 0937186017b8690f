"""What a shell offers where a device, an environment, a run, a trial or a change is asked for.

Each function takes what the user has typed so far and gives words, each with a few words about it.
Whatever is wrong, it is the command that says so: here it only means that nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from farm.devices.environment import Environment

Words = list[tuple[str, str]]
Completer = Callable[[typer.Context, str], Words]


def _silent(find: Callable[[typer.Context, str], Iterable[tuple[str, str]]]) -> Completer:
    @wraps(find)
    def complete(ctx: typer.Context, incomplete: str) -> Words:
        from farm.text import printable

        try:
            return [(word, printable(about)) for word, about in find(ctx, incomplete)]
        except Exception:  # noqa: BLE001 (a message would end up between what the user types)
            return []

    return complete


@_silent
def device_name(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """One device profile."""
    return [found for found in _profiles(ctx) if found[0].startswith(incomplete)]


@_silent
def device_names(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """Device profiles with commas: the last of them, without those that are there already."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [
        (before + comma + name, about)
        for name, about in _profiles(ctx)
        if name.startswith(last) and name not in given
    ]


@_silent
def run_name(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """A run of the store, newest first."""
    from db.questions.names import run_names

    return run_names(ctx.params.get("store"), incomplete)


@_silent
def tune_name(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """A run of ``farm tune``, newest first."""
    from db.questions.names import run_names

    return run_names(ctx.params.get("store"), incomplete, "tune")


@_silent
def trial_id(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """A trial of the store, newest first, without one that is given already."""
    from db.questions.names import trial_ids

    given = set(map(str, ctx.params.values()))
    return [
        found for found in trial_ids(ctx.params.get("store"), incomplete) if found[0] not in given
    ]


@_silent
def suite_file(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """A TOML file, or a folder on the way to it."""
    del ctx
    before, slash, last = incomplete.rpartition("/")
    found = sorted(Path(before + slash).iterdir())
    shown = [each for each in found if last or not each.name.startswith(".")]
    folders = [f"{each.name}/" for each in shown if each.is_dir()]
    files = [each.name for each in shown if each.suffix == ".toml" and each.is_file()]
    return [(before + slash + name, "") for name in folders + files if name.startswith(last)]


@_silent
def case_name(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """A case of the suite that is named already, without one that is given already."""
    from tuner.nightly.suites.file import read_suite

    # Before an option that has no value yet, arguments are not taken for what they are.
    suite = read_suite(Path(ctx.params["suite"] or ctx.args[0]), files=False)
    given = {name for key in ("case", "accept") for name in ctx.params.get(key) or ()}
    names = dict.fromkeys(case.name for case in suite.cases)
    return [(name, "") for name in names if name.startswith(incomplete) and name not in given]


@_silent
def place_name(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """A place of the plan that is named already, or its device."""
    from farm.plan.placement.record import read_plan
    from farm.plan.state import device_of

    places = read_plan(Path(ctx.params.get("plan") or ctx.args[0])).places
    names = dict.fromkeys((*map(device_of, places), *places))
    return [(name, "") for name in names if name.startswith(incomplete)]


@_silent
def placement_objective(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:  # noqa: ARG001
    """What a placement makes small."""
    from farm.plan.placement.problem import PlacementObjective

    return [(name, "") for name in map(str, PlacementObjective) if name.startswith(incomplete)]


@_silent
def series_name(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """A case of a suite that is followed over nights."""
    from db.questions.names import series_names

    return series_names(ctx.params.get("store"), incomplete)


@_silent
def change_id(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """A change of level that a night found, newest first."""
    from db.questions.names import change_ids

    return change_ids(ctx.params.get("store"), incomplete)


@_silent
def environment_name(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """An environment that can be installed here, and is not."""
    from workers.environments.installed import states

    return [
        (each.environment.name, each.environment.description)
        for each in states(_environments(ctx))
        if each.status == "not installed" and each.environment.name.startswith(incomplete)
    ]


@_silent
def installed_environment_name(ctx: typer.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """An environment that is installed."""
    del ctx
    from workers.environments.installed import installed_environments

    return [
        (name, found.environment.description)
        for name, found in installed_environments().items()
        if name.startswith(incomplete)
    ]


def _environments(ctx: typer.Context) -> Mapping[str, Environment]:
    from farm.devices.environment import load_environments

    folder = ctx.params.get("profiles")
    return load_environments(Path(folder) if folder else None)


def _profiles(ctx: typer.Context) -> list[tuple[str, str]]:
    from farm.devices.profile import load_profiles
    from workers.gpus.devices import with_gpus

    folder = ctx.params.get("profiles")
    profiles = with_gpus(load_profiles(Path(folder) if folder else None))
    return [(p.name, p.description) for p in profiles.values() if not p.is_fake]
