"""The fake engine: invented latencies around 1 ms, one of them the best, and two that fail."""

from __future__ import annotations

from collections.abc import Mapping

from farm.candidate import Engine, Fake
from tuner.search.options.family import Choice, Family, Width


class _Fake(Family):
    default = Fake()
    defaults: Mapping[str, Choice] = {}

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

    def choices(self, width: Width) -> dict[str, tuple[Choice, ...]]:
        del width
        return {}

    def flatten(self, engine: Fake) -> None:
        del engine

    def unflatten(self, parameters: Mapping[str, Choice]) -> Engine:
        del parameters
        return self.default


FAMILY = _Fake()
