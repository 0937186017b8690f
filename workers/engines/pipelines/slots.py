"""Memory that the parts of a pipeline share: tensors at fixed places, in one slot per sample.

Only the standard library and numpy are imported, because parts may run in interpreters that have
no more than an engine installed.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from farm.session.pipeline import TensorRecord
from workers.engines.session import Array

_ALIGNMENT = 128  # one vector of the widest processor
_MARGIN = 384  # between tensors: what writes beyond one does not reach the next at once
_SHARED = Path("/dev/shm")  # noqa: S108  (a file there is memory)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where tensors of fixed shapes lie in a slot.

    offsets: by name, in bytes. size: of a slot, in bytes.
    """

    tensors: tuple[TensorRecord, ...]
    offsets: Mapping[str, int]
    size: int

    @classmethod
    def of(cls, tensors: Sequence[TensorRecord]) -> Layout:
        """One tensor behind the other; those without a shape have no place."""
        offsets, end = {}, 0
        fixed = tuple(tensor for tensor in tensors if tensor.shape is not None)
        for tensor in fixed:
            offsets[tensor.name] = end
            end = _aligned(end + _bytes(tensor) + _MARGIN)
        return cls(fixed, offsets, max(end, _ALIGNMENT))

    def arrays(self, block: mmap.mmap, slot: int) -> dict[str, Array]:
        """The tensors of one slot in a block of memory."""
        found: dict[str, Array] = {}
        for tensor in self.tensors:
            start = slot * self.size + self.offsets[tensor.name]
            flat: Array = np.frombuffer(block, np.dtype(tensor.dtype), _elements(tensor), start)
            found[tensor.name] = flat.reshape(tensor.shape or ())
        return found


def private_block(size: int) -> mmap.mmap:
    """Zeros that begin at a page, for this process alone."""
    return mmap.mmap(-1, size)


def shared_block(size: int) -> tuple[mmap.mmap, Path]:
    """Zeros for processes that open the file, which whoever asks for it removes."""
    folder = _SHARED if os.access(_SHARED, os.W_OK) else None
    descriptor, name = tempfile.mkstemp(prefix="farm-", dir=folder)
    try:
        os.truncate(descriptor, size)
        return mmap.mmap(descriptor, size), Path(name)
    finally:
        os.close(descriptor)


def opened_block(path: Path) -> mmap.mmap:
    """What ``shared_block`` made."""
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def _bytes(tensor: TensorRecord) -> int:
    return _elements(tensor) * np.dtype(tensor.dtype).itemsize


def _elements(tensor: TensorRecord) -> int:
    return int(np.prod(tensor.shape or (), dtype=np.int64))


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
