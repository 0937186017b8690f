"""The budget that is enough for another candidate, by what the baseline took."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from db.records import Phase, utc_now
from db.store import Store
from farm.measurement import Outcome
from tests.db.samples import START, block, trial
from tests.tuner.imagined import BASELINE
from tuner.racing.recorded import FEWEST_PAIRS
from tuner.runs.history import Entry
from tuner.search.enough import enough_budget


def baseline(store: Store, number: int, phase: Phase, seconds: float) -> Entry:
    begun = utc_now() - timedelta(seconds=seconds)
    record = replace(trial(number), phase=phase, created_at=begun)
    store.lease_trial(record)
    store.commit_trial(record.id, Outcome.OK)
    return Entry(record.id, BASELINE, Outcome.OK, "", "", {})


def test_trials_and_blocks_of_another_candidate_take_as_long(store: Store) -> None:
    interrupted = 3600.0
    searched = baseline(store, 0, Phase.SEARCH, interrupted)
    confirmed = baseline(store, 1, Phase.CONFIRM, 10.0)
    store.add_block(block(0, searched.trial_id, race=0))
    for index in range(3):
        ran = block(index, confirmed.trial_id, race=1)
        store.add_block(replace(ran, started_at=START + timedelta(seconds=3 * index)))
    needed = 4 * 10.0 + 2 * FEWEST_PAIRS * 3.0
    assert enough_budget(store, (searched, confirmed)) == pytest.approx(1.05 * needed, rel=0.01)
