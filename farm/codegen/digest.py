"""The code generator's identity: the same model gives other code when the generator changes."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

_SOURCES = (".py", ".h", ".c")


@cache
def generator_digest() -> str:
    """SHA-256 of the generator's own files, kernels included.

    A version number is not enough: whoever works on a kernel would be shown the packets of the
    one before, from the cache of artifacts.
    """
    digest = hashlib.sha256()
    _add(resources.files("farm.codegen"), digest)
    return digest.hexdigest()


def _add(folder: Traversable, digest: hashlib._Hash) -> None:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            _add(entry, digest)
        elif entry.name.endswith(_SOURCES):
            digest.update(entry.name.encode() + b"\0" + entry.read_bytes())
