"""The samples that a child runs: read from the files of a workload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from workers.engines.session import Array, Feeds


def read_feeds(path: Path) -> Iterator[Feeds]:
    """The samples of an npz file whose arrays have a leading sample axis."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for i in range(len(next(iter(arrays.values())))):
        yield {name: np.asarray(array[i]) for name, array in arrays.items()}  # scalars, too


def in_batches(samples: Sequence[Feeds], size: int) -> list[Feeds]:
    """Samples joined along their first axis, so many in each; the last one fills up the rest."""
    filled = [*samples, *[samples[-1]] * (-len(samples) % size)]
    groups = (filled[i : i + size] for i in range(0, len(filled), size))
    return [
        {name: np.concatenate([feeds[name] for feeds in group]) for name in group[0]}
        for group in groups
    ]


def apart(outputs: Sequence[Array], size: int) -> list[list[Array]]:
    """The outputs of each sample of a batch. Raises ValueError: they cannot be told apart."""
    if any(output.ndim == 0 or len(output) % size for output in outputs):
        shapes = ", ".join(str(list(output.shape)) for output in outputs)
        raise ValueError(f"outputs of {size} samples have the shapes {shapes}")
    columns = [np.split(output, size) for output in outputs]
    return [list(row) for row in zip(*columns, strict=True)]
