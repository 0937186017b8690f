"""What a detector answers."""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST, SHORTEST_BEFORE = 2, 20
"""Nights that a step must have lasted where nothing confirms it, and that must lie before it."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The best case that a detector has for a step in one direction.

    p_value: of seeing so much without a step. age: nights since it began, tonight included.
    """

    p_value: float = 1.0
    age: int = SHORTEST


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a detector saw, both ways."""

    up: Sighting
    down: Sighting
