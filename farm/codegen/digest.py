"""The identity of what makes packages: the same model gives other code when that changes."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

_SOURCES = (".py", ".h", ".c", ".toml")


@cache
def generator_digest() -> str:
    """SHA-256 of all files that take part: generator, kernels, planners, calibration and passes.

    A version number is not enough: whoever works on a kernel would be shown the packets of the
    one before, from the cache of artifacts.
    """
    digest = hashlib.sha256()
    for package in ("farm.codegen", "farm.compile", "farm.plan"):
        _add(resources.files(package), digest)
    return digest.hexdigest()


def _add(folder: Traversable, digest: hashlib._Hash) -> None:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            _add(entry, digest)
        elif entry.name.endswith(_SOURCES):
            digest.update(entry.name.encode() + b"\0" + entry.read_bytes())
