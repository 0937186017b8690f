"""Files of outputs: what a child answered to every sample, for its worker to read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.accuracy.outputs import Output, stacked

_Row = Sequence[NDArray[Any]]


def write_answers(path: Path, answers: Sequence[_Row]) -> None:
    """Write the outputs of every sample: an array ``o<i>`` per output, [samples, ...].

    Of an output whose shape varies, one array ``o<i>.<sample>`` per sample.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for i, column in enumerate(zip(*answers, strict=True)):
        output = stacked(column)
        if isinstance(output, tuple):
            arrays |= {f"o{i}.{sample}": array for sample, array in enumerate(output)}
        else:
            arrays[f"o{i}"] = output
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # keywords are array names


def read_answers(path: Path) -> list[Output]:
    """The outputs of a file, in the model's order."""
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
        names = [name.partition(".") for name in archive.files]
        samples: dict[int, list[NDArray[Any]]] = {}
        varies = set()
        for name, (output, dot, _) in zip(archive.files, names, strict=True):
            samples.setdefault(int(output[1:]), []).append(archive[name])
            varies |= {int(output[1:])} if dot else set()
    return [tuple(samples[i]) if i in varies else samples[i][0] for i in sorted(samples)]
