"""What a user asks of ``farm tune``, checked, and as the text that a run is resumed from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pydantic import ConfigDict, TypeAdapter, ValidationError

from farm.candidate import MOST_BATCH
from farm.errors import OptionError
from tuner.goals import Constraints, Objective

_SEEDS = 1 << 31  # what all generators take, with the number of trials added


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
