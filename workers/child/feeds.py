"""The samples that a child runs: read from the files of a workload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from workers.engines.session import Feeds


def read_feeds(path: Path) -> Iterator[Feeds]:
    """The samples of an npz file whose arrays have a leading sample axis."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for i in range(len(next(iter(arrays.values())))):
        yield {name: np.asarray(array[i]) for name, array in arrays.items()}  # scalars, too
