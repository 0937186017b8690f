"""The run that ``faults.py`` disturbs: fake candidates, of which some crash, hang or leak.

It uses what ``farm tune`` uses: store, journal, Ray pool, fake device. Started again with the
same folder, it resumes its run by name, like ``farm tune --resume``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.common import digits_request
from db.records import Phase, RunStatus
from db.store import Store
from farm.candidate import Candidate, Fake
from farm.devices.profile import load_profiles
from farm.measurement import Outcome
from tuner.runs.record.journal import Journal
from tuner.runs.start import OpenRun, check_request, open_journal, resume_run, start_run
from workers.cluster.pool import RayExecutor
from workers.jobs import Limits

Fault = Literal["none", "crash", "hang", "out-of-memory"]

DEADLINE_SECONDS = 1.5
MEMORY_BYTES = 256 << 20
SHARES: dict[Fault, float] = {"crash": 0.05, "hang": 0.03, "out-of-memory": 0.02}
EXPECTED: dict[Fault, Outcome] = {
    "none": Outcome.OK,
    "crash": Outcome.RUN_ERROR,
    "hang": Outcome.TIMEOUT,
    "out-of-memory": Outcome.OUT_OF_MEMORY,
}
_COHORT = 20  # children stay alive until their cohort is released
_PASSES = 5  # over trials that ended in infrastructure errors


def main() -> int:
    """Run what is left of the run in a folder; 1 when infrastructure errors remain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds the store and the workers' cache")
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    expected = expected_outcomes(arguments.trials, arguments.seed)
    return 0 if run(arguments.folder, list(expected)) else 1


def store_file(folder: Path) -> Path:
    """The store of a run's folder."""
    return folder / "farm.db"


def expected_outcomes(trials: int, seed: int) -> dict[Candidate, Outcome]:
    """The candidates in the order they run, and what must become of each."""
    counts = {fault: round(share * trials) for fault, share in SHARES.items()}
    faults: list[Fault] = [fault for fault, count in counts.items() for _ in range(count)]
    faults += ["none"] * (trials - len(faults))
    order = np.random.default_rng(seed).permutation(trials)
    return {
        Candidate(Fake(seconds=1e-3, fault=faults[i], serial=serial)): EXPECTED[faults[i]]
        for serial, i in enumerate(order)
    }


def run(folder: Path, candidates: Sequence[Candidate]) -> bool:
    """Start or resume the run; whether every trial has a final outcome."""
    with Store.open(str(store_file(folder))) as store:
        opened = _open(store)
        (profile,) = opened.profiles
        with RayExecutor([profile], folder / "cache") as executor:
            executor.prepare(profile.name, opened.subject.workload)
            facts = executor.describe(profile.name)
            scope = open_journal(store, executor, opened, profile, facts).scope
            limits = Limits(DEADLINE_SECONDS, memory_bytes=MEMORY_BYTES)
            journal = Journal(store, executor, replace(scope, limits=limits))
            complete = any(_all_final(journal, executor, candidates) for _ in range(_PASSES))
        status = RunStatus.FINISHED if complete else RunStatus.FAILED
        store.update_run(opened.name, status=status)
        return complete


def _open(store: Store) -> OpenRun:
    """The one run of the store, or a new one where there is none yet."""
    profiles = load_profiles()
    for run in store.runs(limit=1):
        return resume_run(store, run.name, profiles)
    return start_run(store, check_request(digits_request("fake"), profiles))


def _all_final(journal: Journal, executor: RayExecutor, candidates: Sequence[Candidate]) -> bool:
    """Run what has no final outcome yet, cohort by cohort; whether everything has one now."""
    outcomes: set[Outcome] = set()
    remaining = iter(candidates)
    while cohort := list(islice(remaining, _COHORT)):
        entries = list(journal.run_trials(cohort, Phase.SEARCH))
        executor.release(journal.scope.device, [entry.trial_id for entry in entries])
        outcomes |= {entry.outcome for entry in entries}
    return Outcome.INFRASTRUCTURE_ERROR not in outcomes


if __name__ == "__main__":
    sys.exit(main())
