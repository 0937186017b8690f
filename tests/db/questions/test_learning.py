"""What cost models read of a store: whole trials, with what their blocks say."""

from __future__ import annotations

import pytest

from db.questions.learning import candidate_texts, model_texts, whole_trials
from db.store import Store
from farm.measurement import Measurement, Method, Metric, Outcome
from tests.db.samples import FAST, MACHINE, MODEL, SLOW, block, fill, trial


@pytest.fixture
def filled(store: Store) -> Store:
    return fill(store)


def commit(store: Store, number: int, outcome: Outcome = Outcome.OK, **values: float) -> None:
    store.lease_trial(trial(number, SLOW if number else FAST))
    found = [Measurement(Metric(n), value, Method.MEASURED) for n, value in values.items()]
    store.commit_trial(f"trial-{number}", outcome, measurements=found)


def test_blocks_that_were_kept_say_what_a_trial_took(filled: Store) -> None:
    commit(filled, 0, latency=9.0, cpu_seconds=9.0, peak_memory=4e6)
    commit(filled, 1, latency=8.0)
    told = [block(0, "trial-0"), block(1, "trial-0"), block(2, "trial-0", kept=False)]
    for each in told:
        filled.add_block(each)
    second, first = whole_trials(filled, "cpu", MACHINE.id)
    samples = [sample for each in told[:2] for sample in each.samples]
    assert first.blocks == 2
    assert first.seconds == pytest.approx(sum(s.seconds for s in samples) / 2)
    assert first.cpu_seconds == pytest.approx(sum(s.cpu_seconds for s in samples) / 2)
    assert first.sentinel == told[0].sentinel_seconds
    assert (first.peak_bytes, first.joules, first.arena_bytes) == (4e6, None, None)
    assert (first.model_sha256, first.candidate) == (MODEL.sha256, FAST.id)
    assert (second.blocks, second.seconds, second.sentinel) == (0, 8.0, None)


def test_what_failed_is_told_and_what_says_nothing_is_not(filled: Store) -> None:
    commit(filled, 0, Outcome.RUN_ERROR)
    commit(filled, 1, Outcome.INFRASTRUCTURE_ERROR)
    filled.lease_trial(trial(2))
    (found,) = whole_trials(filled, "cpu", MACHINE.id)
    assert (found.outcome, found.seconds) == (Outcome.RUN_ERROR, None)


def test_trials_are_of_one_device_machine_and_model(filled: Store) -> None:
    commit(filled, 0, latency=1.0)
    commit(filled, 1, latency=1.0)
    assert whole_trials(filled, "gpu", MACHINE.id) == ()
    assert whole_trials(filled, "cpu", "another") == ()
    assert whole_trials(filled, "cpu", MACHINE.id, model_sha256="another") == ()
    (newest,) = whole_trials(filled, "cpu", MACHINE.id, limit=1)
    assert newest.trial == "trial-1"


def test_texts_of_candidates_and_models(filled: Store) -> None:
    assert candidate_texts(filled, [FAST.id, "unknown"]) == {FAST.id: FAST.json}
    assert model_texts(filled, [MODEL.sha256]) == {
        MODEL.sha256: (MODEL.name, MODEL.macs, MODEL.details)
    }
