"""Options that several commands have, and how their texts become values."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from commands.shared.shell import completion
from commands.shared.shell.help import Panel
from farm.errors import DeviceError, OptionError

if TYPE_CHECKING:
    from farm.devices.profile import DeviceProfile

_LARGEST_SIZE = (1 << 31) - 1
_MOST_ROWS = 10**9  # databases count rows in 64 bits, and memory holds fewer
_E = TypeVar("_E", bound=StrEnum)


StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PATH|URL",
        envvar="FARM_STORE",
        help="SQLite file or SQLAlchemy URL. Default: farm.db in the user's data folder.",
    ),
]
ProfilesOption = Annotated[
    Path | None,
    typer.Option(
        "--profiles",
        metavar="DIR",
        help="Folder with further device profiles and environments.",
        rich_help_panel=Panel.SUBJECT,
    ),
]
LimitOption = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=_MOST_ROWS, help="At most so many rows.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="FARM_TOKEN_FILE",
        help="What the machines of a cluster know each other by. Default: head.token in the "
        "user's data folder.",
        rich_help_panel=Panel.PLACE,
    ),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="NAME=SIZE",
        help="Size of a dynamic dimension. Repeatable.",
        rich_help_panel=Panel.SUBJECT,
    ),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="ONNX file.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="NPZ",
        help="Samples named like the model's inputs, and `label` if there are labels.",
        rich_help_panel=Panel.SUBJECT,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        help="At most so many threads for every candidate.",
        rich_help_panel=Panel.LIMITS,
    ),
]
EngineThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        help="So many threads for every engine. Default: as many as each chooses.",
    ),
]
MaxBatchOption = Annotated[
    int,
    typer.Option(
        "--max-batch",
        metavar="N",
        help="With --objective throughput: one run may take so many samples, 4096 at most.",
        rich_help_panel=Panel.SEARCH,
    ),
]
MetricOption = Annotated[
    str,
    typer.Option(
        "--metric",
        metavar="MODULE:FUNCTION",
        help="Your own accuracy metric.",
        rich_help_panel=Panel.SUBJECT,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed of everything random.",
        rich_help_panel=Panel.SEARCH,
    ),
]


def devices_option(text: str) -> Any:
    """The option that names device profiles, by either name: one for every command.

    text: what the command does with them, and the default.
    """
    return typer.Option(
        "--devices",
        "--device",
        metavar="NAMES",
        help=text,
        autocompletion=completion.device_names,
        rich_help_panel=Panel.SUBJECT,
    )


def known_profiles(folder: Path | None) -> dict[str, DeviceProfile]:
    """All device profiles by name, one for every GPU that is here. Raises DeviceError."""
    from farm.devices.profile import load_profiles
    from workers.gpus.devices import with_gpus

    if folder is not None and not folder.is_dir():
        raise DeviceError(f"There is no folder {folder} with device profiles.")
    return with_gpus(load_profiles(folder))


def token_file(given: Path | None) -> Path:
    """Where the token of a cluster is."""
    from db.connection.address import default_path

    return given.expanduser() if given else default_path().with_name("head.token")


def one_of(kind: type[_E], name: str | None, option: str) -> _E | None:
    """The choice of this name, None for none. Raises OptionError, which offers the choices."""
    if name is None:
        return None
    try:
        return kind(name)
    except ValueError:
        choices = ", ".join(str(choice) for choice in kind)
        raise OptionError(f"{option} takes one of {choices}, got '{name}'.") from None


def device_names(texts: Sequence[str] | None, default: str = "") -> tuple[str, ...]:
    """Names in texts with commas, each once; of no text at all, the default, if there is one.

    Raises OptionError for a text without a name, which a variable of the shell leaves easily.
    """
    names: dict[str, None] = {}
    for text in texts or ([default] if default else []):
        found = [name.strip() for name in text.split(",") if name.strip()]
        if not found:
            raise OptionError("No device was named. Give at least one, for example --devices cpu.")
        names |= dict.fromkeys(found)
    return tuple(names)


def one_device(texts: Sequence[str] | None, default: str) -> str:
    """The one device of a command that takes no more. Raises OptionError."""
    names = device_names(texts, default)
    if len(names) > 1:
        raise OptionError(
            f"This command takes one device, got {len(names)}: {', '.join(names)}; "
            "give --device NAME once."
        )
    return names[0]


def thread_limit(threads: int | None) -> int:
    """``--threads`` as a request has it, 0 for no limit. Raises OptionError."""
    if threads is None:
        return 0
    if threads < 1:
        raise OptionError(f"--threads must be 1 or more, got {threads}.")
    return threads


def shape_sizes(options: Sequence[str] | None) -> dict[str, int]:
    """``NAME=SIZE`` options as a mapping. Raises OptionError."""
    shapes: dict[str, int] = {}
    for option in options or ():
        name, _, size = option.rpartition("=")
        if not (name and size.isdecimal() and int(size) <= _LARGEST_SIZE):
            raise OptionError(
                f"--shape takes NAME=SIZE with a size from 0 to {_LARGEST_SIZE}, for example "
                f"--shape batch=1, got '{option}'."
            )
        shapes[name] = int(size)
    return shapes
