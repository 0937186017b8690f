"""Sizes of a machine's caches, as a fingerprint describes them."""

from __future__ import annotations

import re

_CACHE = re.compile(r"L(\d)d? (\d+)([KM])\b")
_UNITS = {"K": 1 << 10, "M": 1 << 20}
_USUAL_CACHES = (float(32 << 10), float(1 << 20), float(32 << 20))


def cache_limits(caches: str) -> tuple[float, ...]:
    """Bytes of the data caches in a machine's description, the smallest first.

    ``L1d 32K, L1i 32K, L2 1024K`` gives two. Where nothing is known they are as usual.
    """
    found = {
        level: float(int(size) * _UNITS[unit]) for level, size, unit in _CACHE.findall(caches)
    }
    return tuple(sorted(found.values())) or _USUAL_CACHES
