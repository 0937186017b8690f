"""Whether the first trials on a model never seen are good, replayed on the recorded corpus.

Each model of the store that ``record_corpus.py`` made is left out once, with the others to begin
from. Of its recorded candidates the search chooses the first six. How much slower the best of them
is than the best recorded one that keeps its accuracy, after 1, 3 and 6 trials:

- *warm*, by the other models; *cold*, by rules of thumb; *random*, six drawn without a choice,
  the mean of 50 draws.

Target: warm, the first six hold one within 10 % of the best in 3 of 4 models. Where so few
candidates are recorded, random is good, too: compare.

    python -m benchmarks.learning.first_cohort
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.common import Report, Unit, options
from benchmarks.learning.recorded_store import DEVICE, unpacked
from db.reader import StoreReader
from db.records import Run, RunStatus, utc_now
from farm.candidate import PackageEngine
from farm.devices.energy import Work
from farm.measurement import Outcome
from farm.units import Bytes
from tuner.goals import Constraints, Objective
from tuner.racing.objective import Scorer
from tuner.runs.history import Entry
from tuner.search.expecting.cold import ColdPrior
from tuner.search.expecting.from_store import Wanted, prior_from_store, rows_of
from tuner.search.prior import Prior
from tuner.search.proposing.propose import Proposer
from tuner.search.regression.alike import Matrix, Vector
from tuner.search.regression.process import Rows
from tuner.search.search import COHORT
from tuner.search.space import SMALL_MACS, Space

AFTER = (1, 3, 6)
NEAR, THREE_OF_FOUR = 0.10, 0.75
DRAWS = 50
_FEWEST = 12  # recorded candidates that leave a choice


class Without(StoreReader):
    """A store without the runs of one model. left_out: its SHA-256."""

    left_out = ""

    def runs(
        self,
        *,
        model: str | None = None,
        status: RunStatus | None = None,
        limit: int | None = None,
    ) -> tuple[Run, ...]:
        """See ``StoreReader``."""
        found = super().runs(model=model, status=status, limit=limit)
        return tuple(run for run in found if run.model_sha256 != self.left_out)


@dataclass(frozen=True, slots=True)
class Left:
    """A model that is left out, and what was recorded of it."""

    name: str
    space: Space
    wanted: Wanted
    rows: Rows

    @property
    def best(self) -> float:
        """The least of the ratios that keep their accuracy; the baseline's is 1."""
        return float(np.min(self._kept(), initial=1.0))

    def regrets(self, order: Sequence[int]) -> list[float]:
        """After 1, 3 and 6 trials; before anything does, there is the baseline."""
        kept = self._kept()[list(order)]
        return [float(min(1.0, *kept[:n])) / self.best - 1.0 for n in AFTER]

    def _kept(self) -> Vector:
        measured = ~np.isnan(self.rows.log_ratios) & (self.rows.failed < 1.0)
        return np.where(measured, np.exp(self.rows.log_ratios), np.inf)


def main() -> int:
    """Replay; the exit code."""
    report = Report(__file__, options(__doc__).parse_args().json)
    found: dict[str, list[list[float]]] = {"warm": [], "cold": [], "random": []}
    with unpacked() as path, Without.open(str(path)) as store:
        for run in store.runs():
            store.left_out = ""
            left = left_out(store, run)
            if left is None:
                continue
            store.left_out = run.model_sha256
            cold = ColdPrior(left.space)
            warm = prior_from_store(store, left.wanted, cold)
            found["warm"].append(left.regrets(first_of(left, warm)))
            found["cold"].append(left.regrets(first_of(left, cold)))
            found["random"].append(np.mean(_drawn(left), axis=0).tolist())
            shown = ", ".join(f"{name} {regrets[-1][-1]:.1%}" for name, regrets in found.items())
            report.say(f"{left.name}, regret after {AFTER[-1]}: {shown}")
    report.show("models", len(found["warm"]), Unit.COUNT)
    for name, rows in found.items():
        _show(report, name, np.array(rows))
    return report.close()


def left_out(store: StoreReader, run: Run) -> Left | None:
    """What was recorded in a run; None where there is no choice."""
    model = store.model(run.model_sha256)
    own = Scorer(Objective.LATENCY, Constraints(), Work(0, Bytes(0), Bytes(0)), None)
    space = Space(("onnxruntime-cpu", "openvino-runtime"), 2, small=model.macs <= SMALL_MACS)
    machine = store.machine(run.machine_id)
    wanted = Wanted(model, DEVICE, machine, utc_now(), space.baseline(), own)
    rows = rows_of(store, run, wanted, ColdPrior(space))
    if rows is None or len(rows.candidates) < _FEWEST:
        return None
    engines = dict.fromkeys(c.engine for c in rows.candidates)
    packages = tuple(engine for engine in engines if isinstance(engine, PackageEngine))
    return Left(model.name, replace(space, packages=packages), wanted, rows)


def first_of(left: Left, prior: Prior) -> list[int]:
    """The rows that the search tries first, each the first time that it is recorded."""
    candidates = left.rows.candidates
    proposer = Proposer(left.space, lambda _: (), 0, prior, among=candidates)
    baseline = Entry("baseline", left.space.baseline(), Outcome.OK, ratio=1.0)
    chosen = proposer.propose([baseline], COHORT).candidates
    return [candidates.index(candidate) for candidate in chosen]


def _drawn(left: Left) -> list[list[float]]:
    rng = np.random.default_rng(0)
    count = len(left.rows.candidates)
    return [left.regrets(list(rng.permutation(count)[:COHORT])) for _ in range(DRAWS)]


def _show(report: Report, name: str, regrets: Matrix) -> None:
    """regrets: [models, AFTER]."""
    for at, trials in enumerate(AFTER):
        near = f"within 10 % in {np.mean(regrets[:, at] <= NEAR):.0%} of the models"
        mean = float(np.mean(regrets[:, at]))
        report.show(f"{name}: mean regret after {trials}", mean, Unit.SHARE, near)
    if name == "warm":
        share = float(np.mean(regrets[:, -1] <= NEAR))
        report.at_least("warm: models whose first six are near the best", share, THREE_OF_FOUR)


if __name__ == "__main__":
    sys.exit(main())
