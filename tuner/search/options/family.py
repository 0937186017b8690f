"""What a family of engines says of its options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from farm.candidate import Engine


@dataclass(frozen=True, slots=True)
class Width:
    """How many threads candidates may have.

    counts: those worth trying, the least first. options: all that the option may be, with 0 where
    an engine may choose itself. many: what runs is for many callers at the same time.
    loads: what matters is how soon an engine is there.
    """

    counts: tuple[int, ...]
    options: tuple[int, ...]
    many: bool = False
    loads: bool = False


class Family(ABC):
    """Engines of one kind."""

    default: Engine

    @abstractmethod
    def main(self, width: Width) -> list[Engine]:
        """Engines with the main options."""

    @abstractmethod
    def near(self, engine: Any, width: Width) -> list[Engine]:  # noqa: ANN401  (of this kind)
        """Engines that differ in one option."""
