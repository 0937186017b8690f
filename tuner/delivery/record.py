"""What a delivered folder says of itself in ``provenance.json``, read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from farm.delivery import RECORD_FILE
from farm.errors import OptionError
from farm.text import printable


@dataclass(frozen=True, slots=True)
class Origin:
    """Where what lies in a folder comes from.

    model_sha256: of the model that was tuned. confirmed: false for the best of a search that was
    interrupted.
    """

    run: str
    model_sha256: str
    request: Mapping[str, Any] = field(default_factory=dict)
    confirmed: bool = True

    @property
    def model_path(self) -> str:
        """Where the model lay that was tuned."""
        return str(self.request.get("model", ""))

    def __str__(self) -> str:
        """For people: ``the winner of kws.onnx (run kws-20261121-065312)``."""
        what = "the winner" if self.confirmed else "the best so far, not confirmed,"
        name = Path(self.model_path).name or f"the model {self.model_sha256[:12]}"
        return printable(f"{what} of {name} (run {self.run})")


_ORIGIN: TypeAdapter[Origin] = TypeAdapter(Origin)


def read_origin(folder: Path) -> Origin | None:
    """Where a delivered folder comes from; None where there is no record.

    Raises OptionError: there is one that cannot be read.
    """
    try:
        return _ORIGIN.validate_python(read_json(folder / RECORD_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError):
        raise OptionError(
            f"{folder / RECORD_FILE} is not a record that the farm wrote. Move {folder} away, or "
            "give another folder."
        ) from None


def read_json(path: Path) -> object:
    """The content of a JSON file. Raises OSError, ValueError."""
    return json.loads(path.read_text(encoding="utf-8"))
