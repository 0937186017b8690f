"""A candidate as flat parameters, for whatever knows no engines: ``{"engine.threads": 2, ...}``.

The space is conditional, because an engine has its own options: a parameter that does not apply
is absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from farm.candidate import Candidate
from farm.candidate.candidate import canonical

Value = str | int | float | bool
_KEPT = 1 << 15  # candidates whose parameters are remembered


@lru_cache(maxsize=_KEPT)
def flat(candidate: Candidate) -> Mapping[str, Value]:
    """The parameters of a candidate by their dotted names; what is not chosen is absent.

    Of operators that are kept in float, or on the processor, the number; of other lists the text.
    """
    return MappingProxyType(dict(_flattened("", canonical(candidate))))


def _flattened(name: str, value: Any) -> Iterator[tuple[str, Value]]:  # noqa: ANN401  (JSON)
    match value:
        case dict():
            for key, inner in value.items():
                yield from _flattened(f"{name}.{key}" if name else key, inner)
        case list() if name.endswith(("keep_float", "on_cpu")):
            yield name, len(value)
        case list():
            yield name, ",".join(map(str, value))
        case None:
            return
        case _:
            yield name, value
