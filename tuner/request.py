"""What a user asks of ``farm tune``, checked, and as the text that a run is resumed from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import ConfigDict, TypeAdapter, ValidationError

from farm.candidate import MOST_BATCH
from farm.errors import OptionError

_SEEDS = 1 << 31  # what all generators take, with the number of trials added


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


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """One invocation of tune.

    model, data: absolute paths (data empty: synthetic inputs). shapes: of dynamic dimensions.
    budget_seconds: per device, all included. max_trials: per device, 0 for no limit.
    output: absolute path of the folder for the winners; empty for ``runs/RUN``.
    threads: at most so many for every candidate, the baseline included; 0 for no limit.
    max_batch: samples that one run of a candidate may take, at most MOST_BATCH.
    cold: nothing that the store has of other models guides the search.
    """

    __pydantic_config__ = ConfigDict(defer_build=True)

    model: str
    devices: tuple[str, ...]
    data: str = ""
    shapes: dict[str, int] = field(default_factory=dict)
    metric: str = ""
    objective: Objective = Objective.LATENCY
    constraints: Constraints = field(default_factory=Constraints)
    budget_seconds: float = 120.0
    max_trials: int = 0
    seed: int = 0
    output: str = ""
    threads: int = 0
    max_batch: int = 1
    cold: bool = False

    def check(self) -> None:
        """Raise OptionError for options that contradict the facts."""
        self.constraints.check()
        if not (math.isfinite(self.budget_seconds) and self.budget_seconds > 0):
            finite = "" if math.isfinite(self.budget_seconds) else " and finite"
            raise OptionError(
                f"--budget must be above 0 seconds{finite}, got {self.budget_seconds:g}."
            )
        if self.max_trials < 0:
            raise OptionError(f"--trials must be 1 or more, got {self.max_trials}.")
        if self.threads < 0:
            raise OptionError(f"--threads must be 1 or more, got {self.threads}.")
        if not 1 <= self.max_batch <= MOST_BATCH:
            raise OptionError(
                f"--max-batch must lie between 1 and {MOST_BATCH}, got {self.max_batch}."
            )
        if self.max_batch > 1 and self.objective is not Objective.THROUGHPUT:
            raise OptionError(
                "--max-batch is for --objective throughput: in a batch each sample waits for all "
                "the others."
            )
        if not 0 <= self.seed < _SEEDS:
            raise OptionError(f"--seed must lie between 0 and {_SEEDS - 1}, got {self.seed}.")

    def to_json(self) -> str:
        """The text that the store keeps with the run."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> TuneRequest:
        """Read the text back. Raises OptionError when another version wrote something else."""
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise OptionError(
                f"This run cannot be resumed by this version of the farm: {first['msg']} at "
                f"{'.'.join(map(str, first['loc']))}. Start a new run."
            ) from None


_ADAPTER: TypeAdapter[TuneRequest] = TypeAdapter(TuneRequest)
