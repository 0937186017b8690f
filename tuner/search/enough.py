"""The budget that would have been enough to try something beside the baseline."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from db.records import Trial
from db.store import Store
from farm.units import Seconds
from tuner.racing.recorded import FEWEST_PAIRS
from tuner.runs.history import Entry
from tuner.search.profiles import kept_for_profiles

_TRIALS = 4  # baseline and another candidate, each in the search and in the confirmation


def enough_budget(store: Store, baselines: tuple[Entry, Entry]) -> Seconds:
    """Seconds of a device in which another candidate is tried and confirmed, at least.

    By what the baseline took: a candidate's trials and blocks are thought to take as long. All of
    it is in the store, so that a resumed run says the same.

    baselines: its entries in the search and in the confirmation, which measured it alone.
    """
    trials = [store.trial(entry.trial_id) for entry in baselines]
    taken = [(t.finished_at - t.created_at).total_seconds() for t in trials if t.finished_at]
    # The longer one may hold the time during which an interrupted run did not go on.
    needed = _TRIALS * min(taken, default=0.0) + 2 * FEWEST_PAIRS * _block_seconds(
        store, trials[1]
    )
    return Seconds(needed + kept_for_profiles(needed))


def _block_seconds(store: Store, trial: Trial) -> float:
    """What a block of a trial alone takes in fresh processes, from one beginning to the next."""
    ran = [
        block.started_at
        for block in store.blocks(trial.run, trial.device)
        if [sample.trial_id for sample in block.samples] == [trial.id]
    ]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(ran)]
    return float(np.median(gaps)) if gaps else 0.0
