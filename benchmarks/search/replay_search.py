"""How many trials the search needs, replayed on recorded tables of configurations.

Every method knows the baseline and chooses from the same recorded configurations, one after the
other; what it is told of one is the median ratio to the baseline in 5 of the recorded blocks,
drawn by the seed, and whether it failed or lost more accuracy than ``farm tune`` allows. The truth
is the median over all blocks. Counted are the trials until one is within 2 % of the best that is
feasible; a method that is not there after 150 trials counts as 150.

- The search: ``tuner.search.proposing``, in cohorts of 6, cold, and warm-started on the other
  tables. Target: cold, a median of at most half of the better of Optuna's estimators and of a
  quarter of random; 90 % of the seeds within 40 trials; warm, fewer again.
- Optuna's TPE and NSGA-II, told everything, failures as a violated constraint. What they ask for
  is taken to the nearest configuration that was not tried.
- Random.

The races of cohorts are replayed by their rules and by those before, in which only who was twice
behind in each of the first blocks left early.

Where many configurations are within 2 % of the best, the landscape is flat and says little; so
the regret after 1, 3, 5, 10 and 20 trials is shown as well.

    python -m benchmarks.search.replay_search benchmarks/tables/configurations_*.json.gz
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.common import Report, Unit, options
from benchmarks.search.landscape import Landscape, space_of
from benchmarks.search.recorded import Matrix, TableError, read_table
from farm.candidate import Candidate
from tuner.racing.race import RaceRules, Replay, replay
from tuner.search.expecting.cold import SPREAD, ColdPrior
from tuner.search.expecting.similar import Other, SimilarPrior
from tuner.search.prior import Expected, Prior
from tuner.search.proposing.propose import Proposer
from tuner.search.proposing.sampler import Parameters
from tuner.search.regression.process import Rows
from tuner.search.rules import COHORT_RULES, EARLIER_RULES, TOO_SLOW
from tuner.search.search import COHORT

SEEDS, QUICK_SEEDS = 50, 3
MOST = 150
RACES = 150
HALF, QUARTER = 0.5, 0.25
SHARE, SOON = 0.9, 40
LIKENESS = 0.7  # of two tables
REGRETS = (1, 3, 5, 10, 20)
FEW = 6  # trials: a warm start that needs fewer is judged by its regrets
FLAT = 0.05  # of the configurations within 2 % of the best

Order = Iterator[int]
Method = Callable[["Landscape", int], Order]


class Flat:
    """Expects the same of every candidate: what the search is worth without knowing anything."""

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        """See ``Prior``."""
        return (Expected(1.0, SPREAD, 0, 0.1),) * len(candidates)


def cold_prior(land: Landscape) -> Prior:
    """Rules of thumb."""
    return ColdPrior(space_of(land.table))


def warm_prior(others: Sequence[Landscape], land: Landscape) -> Prior:
    """By what other tables have, each counting as much as any other."""
    count = len(others)
    alike = np.full((count, count), LIKENESS) + (1 - LIKENESS) * np.eye(count)
    found = tuple(Other(LIKENESS, _rows(other)) for other in others)
    return SimilarPrior(cold_prior(land), found, alike)


def _rows(land: Landscape) -> Rows:
    return Rows.of([land.entry(at, seed=0) for at in range(len(land.candidates))])


def by_search(prior_of: Callable[[Landscape], Prior], land: Landscape, seed: int) -> Order:
    """Rows in the order in which the search tries them."""
    prior = prior_of(land)
    known = {candidate: at for at, candidate in enumerate(land.candidates)}
    space = space_of(land.table)
    proposer = Proposer(space, lambda _: (), seed, prior, among=land.candidates)
    history = [land.entry(land.baseline, seed)]
    while chosen := proposer.propose(history, COHORT).candidates:
        rows = [known[candidate] for candidate in chosen]
        yield from rows
        history += [land.entry(at, seed) for at in rows]


def by_optuna(
    make: Callable[[int], optuna.samplers.BaseSampler], land: Landscape, seed: int
) -> Order:
    """Rows in the order in which an estimator of Optuna asks for them, or for ones near them."""
    table = Parameters(land.candidates)
    study = optuna.create_study(sampler=make(seed))
    left = dict.fromkeys(range(len(land.candidates)))
    del left[land.baseline]
    study.add_trial(table.told(land.entry(land.baseline, seed)))
    order = np.random.default_rng(seed).permutation(len(land.candidates))
    while left:
        asked = study.ask(table.distributions)
        shuffled = [int(at) for at in order if at in left]
        near = table.nearest(asked.params, [land.candidates[at] for at in shuffled])
        at = next(at for at in shuffled if land.candidates[at] == near)
        del left[at]
        yield at
        told = table.told(land.entry(at, seed))
        asked.set_constraint("failed", told.constraints["failed"])
        study.tell(asked, told.value)


def at_random(land: Landscape, seed: int) -> Order:
    """Rows in a random order."""
    order = np.random.default_rng([seed, 1]).permutation(len(land.candidates))
    return (int(at) for at in order if at != land.baseline)


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=True)


def _nsga2(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=10)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A method on a landscape. trials: to come within 2 %, [seeds]. regrets: [seeds, REGRETS]."""

    trials: NDArray[np.int64]
    regrets: Matrix


