"""What a search makes small, and what its winner must satisfy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from farm.errors import OptionError


class Objective(StrEnum):
    """What the search makes as small as it can, or of a throughput as large."""

    LATENCY = "latency"
    MEMORY = "memory"
    ENERGY = "energy"
    CPU = "cpu"
    THROUGHPUT = "throughput"
    P99 = "p99"
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a winner must satisfy; None for no limit.

    max_accuracy_drop: absolute, against the baseline on the same samples; None for the default
    of the metric (``farm.accuracy.metric.default_limit``).
    allow_unjudged: candidates of another precision than the model's may win, too, where their
    accuracy cannot be judged.
    max_memory: measured peak in bytes. max_latency: seconds. max_energy: joules per run.
    max_cpu: processor seconds per run, of all threads together. min_throughput: runs per second,
    of all callers together. max_p99: seconds. max_load: seconds from loading to the first outputs.
    """

    __pydantic_config__ = {"revalidate_instances": "always"}  # noqa: RUF012 (pydantic's own)

    max_accuracy_drop: float | None = None
    max_memory: int | None = None
    max_latency: float | None = None
    max_energy: float | None = None
    allow_unjudged: bool = False
    max_cpu: float | None = None
    min_throughput: float | None = None
    max_p99: float | None = None
    max_load: float | None = None

    def check(self) -> None:
        """Raise OptionError for a limit that nothing can satisfy."""
        if self.max_accuracy_drop is not None and not 0.0 <= self.max_accuracy_drop <= 1.0:
            raise OptionError(
                f"--max-accuracy-drop must lie between 0 and 1, got {self.max_accuracy_drop}."
            )
        limits = (
            ("--max-memory", self.max_memory, "bytes"),
            ("--max-latency", self.max_latency, "seconds"),
            ("--max-energy", self.max_energy, "joules"),
            ("--max-cpu", self.max_cpu, "seconds"),
            ("--max-p99", self.max_p99, "seconds"),
            ("--max-load", self.max_load, "seconds"),
            ("--min-throughput", self.min_throughput, "samples per second"),
        )
        for option, value, unit in limits:
            if value is not None and not (math.isfinite(value) and value > 0):
                finite = "" if math.isfinite(value) else " and finite"
                raise OptionError(f"{option} must be above 0 {unit}{finite}, got {value}.")


def asks_energy(objective: Objective, constraints: Constraints) -> bool:
    """Whether energy decides: it is minimised, or limited."""
    return objective is Objective.ENERGY or constraints.max_energy is not None
