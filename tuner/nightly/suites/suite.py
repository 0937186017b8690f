"""Suites: what is measured every night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from farm.measurement import Metric
from tuner.goals import Objective

DEFAULT_BUDGET = 60.0
"""Seconds per case and night."""

DEFAULT_METRICS = (Metric.LATENCY,)


@dataclass(frozen=True, slots=True)
class Case:
    """One model on one device, with the candidate that is watched.

    name: unique in its suite. candidate: ``baseline``, ``winner of RUN``, or the path of a
    candidate as JSON. budget: seconds a night. threads: limit, 0 for none.
    """

    name: str
    model: Path
    device: str = "cpu"
    data: Path | None = None
    candidate: str = "baseline"
    budget: float = DEFAULT_BUDGET
    metrics: tuple[Metric, ...] = DEFAULT_METRICS
    shapes: Mapping[str, int] = field(default_factory=dict)
    threads: int = 0

    @property
    def objective(self) -> Objective:
        """What its blocks are measured for, beside latency."""
        needed = {Metric.FIRST_RESULT: Objective.LOAD, Metric.ENERGY: Objective.ENERGY}
        found = (objective for metric, objective in needed.items() if metric in self.metrics)
        return next(found, Objective.LATENCY)


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite as its TOML file describes it.

    path: of the file; what it names is relative to its folder. schedule: when it is to run, as
    cron writes it (``0 3 * * *``); empty where nothing is said. environments: by name, the
    packages (pip's requirements) that are judged beside today's software.
    """

    name: str
    path: Path
    cases: tuple[Case, ...]
    schedule: str = ""
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
