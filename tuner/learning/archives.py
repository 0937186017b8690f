"""Archives of arrays, in which the store keeps what was learnt: NumPy's format, no pickles."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    AttributeError,
    TypeError,
    RuntimeError,
)  # fmt: skip  (also NotImplementedError: flags that no reader knows)


def archive_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def arrays_of(archive: bytes) -> Arrays:
    """What :func:`archive_of` was given. Raises ValueError: it is no such archive, or damaged."""
    try:
        with np.load(io.BytesIO(archive), allow_pickle=False) as found:
            return dict(found)
    except _DAMAGES as error:
        raise ValueError(f"{type(error).__name__} {error}") from None
