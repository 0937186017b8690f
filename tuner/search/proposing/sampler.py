"""A share of the proposals is Optuna's: its tree-structured Parzen estimator over the pool.

It is told everything that was tried, failures as a violated constraint. What it asks for is taken
to the nearest candidate that was not tried: most combinations of options are none.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from farm.candidate import Candidate
from farm.measurement import Outcome
from tuner.runs.history import Entry
from tuner.search.regression.flat import Value, flat

ABSENT = "-"
"""Of a parameter that does not apply."""
_NO_RATIO = 10.0  # of what never ran; its violated constraint says the rest
_STARTUP = 4  # of trials that are drawn at random


def sample(pool: Sequence[Candidate], history: Sequence[Entry], seed: int) -> Candidate:
    """The candidate of the pool that is nearest to what Optuna asks for. Deterministic.

    Raises ValueError: the pool is empty.
    """
    told = [e for e in history if e.outcome is not Outcome.INFRASTRUCTURE_ERROR]
    table = Parameters((*(e.candidate for e in told), *pool))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed + len(history), multivariate=True, n_startup_trials=_STARTUP
        )
    study = optuna.create_study(sampler=sampler)
    study.add_trials([table.told(entry) for entry in told])
    return table.nearest(study.ask(table.distributions).params, pool)


class Parameters:
    """Candidates as categorical parameters, each with the values that occur among them."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        names = sorted({name for candidate in candidates for name in flat(candidate)})
        values = {
            name: sorted({flat(c).get(name, ABSENT) for c in candidates}, key=_in_order)
            for name in names
        }
        self.distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(choices)
            for name, choices in values.items()
            if len(choices) > 1
        }
        self._known: dict[Candidate, dict[str, Value]] = {}

    def of(self, candidate: Candidate) -> dict[str, Value]:
        """The parameters of one candidate."""
        if candidate not in self._known:
            found = flat(candidate)
            self._known[candidate] = {n: found.get(n, ABSENT) for n in self.distributions}
        return self._known[candidate]

    def told(self, entry: Entry) -> optuna.trial.FrozenTrial:
        """A trial as Optuna keeps it."""
        return optuna.trial.create_trial(
            params=self.of(entry.candidate),
            distributions=self.distributions,
            value=_NO_RATIO if entry.ratio is None else entry.ratio,
            constraints={"failed": -1.0 if entry.ok else 1.0},
        )

    def nearest(self, asked: Mapping[str, Value], pool: Sequence[Candidate]) -> Candidate:
        """The first of those that share the most parameters with what was asked for."""
        wanted = asked.items()
        return max(pool, key=lambda candidate: len(wanted & self.of(candidate).items()))


def _in_order(value: Value) -> tuple[str, Value]:
    """Values of one type are compared with each other; false and 0 are not the same."""
    return type(value).__name__, value
