"""Options that narrow down what is asked of the store."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.shared import completion
from commands.shared.options import devices_option

ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME|SHA", help="Only this model.")
]
DevicesOption = Annotated[
    list[str] | None, devices_option("Only these devices, with commas or repeated.")
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run", metavar="RUN", help="Only this run.", autocompletion=completion.run_name
    ),
]
