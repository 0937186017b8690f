"""What is known of a model that was cut into parts, as plain JSON.

The child process that runs a pipeline reads ``pipeline.json``, and the very same file is delivered
with a winner. This module imports nothing but the standard library, because children may run in
interpreters that have no more than an engine installed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor that parts share with each other or with the caller.

    dtype: NumPy's name. shape: None for an output of the model that each run gives another one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class PartRecord:
    """One part.

    folder: of its artifact, in that of the pipeline. inputs, outputs: names of tensors, in the
    order of the part's own model. quantised: it has operators whose weights are integers.
    operators: what is in its model.
    """

    place: str
    folder: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    quantised: bool
    operators: int


@dataclass(frozen=True, slots=True)
class PipelineRecord:
    """A model in parts.

    tensors: all that parts share, and the model's inputs and outputs. inputs, outputs: those of
    the model, in its order. parts: in the order in which they run.
    """

    tensors: tuple[TensorRecord, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parts: tuple[PartRecord, ...]

    def to_json(self) -> str:
        """The content of ``pipeline.json``."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def parse_pipeline(text: str | bytes) -> PipelineRecord:
    """Read what ``to_json`` wrote.

    Raises ValueError, KeyError, TypeError: it is something else.
    """
    plain: dict[str, Any] = json.loads(text)
    return PipelineRecord(
        tuple(
            TensorRecord(
                each["name"],
                each["dtype"],
                None if each["shape"] is None else tuple(each["shape"]),
            )
            for each in plain["tensors"]
        ),
        tuple(plain["inputs"]),
        tuple(plain["outputs"]),
        tuple(_parsed_part(each) for each in plain["parts"]),
    )


def _parsed_part(plain: dict[str, Any]) -> PartRecord:
    return PartRecord(
        plain["place"],
        plain["folder"],
        tuple(plain["inputs"]),
        tuple(plain["outputs"]),
        plain["quantised"],
        plain["operators"],
    )
