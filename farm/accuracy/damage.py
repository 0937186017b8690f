"""What quantising one operator alone does to the numbers of a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damage:
    """Of each quantised operator of a candidate, the most harmful first.

    power: relative noise power by the operator's name: power of the error over power of the float
    values, mean over a few samples, summed over tensors; its unit is 1. at_outputs: the error is
    what arrives at the model's outputs; else it is what leaves the operator, as in large models.
    """

    power: tuple[tuple[str, float], ...] = ()
    at_outputs: bool = True

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the operators, the most damaged first."""
        return tuple(name for name, _ in self.power)
