"""What ``farm results`` asks a store."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from db.questions.results import results
from db.store import Store
from farm.measurement import Measurement, Method, Metric, Outcome
from tests.db.samples import FAST, LATENCY, OTHER_MODEL, RUN, SLOW, fill, trial

_MODELLED = Measurement(Metric.ENERGY, 2e-3, Method.MODELLED)
_MEASURED = Measurement(Metric.ENERGY, 3e-3, Method.MEASURED, 2e-3, 4e-3, (3e-3,))


@pytest.fixture
def filled(store: Store) -> Store:
    """Two runs on two models: an ok, a failed and a pending trial."""
    fill(store)
    store.add_model(OTHER_MODEL)
    other = replace(RUN, name="other", model_sha256=OTHER_MODEL.sha256)
    store.create_run(other)
    for each in (trial(0), trial(1, SLOW, device="gpu"), trial(2, run=other)):
        store.lease_trial(each)
    memory = Measurement(Metric.PEAK_MEMORY, 5e6, Method.MEASURED)
    store.commit_trial("trial-0", Outcome.OK, measurements=[LATENCY, _MODELLED, _MEASURED, memory])
    store.commit_trial("trial-1", Outcome.COMPILE_ERROR, "no such operator")
    return store


def test_a_result_has_everything_a_table_shows(filled: Store) -> None:
    result = next(row for row in results(filled) if row.trial == "trial-0")
    assert (result.model, result.device, result.run) == ("kws", "cpu", RUN.name)
    assert (result.candidate, result.candidate_id) == (FAST.label, FAST.id)
    assert result.latency == replace(LATENCY, samples=())
    assert result.memory is not None
    assert result.memory.value == 5e6
    assert result.accuracy is None


def test_what_a_night_runs_of_one_candidate_is_told_apart(filled: Store) -> None:
    names = ("trial-3", "trial-4", "trial-5")
    ran = ({}, {"artifact": "/kept/1"}, {"artifact": "", "environment": "older"})
    for number, pinned in enumerate(ran, 3):
        filled.lease_trial(trial(number))
        details = json.dumps({"pinned": pinned} if pinned else {})
        filled.commit_trial(f"trial-{number}", Outcome.OK, details=details)
    shown = {row.trial: row.candidate for row in results(filled)}
    assert [shown[name] for name in names] == [
        FAST.label,
        f"{FAST.label}, as compiled before",
        f"{FAST.label}, environment older",
    ]


def test_a_measured_value_is_shown_before_a_modelled_one(filled: Store) -> None:
    result = results(filled, outcome=Outcome.OK)[0]
    assert result.energy == replace(_MEASURED, samples=())


def test_failed_and_pending_trials_are_results_too(filled: Store) -> None:
    pending, failed, _ = results(filled)
    assert (pending.trial, pending.outcome, pending.latency) == ("trial-2", None, None)
    assert (failed.outcome, failed.message) == (Outcome.COMPILE_ERROR, "no such operator")


def test_results_are_filtered(filled: Store) -> None:
    def shown(**filters: object) -> list[str]:
        return [row.trial for row in results(filled, **filters)]  # type: ignore[arg-type]

    assert shown() == ["trial-2", "trial-1", "trial-0"]
    assert shown(model="ultraface") == ["trial-2"]
    assert shown(model="abab") == ["trial-1", "trial-0"]
    assert shown(devices=("gpu", "none")) == ["trial-1"]
    assert shown(run="other") == ["trial-2"]
    assert shown(outcome=Outcome.OK) == ["trial-0"]
    assert shown(limit=1) == ["trial-2"]
    assert shown(run="nothing") == []
