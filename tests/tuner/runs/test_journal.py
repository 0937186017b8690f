"""The journal: each trial and block runs once and is in the store with all that is known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from db.costs.predictions import predictions
from db.questions.results import results
from db.records import Phase
from db.store import Store
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.prediction import Basis, Prediction
from tests.db.samples import MODEL, RUN
from tests.tuner.imagined import BASELINE, DEVICE, Imagined, ImaginedExecutor, Traits, fakes
from tuner.runs.expected import Expects
from tuner.runs.record.details import notes_in
from tuner.runs.record.journal import Journal
from workers.jobs import BlockJob, TrialJob, TrialReport
from workers.protocol import Warmup

FAST, SLOW = fakes(0.5, 0.9)


class Reporting(ImaginedExecutor):
    """Reports everything that a report can hold."""

    def run_trials(self, device: str, jobs: Iterable[TrialJob]) -> Iterator[TrialReport]:
        for report in super().run_trials(device, jobs):
            size = Measurement(Metric.MODEL_SIZE, 321.0, Method.PLANNED)
            yield replace(
                report,
                artifact_key="onnx-9",
                measurements=(*report.measurements, size),
                warmup=Warmup(20, steady=True),
                notes=("accuracy metric: top1",),
                worker_seconds=2.5,
                child_seconds=2.25,
            )


def test_a_trial_is_stored_with_everything(store: Store) -> None:
    journal = Imagined(store, Reporting()).journal
    (entry,) = journal.run_trials([FAST], Phase.SEARCH)
    trial = store.trial(entry.trial_id)
    assert (trial.run, trial.device, trial.phase) == (RUN.name, DEVICE, Phase.SEARCH)
    assert (trial.outcome, trial.attempts, trial.artifact_key) == (Outcome.OK, 1, "onnx-9")
    details = json.loads(trial.details)
    assert details["assignment"] == {"fake": 1}
    assert details["warmup"]["steady"] is True
    assert details["notes"] == ["accuracy metric: top1"]
    assert (details["worker_seconds"], details["child_seconds"]) == (2.5, 2.25)
    assert json.loads(store.candidate(FAST.id).json)["engine"]["seconds"] == 5e-4
    stored = {m.metric: m for m in store.measurements(entry.trial_id)}
    assert stored == dict(entry.measurements)


@pytest.mark.parametrize(
    ("warmup", "told"),
    [
        (Warmup(20, steady=True), ()),
        (Warmup(19, steady=False), ()),
        (
            Warmup(20, steady=False),
            ("The warm-up ended after a second, while its times still changed.",),
        ),
        (
            Warmup(3, steady=False, at_pace=False),
            ("The warm-up ended after a second, while the clock of the GPU still changed.",),
        ),
    ],
)
def test_what_was_not_measured_as_it_should_be(
    store: Store, warmup: Warmup, told: tuple[str, ...]
) -> None:
    class Warming(ImaginedExecutor):
        def run_trials(self, device: str, jobs: Iterable[TrialJob]) -> Iterator[TrialReport]:
            for report in super().run_trials(device, jobs):
                yield replace(report, warmup=warmup, notes=("It is compiled.",))

    journal = Imagined(store, Warming()).journal
    (entry,) = journal.run_trials([FAST], Phase.SEARCH)
    journal.doubt(entry, ())
    assert list(journal.doubts((entry, entry))) == [f"{FAST.label()}: {each}" for each in told]
    journal.doubt(entry, ("The counter fell silent.",))
    assert notes_in(store.trial(entry.trial_id).details) == (
        "It is compiled.",
        *told,
        "The counter fell silent.",
    )
    assert len(list(journal.doubts((entry,)))) == len(told) + 1


def test_what_is_expected_is_kept_before_it_is_measured(store: Store) -> None:
    said = {Metric.LATENCY: Prediction(5e-4, 4e-4, 6e-4, "s", Basis.LEARNED, 40)}
    seen = []

    class Asking(ImaginedExecutor):
        def run_trials(self, device: str, jobs: Iterable[TrialJob]) -> Iterator[TrialReport]:
            for job in jobs:
                seen.append(predictions(store, job.trial_id))
                yield from super().run_trials(device, [job])

    scope = Imagined(store, Asking()).journal.scope
    expects = Expects(lambda candidates: {c: said for c in candidates if c == FAST}, "v1")
    journal = Journal(store, Asking(), scope, expects=expects)  # type: ignore[arg-type]
    fast, slow = journal.run_trials([FAST, SLOW], Phase.SEARCH)
    assert seen == [said, {}]
    assert (fast.predicted, slow.predicted) == (said, {})
    again = Journal(store, Asking(), scope)  # type: ignore[arg-type]
    (recalled,) = again.run_trials([FAST], Phase.SEARCH)
    assert recalled.predicted == said
    (row,) = (r for r in results(store) if r.trial == fast.trial_id)
    assert row.predicted == said


def test_ids_tell_phases_and_candidates_apart(store: Store) -> None:
    journal = Imagined(store, ImaginedExecutor()).journal
    ids = {journal.job(c, p).trial_id for c in (FAST, SLOW) for p in Phase}
    assert len(ids) == 2 * len(Phase)
    assert journal.job(FAST, Phase.SEARCH) == journal.job(FAST, Phase.SEARCH)


def test_what_is_only_tried_is_given_up_where_it_is_slow_to_check(store: Store) -> None:
    jobs: list[TrialJob] = []

    class Watched(ImaginedExecutor):
        def run_trials(self, device: str, asked: Iterable[TrialJob]) -> Iterator[TrialReport]:
            jobs.extend(taken := list(asked))
            return super().run_trials(device, taken)

    journal = Imagined(store, Watched()).journal
    list(journal.run_trials([FAST], Phase.SEARCH, patient=True))  # the baseline
    list(journal.run_trials([SLOW], Phase.SEARCH))
    list(journal.run_trials([SLOW], Phase.CONFIRM))
    assert [job.limits.patient for job in jobs] == [True, False, True]


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.OK])
def test_only_infrastructure_errors_are_tried_again(store: Store, outcome: Outcome) -> None:
    first = Imagined(store, ImaginedExecutor({FAST: Traits(outcome=outcome)}))
    (entry,) = first.journal.run_trials([FAST], Phase.SEARCH)
    again = ImaginedExecutor()
    (resumed,) = Imagined(store, again).journal.run_trials([FAST], Phase.SEARCH)
    if outcome is Outcome.INFRASTRUCTURE_ERROR:
        assert resumed.outcome is Outcome.OK
        assert store.trial(entry.trial_id).attempts == 2
    else:
        assert again.trials == []
        assert (resumed.outcome, resumed.message) == (outcome, entry.message)


def test_a_trial_that_was_only_leased_runs(store: Store) -> None:
    interrupted = ImaginedExecutor()
    interrupted.interrupt_at = 0
    with pytest.raises(KeyboardInterrupt):
        list(Imagined(store, interrupted).journal.run_trials([FAST], Phase.SEARCH))
    (pending,) = store.trials(run=RUN.name)
    assert pending.outcome is None
    (entry,) = Imagined(store, ImaginedExecutor()).journal.run_trials([FAST], Phase.SEARCH)
    assert (entry.outcome, store.trial(entry.trial_id).attempts) == (Outcome.OK, 2)


def test_jobs_are_leased_only_when_they_are_taken(store: Store) -> None:
    reports = Imagined(store, ImaginedExecutor()).journal.run_trials([FAST, SLOW], Phase.SEARCH)
    next(reports)
    assert len(store.trials(run=RUN.name)) == 1


def test_a_block_is_stored_with_its_order(store: Store) -> None:
    imagined = Imagined(store, ImaginedExecutor())
    journal = imagined.journal
    entries = list(journal.run_trials([BASELINE, FAST], Phase.SEARCH))
    jobs = [journal.job(e.candidate, Phase.SEARCH) for e in reversed(entries)]
    block = journal.run_block(4, 7, BlockJob(tuple(jobs)), tolerant=False)
    (stored,) = journal.recorded_blocks(4)
    assert stored == block
    assert [s.trial_id for s in stored.samples] == [job.trial_id for job in jobs]
    assert (stored.index, stored.kept, stored.sentinel_seconds) == (7, True, 2e-3)
    assert journal.begun_races() == {}, "the first block has index 0"


def test_a_failure_in_a_block_is_the_outcome_of_its_trial(store: Store) -> None:
    imagined = Imagined(store, ImaginedExecutor({FAST: Traits(fails_in_block=0)}))
    journal = imagined.journal
    entries = list(journal.run_trials([BASELINE, FAST], Phase.SEARCH))
    jobs = tuple(journal.job(e.candidate, Phase.SEARCH) for e in entries)
    block = journal.run_block(0, 0, BlockJob(jobs), tolerant=True)
    assert (block.kept, block.reason) == (False, "it leaked.")
    assert entries[1].ok, "the entry learns of it when it is refreshed"
    journal.refresh(entries[1])
    assert (entries[1].outcome, entries[1].message) == (Outcome.OUT_OF_MEMORY, "it leaked.")
    assert journal.begun_races() == {0: frozenset({entries[0].trial_id})}


def test_measurements_are_added_to_trial_and_entry(store: Store) -> None:
    journal = Imagined(store, ImaginedExecutor()).journal
    (entry,) = journal.run_trials([FAST], Phase.SEARCH)
    better = Measurement(Metric.LATENCY, 4e-4, Method.MEASURED, 3e-4, 5e-4, (4e-4,))
    journal.amend(entry, [better])
    assert entry.measurements[Metric.LATENCY] == better
    assert entry.value(Metric.PEAK_MEMORY) is not None
    assert better in store.measurements(entry.trial_id)


def test_artifacts_belong_to_the_model(store: Store) -> None:
    journal = Imagined(store, Reporting()).journal
    (entry,) = journal.run_trials([FAST], Phase.SEARCH)
    assert entry.artifact_key == "onnx-9"
    assert store.model(MODEL.sha256).name == "kws"
