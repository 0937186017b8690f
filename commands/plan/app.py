"""The commands of ``farm plan``."""

from __future__ import annotations

from commands.plan.apply import apply
from commands.plan.memory import memory
from commands.plan.placement import placement
from commands.shared.shell.help import App

plan_app = App(
    name="plan",
    no_args_is_help=True,
    help="Plan the memory of a model, and where its operators run.",
)
plan_app.command()(memory)
plan_app.command()(placement)
plan_app.command()(apply)
