"""Options that several commands have, and how their texts become values."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from farm.device import DeviceProfile, load_profiles
from farm.errors import DeviceError, OptionError

_LARGEST_SIZE = (1 << 31) - 1
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
    typer.Option("--profiles", metavar="DIR", help="Folder with further device profiles."),
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
    ),
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=SIZE", help="Size of a dynamic dimension. Repeatable."),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="ONNX file.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="NPZ",
        help="Samples named like the model's inputs, and `label` if there are labels.",
    ),
]
MetricOption = Annotated[
    str, typer.Option("--metric", metavar="MODULE:FUNCTION", help="Your own accuracy metric.")
]


def known_profiles(folder: Path | None) -> dict[str, DeviceProfile]:
    """All device profiles by name. Raises DeviceError."""
    if folder is not None and not folder.is_dir():
        raise DeviceError(f"There is no folder {folder} with device profiles.")
    return load_profiles(folder)


def token_file(given: Path | None) -> Path:
    """Where the token of a cluster is."""
    from db.address import default_path

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


def split_names(names: str) -> tuple[str, ...]:
    """Names in a text with commas, without what surrounds them."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


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
