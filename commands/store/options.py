"""Options that narrow down what is asked of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from commands.shared.options.common import device_names, devices_option, known_profiles
from commands.shared.shell import completion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from db.questions.views import Subject
    from db.reader import StoreReader

ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME|SHA", help="Only this model.")
]
DevicesOption = Annotated[
    list[str] | None, devices_option("Only these devices, with commas or repeated.")
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Only this run, or the one whose name begins so.",
        autocompletion=completion.run_name,
    ),
]


def subject_of(model: str | None, devices: Sequence[str] | None) -> Subject:
    """What is asked about. Raises OptionError: a text for devices names none."""
    from db.questions.views import Subject

    return Subject(model, device_names(devices))


def known_subject(store: StoreReader, asked: Subject) -> Subject:
    """The same. Raises NotInStore: nobody knows a model or a device of that name."""
    from db.questions.known import check_known

    return check_known(store, asked, lambda: known_profiles(None))
