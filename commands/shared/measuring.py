"""Measuring candidates side by side, for the commands that do without a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from commands.shared import exit_codes
from commands.shared.options import known_profiles

if TYPE_CHECKING:
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
) -> tuple[Any, ...]:
    """Measure candidates side by side in a new run. recalled: a trial that is run again.

    Raises Exit after Ctrl-C.
    """
    look_for_room(Path(request.model))
    from dataclasses import replace

    from db.records import RunKind
    from db.store import Store
    from farm.devices.profile import select_profiles
    from reports.progress import TuneProgress
    from tuner.bench import bench as bench_candidates
    from tuner.bench import check_device, check_threads
    from tuner.runs.start import check_model, check_request, start_run
    from workers.executor import LocalExecutor
    from workers.trials.stored.cache import default_folder

    known = known_profiles(folder)
    (profile,) = select_profiles((device,), known)
    check_threads(request, candidates)
    check_device(profile, candidates, known)
    cache = default_folder()
    checked = check_request(replace(request, devices=(device,)), known)
    if recalled is not None:
        what = f"Trial {recalled.trial.id} cannot be run again"
        check_model(checked, recalled.model_sha256, what)
    with (
        Store.open(store) as opened,
        TuneProgress(Console(stderr=True)) as progress,
        LocalExecutor([profile], cache, known) as executor,
    ):
        run = start_run(opened, checked, RunKind.BENCH)
        try:
            return bench_candidates(opened, executor, run, profile, candidates, progress)
        except KeyboardInterrupt:
            typer.echo(f"Interrupted; run {run.name} is not complete.", err=True)
            raise typer.Exit(exit_codes.INTERRUPTED) from None
