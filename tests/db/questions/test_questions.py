"""What is asked of a store without SQL, about trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from db.questions.best import best
from db.questions.failures import failures
from db.questions.latest import latest
from db.questions.pareto import pareto
from db.questions.predicted import predicted
from db.questions.views import Subject
from db.records import CandidateRecord, Machine, Phase, Run, RunStatus
from db.store import Store
from farm.errors import NotInStore
from farm.measurement import Measurement, Method, Metric, Outcome
from reports.answers.trials import best_answer, latest_answer
from tests.db.samples import FAST, OTHER_MODEL, PREDICTED, RUN, SLOW, START, fill, trial

MEMORY, ACCURACY = Metric.PEAK_MEMORY, Metric.ACCURACY


@pytest.fixture
def filled(store: Store) -> Store:
    return fill(store)


def measure(
    store: Store,
    number: int,
    values: Mapping[Metric, float],
    candidate: CandidateRecord = FAST,
    phase: Phase = Phase.SEARCH,
    method: Method = Method.MEASURED,
    **more: object,
) -> str:
    """Add an ok trial with these values; its id."""
    new = replace(trial(number, candidate), phase=phase, **more)  # type: ignore[arg-type]
    store.lease_trial(new)
    found = [Measurement(metric, value, method) for metric, value in values.items()]
    store.commit_trial(new.id, Outcome.OK, measurements=found)
    return new.id


def best_trials(store: Store, metric: Metric = Metric.LATENCY) -> list[str]:
    return [row.trial for row in best(store, metric=metric)]


def test_the_best_has_the_least_latency_and_the_most_throughput(filled: Store) -> None:
    measure(filled, 0, {Metric.LATENCY: 2e-3, Metric.THROUGHPUT: 500.0}, SLOW)
    measure(filled, 1, {Metric.LATENCY: 1e-3, Metric.THROUGHPUT: 1000.0})
    assert best_trials(filled) == ["trial-1"]
    assert best_trials(filled, Metric.THROUGHPUT) == ["trial-1"]
    assert best_trials(filled, Metric.ENERGY) == []
    (row,) = best(filled)
    assert (row.model, row.device, row.machine) == ("kws", "cpu", "bench-1")
    assert (row.value, row.unit, row.method) == (1e-3, "s", "measured")
    assert (row.candidate, row.run, row.phase) == (FAST.label, RUN.name, "search")
    assert row.created_at == START + timedelta(seconds=1)


def test_what_unseen_data_showed_counts_before_what_the_search_saw(filled: Store) -> None:
    measure(filled, 0, {Metric.LATENCY: 1e-3})
    assert best_trials(filled) == ["trial-0"]
    measure(filled, 1, {Metric.LATENCY: 3e-3}, SLOW, Phase.BENCH)
    measure(filled, 2, {Metric.LATENCY: 2e-3}, phase=Phase.CONFIRM)
    assert best_trials(filled) == ["trial-2"]


def test_a_trial_that_is_rejected_later_is_the_best_of_nothing(filled: Store) -> None:
    measure(filled, 0, {Metric.LATENCY: 3e-3})
    measure(filled, 1, {Metric.LATENCY: 1e-3}, SLOW, Phase.CONFIRM)
    filled.reject_trial("trial-1", "too inaccurate")
    assert best_trials(filled) == ["trial-0"], "nor does it hide what the search found"


def test_an_amended_value_is_ranked_anew(filled: Store) -> None:
    measure(filled, 0, {Metric.LATENCY: 2e-3})
    measure(filled, 1, {Metric.LATENCY: 1e-3}, SLOW)
    slower = Measurement(Metric.LATENCY, 4e-3, Method.MEASURED)
    filled.amend_trial("trial-1", measurements=[slower])
    assert best_trials(filled) == ["trial-0"]


def test_the_best_of_a_deleted_run_goes_with_it(filled: Store) -> None:
    other = replace(RUN, name="other")
    filled.create_run(other)
    measure(filled, 0, {Metric.LATENCY: 2e-3})
    measure(filled, 1, {Metric.LATENCY: 1e-3}, run="other")
    filled.delete_run("other", lambda *_: True)
    assert best_trials(filled) == ["trial-0"]


def test_methods_and_machines_are_ranked_apart(filled: Store) -> None:
    other = Machine.identify("bench-2", "EPYC", cores=2, memory_bytes=1 << 34)
    filled.add_machine(other)
    measure(filled, 0, {Metric.LATENCY: 2e-3})
    measure(filled, 1, {Metric.LATENCY: 1e-3}, machine_id=other.id)
    measure(filled, 2, {Metric.LATENCY: 1e-6}, method=Method.MODELLED)
    found = [(row.machine, row.method, row.trial) for row in best(filled)]
    assert found == [
        ("bench-1", "measured", "trial-0"),
        ("bench-1", "modelled", "trial-2"),
        ("bench-2", "measured", "trial-1"),
    ]


def test_an_energy_that_a_counter_told_says_how(filled: Store) -> None:
    told = {Metric.ENERGY: 2e-3, Metric.ENERGY_WINDOW: 1.01, Metric.IDLE_POWER: 12.5}
    measure(filled, 0, told, phase=Phase.CONFIRM)
    (row,) = best(filled, metric=Metric.ENERGY)
    assert (row.energy_window, row.idle_power) == (1.01, 12.5)
    filled.update_run(RUN.name, summary=summary(RUN, "trial-0"), status=RunStatus.FINISHED)
    (newest,) = latest(filled, metric=Metric.ENERGY)
    assert newest.energy_window is not None
    assert newest.idle_power is not None
    assert (newest.energy_window.value, newest.idle_power.value) == (1.01, 12.5)


def summary(run: Run, winner: str, ratio: str = "null") -> str:
    """What a run remembers of one device."""
    del run
    return (
        '{"devices":{"cpu":{"status":"tuned","verdict":"improved",'
        f'"trial":"{winner}","ratio":{ratio}}}}}}}'
    )


@pytest.fixture
def tuned(filled: Store) -> Store:
    """A run with a winner, and a later one with another."""
    measure(filled, 0, {Metric.LATENCY: 2e-3}, SLOW, Phase.CONFIRM)
    measure(filled, 1, {Metric.LATENCY: 1e-3, MEMORY: 5e6}, phase=Phase.CONFIRM)
    ratio = '{"value":2.0,"low":1.9,"high":"Infinity"}'
    filled.update_run(RUN.name, summary=summary(RUN, "trial-1", ratio))
    return filled


def test_the_latest_winner_stands_beside_its_baseline(tuned: Store) -> None:
    (row,) = latest(tuned)
    assert (row.newest.winner, row.newest.winner_trial) == (FAST.label, "trial-1")
    assert row.newest.baseline_trial == "trial-0", "the first that was confirmed"
    assert (row.newest.ratio, row.newest.ratio_low, row.newest.ratio_high) == (2.0, 1.9, None)
    assert row.value is not None
    assert row.baseline is not None
    assert (row.value.value, row.baseline.value) == (1e-3, 2e-3)
    (by_memory,) = latest(tuned, metric=MEMORY)
    assert by_memory.value is not None
    assert (by_memory.value.value, by_memory.baseline) == (5e6, None)


def test_what_was_predicted_stands_beside_the_best_and_the_latest(tuned: Store) -> None:
    assert [row.predicted for row in (*best(tuned), *latest(tuned))] == [None, None]
    tuned.add_predictions("trial-1", PREDICTED)
    tuned.add_predictions("trial-0", {Metric.LATENCY: PREDICTED[Metric.LATENCY]})
    for metric in (Metric.LATENCY, MEMORY):
        (ranked,), (newest,) = best(tuned, metric=metric), latest(tuned, metric=metric)
        assert (ranked.trial, newest.newest.winner_trial) == ("trial-1", "trial-1")
        assert ranked.predicted == newest.predicted == PREDICTED[metric]
    measure(tuned, 2, {Metric.THROUGHPUT: 9.0}, phase=Phase.CONFIRM)
    (by_throughput,) = best(tuned, metric=Metric.THROUGHPUT)
    assert by_throughput.predicted is None


def test_predictions_are_columns_of_their_own(tuned: Store) -> None:
    for answers in (best_answer, latest_answer):
        rows = best(tuned) if answers is best_answer else latest(tuned)
        assert "predicted [90 %]" not in answers(rows).table.names  # type: ignore[arg-type]
    tuned.add_predictions("trial-1", PREDICTED)
    for found in (best_answer(best(tuned)), latest_answer(latest(tuned))):
        assert found.table.names.index("predicted [90 %]") == 4
        assert found.table.texts[0][4] == "50.0 µs [40.0, 60.0 µs]"
        (row,) = found.rows
        told = dict(zip(found.columns, row, strict=True))
        assert told["value"] == 1e-3
        assert (told["predicted"], told["predicted_low"], told["predicted_high"]) == (
            5e-5,
            4e-5,
            6e-5,
        )
        assert told["predicted_basis"] == "learned"


def test_only_the_newest_run_of_a_model_and_device_is_the_latest(tuned: Store) -> None:
    later = replace(RUN, name="later", created_at=START + timedelta(days=1))
    tuned.create_run(later)
    measure(tuned, 2, {Metric.LATENCY: 3e-3}, phase=Phase.CONFIRM, run="later")
    tuned.update_run("later", summary=summary(later, "trial-2"))
    assert [row.newest.run for row in latest(tuned)] == ["later"]
    assert latest(tuned, Subject(model="ultraface")) == ()
    assert latest(tuned, Subject(devices=("dsp",))) == ()


def test_reasons_that_differ_in_numbers_are_one(filled: Store) -> None:
    messages = ["accuracy 0.91 is below 0.95", "accuracy 0.8 is below 0.95", "no such operator"]
    for number, message in enumerate(messages):
        filled.lease_trial(trial(number))
        outcome = Outcome.REJECTED if number < 2 else Outcome.COMPILE_ERROR
        filled.commit_trial(f"trial-{number}", outcome, message)
    first, second = failures(filled)
    assert (first.trials, first.outcome, first.message) == (2, "rejected", messages[1])
    assert (second.trials, second.outcome, second.message) == (1, "compile-error", messages[2])
    assert failures(filled, limit=1) == (first,)
    assert failures(filled, Subject(devices=("gpu",))) == ()


def test_a_prediction_stands_beside_what_was_counted_of_its_candidate(filled: Store) -> None:
    measure(filled, 0, {Metric.PACKETS: 900.0}, method=Method.MODELLED)
    measure(filled, 1, {Metric.PACKETS: 1000.0}, method=Method.EMULATED)
    measure(filled, 2, {Metric.PACKETS: 500.0}, SLOW, method=Method.MODELLED)
    measure(filled, 3, {Metric.PACKETS: 800.0}, method=Method.MODELLED)
    (row,) = predicted(filled)
    assert (row.metric, row.predicted_by, row.measured_by) == ("packets", "modelled", "emulated")
    assert (row.predicted, row.measured, row.unit) == (800.0, 1000.0, "packet")
    assert (row.predicted_trial, row.measured_trial) == ("trial-3", "trial-1")
    assert row.ratio == pytest.approx(1.25)


def test_a_planned_arena_stands_beside_the_peak_of_its_process(filled: Store) -> None:
    filled.lease_trial(trial(0))
    values = (
        Measurement(Metric.ARENA, 4e6, Method.PLANNED),
        Measurement(MEMORY, 5e6, Method.MEASURED),
    )
    filled.commit_trial("trial-0", Outcome.OK, measurements=values)
    (row,) = predicted(filled)
    assert (row.metric, row.measured_metric) == ("arena", "peak_memory")
    assert row.predicted_trial == row.measured_trial == "trial-0"


def test_nothing_beats_what_is_in_the_pareto_set(filled: Store) -> None:
    measure(filled, 0, {Metric.LATENCY: 1e-3, MEMORY: 9e6, ACCURACY: 0.9})
    measure(filled, 1, {Metric.LATENCY: 2e-3, MEMORY: 5e6, ACCURACY: 0.9}, SLOW)
    third = CandidateRecord("0123", "{}", "third")
    filled.add_candidate(third)
    measure(filled, 2, {Metric.LATENCY: 2e-3, MEMORY: 9e6, ACCURACY: 0.9}, third)
    assert [row.trial for row in pareto(filled)] == ["trial-0", "trial-1"]
    confirmed = {Metric.LATENCY: 3e-3, MEMORY: 6e6, ACCURACY: 0.9}
    measure(filled, 3, confirmed, phase=Phase.CONFIRM)
    found = [row.trial for row in pareto(filled)]
    assert found == ["trial-0", "trial-1"], "a confirmation is nothing that a search is held to"


def test_the_pareto_set_of_a_run_that_searched_nothing_is_of_what_it_measured(
    filled: Store,
) -> None:
    measure(filled, 0, {Metric.LATENCY: 1e-3}, phase=Phase.BENCH)
    measure(filled, 1, {Metric.LATENCY: 2e-3}, SLOW, Phase.BENCH)
    assert [row.trial for row in pareto(filled)] == ["trial-0"]


def test_what_is_unknown_of_a_trial_beats_nothing(filled: Store) -> None:
    measure(filled, 0, {Metric.LATENCY: 1e-3})
    measure(filled, 1, {Metric.LATENCY: 2e-3, MEMORY: 5e6}, SLOW)
    assert [row.trial for row in pareto(filled)] == ["trial-0", "trial-1"]


def test_the_pareto_set_is_of_one_run(filled: Store) -> None:
    measure(filled, 0, {Metric.LATENCY: 1e-3})
    later = replace(RUN, name="later", created_at=START + timedelta(days=1))
    filled.create_run(later)
    measure(filled, 1, {Metric.LATENCY: 2e-3}, SLOW, run="later")
    filled.add_model(OTHER_MODEL)
    assert [row.trial for row in pareto(filled)] == ["trial-1"]
    assert [row.trial for row in pareto(filled, run=RUN.name)] == ["trial-0"]
    assert pareto(filled, Subject(model="ultraface")) == ()
    with pytest.raises(NotInStore, match="There is no run 'x'"):
        pareto(filled, run="x")
