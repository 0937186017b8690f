"""How long a trial will take, by those that were run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from db.records import Phase, Trial
from db.store import Store
from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu, OpenVinoRuntime
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.units import Seconds
from tests.db.samples import FAST, MACHINE, RUN, SOFTWARE, fill
from tuner.learning.effort import LEAST_TRIALS, Effort, TrialEffort, effort_on, together

ORT = Candidate(OnnxRuntimeCpu())


def trials(noise: float = 0.0, count: int = 40) -> list[TrialEffort]:
    """Half a second and 60 runs with ONNX Runtime, two seconds and 60 runs of packages."""
    rng = np.random.default_rng(3)
    found = []
    for at in range(count):
        kind, making = (("onnxruntime-cpu", 0.5), ("cpackage", 2.0))[at % 2]
        latency = 10.0 ** rng.uniform(-4, -1)
        seconds = (making + 60 * latency) * np.exp(noise * rng.standard_normal())
        found.append(TrialEffort(kind, Seconds(latency), Seconds(float(seconds))))
    return found


def fitted(given: list[TrialEffort]) -> Effort:
    effort = Effort.fit(given)
    assert effort is not None
    return effort


def test_what_takes_how_long_is_found_again() -> None:
    effort = fitted(trials())
    assert effort.making == pytest.approx({"cpackage": 2.0, "onnxruntime-cpu": 0.5})
    assert effort.runs == pytest.approx(60.0)
    found = effort.of(ORT, Seconds(0.1))
    assert found.value == pytest.approx(6.5)
    assert found.rows == 40


def test_nine_of_ten_lie_within_the_interval() -> None:
    given = trials(noise=0.4, count=400)
    effort = fitted(given)
    engines = {"onnxruntime-cpu": ORT, "cpackage": Candidate(CPackage(target="portable"))}
    said = [(effort.of(engines[t.kind], t.latency), t.seconds) for t in given]
    inside = sum(p.low <= seconds <= p.high for p, seconds in said)
    assert 0.85 < inside / len(given) < 0.95


def test_one_that_hung_changes_little() -> None:
    hung = TrialEffort("onnxruntime-cpu", Seconds(1e-3), Seconds(600.0))
    assert fitted([*trials(), hung]).of(ORT, Seconds(1e-3)).value == pytest.approx(0.56, rel=0.1)


def test_an_engine_that_never_ran_is_like_the_others() -> None:
    found = fitted(trials()).of(Candidate(OpenVinoRuntime()), Seconds(0.0))
    assert found.value == pytest.approx(1.25)


def test_of_few_trials_nothing_is_said() -> None:
    assert Effort.fit(trials()[: LEAST_TRIALS - 1]) is None
    assert together([]) is None


def test_several_trials_one_after_the_other() -> None:
    effort = fitted(trials(noise=0.2))
    one = effort.of(ORT, Seconds(0.1))
    both = together([one, one])
    assert both is not None
    assert (both.value, both.rows) == (2 * one.value, one.rows)


def test_it_is_read_from_a_store() -> None:
    with Store.open(":memory:") as store:
        fill(store)
        for at in range(LEAST_TRIALS):
            trial = Trial(
                f"t{at}", RUN.name, "cpu", FAST.id, Phase.SEARCH, MACHINE.id, SOFTWARE.id
            )
            store.lease_trial(trial)
            measured = (Measurement(Metric.LATENCY, 1e-3 * (at + 1), Method.MEASURED),)
            details = json.dumps({"worker_seconds": 1.0 + 0.06 * (at + 1)})
            store.commit_trial(trial.id, Outcome.OK, "", measured, None, details)
        effort = effort_on(store, "cpu", MACHINE.id)
        assert effort is not None
        assert effort.runs == pytest.approx(60.0)
        assert effort_on(store, "dsp", MACHINE.id) is None
