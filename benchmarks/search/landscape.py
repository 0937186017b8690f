"""A recorded table of configurations as a search meets it: ratios, noise, and what is feasible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.recorded import Matrix, Table, steady
from farm.accuracy.metric import default_limit, own_accuracy
from farm.candidate import Candidate, PackageEngine
from farm.measurement import Outcome
from tuner.runs.history import Entry
from tuner.search.space import Space

WITHIN = 0.02
"""Of the best: who is there has found it."""
SEEN_BLOCKS = 5


@dataclass(frozen=True)
class Landscape:
    """A table as a search meets it.

    truth: ratio to the baseline by all blocks, [rows], NaN where it did not run. feasible: ran
    and kept its accuracy, [rows]. ratios: by block, [rows, blocks]. baseline: its row.
    candidates: of all rows.
    """

    table: Table
    truth: NDArray[np.float64]
    feasible: NDArray[np.bool_]
    ratios: Matrix
    baseline: int
    candidates: tuple[Candidate, ...]

    @classmethod
    def of(cls, table: Table) -> Landscape:
        """Of a recorded table. Raises TableError."""
        seconds = steady(table.seconds())
        at = [i for i, row in enumerate(table.rows) if row.outcome is Outcome.OK]
        baseline = next(i for i in at if table.rows[i].candidate == baseline_of(table))
        ratios = np.full((len(table.rows), seconds.shape[1]), np.nan)
        ratios[at] = seconds / seconds[at.index(baseline)]
        truth = np.full(len(table.rows), np.nan)
        truth[at] = np.median(seconds, axis=1) / np.median(seconds[at.index(baseline)])
        candidates = tuple(row.candidate for row in table.rows)
        return cls(table, truth, _feasible(table, baseline), ratios, baseline, candidates)

    @property
    def best(self) -> float:
        """The least ratio of those that are feasible."""
        return float(np.min(self.truth[self.feasible]))

    def good(self) -> NDArray[np.bool_]:
        """Which rows are within 2 % of the best, [rows]."""
        return self.feasible & (self.truth <= (1 + WITHIN) * self.best)

    def entry(self, at: int, seed: int) -> Entry:
        """What a search is told of a row, with the noise of a few blocks."""
        row = self.table.rows[at]
        rng = np.random.default_rng([seed, at])
        count = self.ratios.shape[1]
        drawn = rng.choice(count, min(SEEN_BLOCKS, count), replace=False)
        ran = not np.isnan(self.truth[at])
        ratio = float(np.median(self.ratios[at, drawn])) if ran else None
        ratio = 1.0 if at == self.baseline else ratio
        rejected = row.outcome is Outcome.OK and not self.feasible[at]
        outcome = Outcome.REJECTED if rejected else row.outcome
        return Entry(str(at), row.candidate, outcome, row.message, ratio=ratio)


def baseline_of(table: Table) -> Candidate:
    """The default of the device where it was recorded, else what was recorded first."""
    first = table.ok[0].candidate
    return next((row.candidate for row in table.ok if row.candidate == Candidate()), first)


def _feasible(table: Table, baseline: int) -> NDArray[np.bool_]:
    """As ``farm tune`` judges by default."""
    metric = table.accuracy.split(",")[0]
    reference = own_accuracy(metric, table.rows[baseline].accuracy)
    limit = default_limit(metric)
    found = []
    for row in table.rows:
        judged = row.accuracy is not None and reference is not None
        kept = not judged or reference - row.accuracy <= limit + 1e-9  # type: ignore[operator]
        found.append(row.outcome is Outcome.OK and kept)
    return np.array(found)


def space_of(table: Table) -> Space:
    """The space that a table was recorded from, as far as rules of thumb ask for it."""
    engines = list(dict.fromkeys(row.candidate.engine for row in table.rows))
    kinds = tuple(dict.fromkeys(engine.kind for engine in engines))
    packages = tuple(engine for engine in engines if isinstance(engine, PackageEngine))
    cores = int(table.machine["cores"])
    return Space(kinds, cores, packages=packages, small=bool(packages))