def replayed(method: Method, land: Landscape, seeds: int) -> Replayed:
    """Run a method with each seed, until it is there or gives up."""
    good = land.good()
    trials, regrets = [], []
    for seed in range(seeds):
        least, found, path = float("inf"), MOST, []
        for number, at in enumerate(method(land, seed), 1):
            if land.feasible[at]:
                least = min(least, float(land.truth[at]))
            path.append(max(1.0, least) if least == float("inf") else least)
            if good[at]:
                found = min(found, number)
            if (found < MOST and number >= REGRETS[-1]) or number >= MOST:
                break
        # Before anything was tried that does, there is the baseline.
        own = [min(1.0, path[min(n, len(path)) - 1]) if path else 1.0 for n in REGRETS]
        trials.append(found)
        regrets.append([each / land.best - 1.0 for each in own])
    return Replayed(np.array(trials), np.array(regrets))


def main() -> int:
    """Replay; the exit code."""
    parser = options(__doc__)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--quick", action="store_true", help="few seeds")
    parser.add_argument("--alone", action="store_true", help="the search alone, without rivals")
    given = parser.parse_args()
    report = Report(__file__, given.json)
    seeds = QUICK_SEEDS if given.quick else given.seeds
    try:
        lands = [Landscape.of(read_table(path, "configurations")) for path in given.tables]
    except TableError as error:
        parser.error(str(error))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    for land in lands:
        _show_landscape(report, land)
        cold = replayed(partial(by_search, cold_prior), land, seeds)
        _show(report, land, "cold", cold)
        flat = replayed(partial(by_search, lambda _: Flat()), land, seeds)
        _show(report, land, "without rules of thumb", flat)
        if len(lands) > 1:
            others = [each for each in lands if each is not land]
            warm = replayed(partial(by_search, partial(warm_prior, others)), land, seeds)
            _show_warm(report, land, cold, warm)
        _show_races(report, land)
        if not given.alone:
            _against_rivals(report, land, cold, seeds)
    return report.close()


def _show_landscape(report: Report, land: Landscape) -> None:
    name, good = land.table.model, int(land.good().sum())
    flat = ", a flat landscape" if good > FLAT * len(land.candidates) else ""
    report.show(f"{name}: configurations", len(land.candidates), Unit.COUNT)
    feasible = int(land.feasible.sum())
    note = f"{good} within 2 % of the best{flat}"
    report.show("... that are feasible", feasible, Unit.COUNT, note)
    best = land.table.rows[int(np.argmin(np.where(land.feasible, land.truth, np.inf)))]
    report.show("... the best over the baseline", land.best, Unit.TIMES, best.candidate.label())


def _show(report: Report, land: Landscape, name: str, found: Replayed) -> None:
    regrets = ", ".join(
        f"{regret:.1%} after {n}"
        for n, regret in zip(REGRETS, np.median(found.regrets, axis=0), strict=True)
    )
    note = f"90 % of seeds: {np.quantile(found.trials, SHARE):.0f}; median regret {regrets}"
    label = f"{land.table.model}, {name}: median trials"
    report.show(label, float(np.median(found.trials)), Unit.COUNT, note)


def _show_warm(report: Report, land: Landscape, cold: Replayed, warm: Replayed) -> None:
    _show(report, land, "warm", warm)
    own, other = float(np.median(warm.trials)), float(np.median(cold.trials))
    if other >= FEW:
        report.at_most(f"{land.table.model}: warm of cold", own / other, 1.0, Unit.TIMES)


def _show_races(report: Report, land: Landscape) -> None:
    """What the races of cohorts take, and lose, by their rules and by those before."""
    for name, rules in (("now", COHORT_RULES), ("before", EARLIER_RULES)):
        found = [_raced(land, rules, seed) for seed in range(RACES)]
        shares = sum(r.runs for r in found) / sum(r.exhaustive_runs for r in found)
        regret = f"mean regret {np.mean([r.regret for r in found]):.1%}"
        label = f"{land.table.model}, races of cohorts {name}: runs of all"
        report.show(label, shares, Unit.SHARE, regret)


def _raced(land: Landscape, rules: RaceRules, seed: int) -> Replay:
    """A cohort with the baseline; as in a search nobody is 2.5 times behind the best."""
    rng = np.random.default_rng([seed, 2])
    ran = np.flatnonzero(~np.isnan(land.truth))
    drawn = rng.choice(ran, min(len(ran), 8 * COHORT), replace=False)
    near = drawn[land.truth[drawn] < TOO_SLOW * land.truth[drawn].min()][:COHORT]
    rows = [land.baseline, *(int(at) for at in near if at != land.baseline)]
    blocks = rng.choice(land.ratios.shape[1], rules.max_blocks)
    names = [str(at) for at in rows]
    return replay(land.ratios[rows][:, blocks].T, names, rules, land.truth[rows])


def _against_rivals(report: Report, land: Landscape, cold: Replayed, seeds: int) -> None:
    tpe = replayed(partial(by_optuna, _tpe), land, seeds)
    nsga2 = replayed(partial(by_optuna, _nsga2), land, seeds)
    random = replayed(at_random, land, seeds)
    for name, found in (("TPE", tpe), ("NSGA-II", nsga2), ("random", random)):
        _show(report, land, name, found)
    own = float(np.median(cold.trials))
    better = min(float(np.median(tpe.trials)), float(np.median(nsga2.trials)))
    model = land.table.model
    report.at_most(f"{model}: of the better of Optuna's", own / better, HALF, Unit.TIMES)
    report.at_most(
        f"{model}: of random", own / float(np.median(random.trials)), QUARTER, Unit.TIMES
    )
    soon = float(np.mean(cold.trials <= SOON))
    report.at_least(f"{model}: seeds within {SOON} trials", soon, SHARE)


if __name__ == "__main__":
    sys.exit(main())
