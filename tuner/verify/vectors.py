"""The test vectors of a package: read from its folder, and replayed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farm.codegen.package.manifest import Manifest, Port
from farm.codegen.package.write import REPLIES, REQUESTS, VECTORS, Vector
from farm.errors import InputError
from workers.child.agreement import bits
from workers.engines.runner import RunnerProcess

_REQUEST, _QUIT = b"r", b"q"


def read_vectors(folder: Path, manifest: Manifest) -> Iterator[Vector]:
    """The test vectors of a package. Raises InputError: they are not there or not whole."""
    given, told = _sizes(manifest.inputs), _sizes(manifest.outputs)
    count = manifest.vectors
    requests = _read(folder / VECTORS / REQUESTS, count * (1 + sum(given)) + len(_QUIT))
    replies = _read(folder / VECTORS / REPLIES, count * (1 + sum(told)))
    for number in range(count):
        request = requests[number * (1 + sum(given)) :][: 1 + sum(given)]
        reply = replies[number * (1 + sum(told)) :][: 1 + sum(told)]
        if request[:1] != _REQUEST:
            raise InputError(f"Test vector {number} in {folder} is damaged.")
        yield Vector(_arrays(request[1:], manifest.inputs), _arrays(reply[1:], manifest.outputs))


def first_wrong(runner: RunnerProcess, manifest: Manifest, vectors: Sequence[Vector]) -> str:
    """The first answer that is not what it should be; empty if there is none."""
    for number, vector in enumerate(vectors):
        answers = runner.run(vector.inputs)
        for port, answer, expected in zip(manifest.outputs, answers, vector.outputs, strict=True):
            if bits(answer.view(port.dtype)) != bits(expected):
                where = f"output '{port.name}' of test vector {number}"
                return f"{where}: {_difference(answer.view(port.dtype), expected)}"
    return ""


def _difference(answer: NDArray[np.generic], expected: NDArray[np.generic]) -> str:
    """The first element that differs."""
    ours, theirs = answer.ravel(), expected.ravel()
    size = expected.dtype.itemsize
    bits = ours.view(np.uint8).reshape(-1, size) != theirs.view(np.uint8).reshape(-1, size)
    index = int(np.argmax(bits.any(axis=1)))
    return f"element {index} is {ours[index]}, and should be {theirs[index]}"


def _sizes(ports: Sequence[Port]) -> list[int]:
    return [math.prod(port.shape) * np.dtype(port.dtype).itemsize for port in ports]


def _arrays(content: bytes, ports: Sequence[Port]) -> tuple[NDArray[np.generic], ...]:
    ends = np.cumsum(_sizes(ports))
    parts = np.split(np.frombuffer(content, np.uint8), ends[:-1])
    return tuple(
        part.copy().view(port.dtype).reshape(port.shape)
        for part, port in zip(parts, ports, strict=True)
    )


def _read(path: Path, size: int) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The package is not whole: {path} cannot be read ({error.strerror})."
        ) from None
    if len(content) != size:
        raise InputError(
            f"The package is damaged: {path} has {len(content)} bytes, and should have {size}."
        )
    return content
