"""The commands of ``farm nightly``."""

from __future__ import annotations

from commands.nightly.bisect import bisect
from commands.nightly.check import check
from commands.nightly.run import run
from commands.nightly.schedule import schedule
from commands.nightly.triage import triage
from commands.shared.shell.help import App

nightly_app = App(
    name="nightly",
    no_args_is_help=True,
    help="Measure a suite every night, and say what became slower.",
)
nightly_app.command()(run)
nightly_app.command()(check)
nightly_app.command()(triage)
nightly_app.command()(bisect)
nightly_app.command()(bisect)
nightly_app.command()(schedule)
