"""Measuring candidates side by side, for the commands that do without a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from commands.shared.options.common import known_profiles
from commands.shared.shell import exit_codes

if TYPE_CHECKING:
    from tuner.events import Listener
    from tuner.request import TuneRequest


def look_for_room(model: Path | None) -> None:
    """What measuring begins with, before anything slow is imported; see ``workers.room``."""
    from workers.room import make_room
    from workers.trials.stored.cache import default_folder

    make_room(default_folder(), model)


def measure(
    store: str | None,
    request: TuneRequest,
    device: str,
    folder: Path | None,
    candidates: Sequence[Any],
    recalled: Any = None,
    *,
    force: bool = False,
) -> tuple[Any, ...]:
    """Measure candidates side by side in a new run, with progress on standard error.

    recalled: a trial that is run again. force: what lies in the output of another model may be
    replaced. Raises Exit after Ctrl-C.
    """
    from dataclasses import replace

    from reports.progress import TuneProgress

    with TuneProgress(Console(stderr=True)) as progress:
        wanted = replace(request, devices=(device,))
        try:
            return measured(store, wanted, folder, candidates, progress, recalled, force=force)
        except KeyboardInterrupt as ended:
            if not ended.args:
                raise
            typer.echo(f"Interrupted; run {ended} is not complete.", err=True)
            raise typer.Exit(exit_codes.INTERRUPTED) from None


def measured(
    store: str | None,
    request: TuneRequest,
    folder: Path | None,
    candidates: Sequence[Any],
    listen: Listener,
    recalled: Any = None,
    *,
    force: bool = False,
) -> tuple[Any, ...]:
    """Measure candidates side by side in a new run on the one device of the request.

    recalled: a trial that is run again. force: see ``measure``. Nothing is printed. A
    KeyboardInterrupt has the name of the run, once there is one.
    """
    look_for_room(Path(request.model))
    from db.records import RunKind
    from db.store import Store
    from farm.devices.profile import select_profiles
    from tuner.bench import bench, check_callers, check_device, check_threads
    from tuner.delivery.place import check_output
    from tuner.runs.start import check_model, check_request, start_run
    from workers.executor import LocalExecutor
    from workers.trials.stored.cache import default_folder

    known = known_profiles(folder)
    (profile,) = select_profiles(request.devices, known)
    check_threads(request, candidates)
    check_callers(candidates)
    check_device(profile, candidates, known)
    checked = check_request(request, known)
    if recalled is not None:
        what = f"Trial {recalled.trial.id} cannot be run again"
        check_model(checked, recalled.model_sha256, what)
    if checked.request.output:
        check_output(checked, force=force)
    with (
        Store.open(store) as opened,
        LocalExecutor([profile], default_folder(), known) as executor,
    ):
        run = start_run(opened, checked, RunKind.BENCH)
        try:
            return bench(opened, executor, run, profile, candidates, listen)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(run.name) from None
