"""How a ratio of each objective is told."""

from __future__ import annotations

from tuner.goals import Objective

AS_MUCH = {
    Objective.LATENCY: "as fast as the baseline",
    Objective.MEMORY: "less peak memory than the baseline",
    Objective.ENERGY: "less energy than the baseline",
    Objective.CPU: "less processor time than the baseline",
    Objective.THROUGHPUT: "as many results per second as the baseline",
    Objective.P99: "as fast as the baseline at the 99th percentile",
    Objective.LOAD: "as fast as the baseline from loading to the first outputs",
}
"""What follows on ``2.00 times``."""
COLUMNS = {
    Objective.CPU: "CPU time",
    Objective.THROUGHPUT: "throughput",
    Objective.P99: "p99",
    Objective.LOAD: "first outputs",
}
"""Headings of those that have a column where they are the objective, and only there."""
