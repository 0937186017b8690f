"""``farm nightly triage``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from commands.shared.options.common import StoreOption
from commands.shared.output import print_lines
from commands.shared.shell import completion


class Triaged(StrEnum):
    """What people say of a change (``db.night_records.ChangeState``)."""

    EXPECTED = "expected"
    BUG = "bug"
    NOISE = "noise"


def triage(
    change: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Change, as a report names it, or its beginning.",
            autocompletion=completion.change_id,
        ),
    ],
    *,
    state: Annotated[
        Triaged,
        typer.Option(
            "--as",
            help="expected: the new level is the good one. bug: it stays a regression until it is "
            "gone. noise: it never was one.",
        ),
    ],
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why; reports show it.")] = "",
    store: StoreOption = None,
) -> None:
    """Say what a change is.

    Example: farm nightly triage 3fa9c1 --as expected --note "onnxruntime 1.32, release note 7"
    """
    from db.night_records import ChangeState
    from db.store import Store
    from tuner.nightly.triage import triage as note_state

    with Store.open(store) as opened:
        known, series = note_state(opened, change, ChangeState(state), note)
    what = f"Change {known.id} of {series.case} on {series.device} ({series.metric})"
    print_lines([f"{what} is {known.state} from now on."])
