"""The fake engine: invented latencies around 1 ms, one of them the best, and two that fail."""

from __future__ import annotations

from farm.candidate import Engine, Fake
from tuner.search.options.family import Family, Width


class _Fake(Family):
    default = Fake()

    def main(self, width: Width) -> list[Engine]:
        del width
        return [
            *(Fake(seconds=1e-3 * (0.5 + 0.1 * i), serial=i) for i in range(6)),
            Fake(fault="crash"),
            Fake(fault="wrong-engine"),
        ]

    def near(self, engine: Fake, width: Width) -> list[Engine]:
        del engine, width
        return []


FAMILY = _Fake()
