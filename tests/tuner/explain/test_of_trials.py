"""How many times as fast a trial is: one number, whoever is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete

from db.records import Phase
from db.schema import BlockRow, BlockSampleRow
from db.store import Store
from farm.candidate import Candidate, CPackageEmulated, Precision, StaticInt8
from farm.measurement import Estimate, Method, Outcome
from farm.profile.kernels import OperatorProfile
from tests.db.samples import RUN
from tests.tuner.imagined import DEVICE, Imagined, ImaginedExecutor, Traits, fakes
from tuner.explain.decisions import Past, decisions
from tuner.explain.explanation import Explanation
from tuner.explain.of_trials import ask, explain
from tuner.racing.recorded import pairs_of
from tuner.results import Status, Verdict
from tuner.runs.memory import DeviceMemory, Memory

FAST, SLOW = fakes(0.5, 0.9)


def trial_of(store: Store, candidate: Candidate, phase: Phase) -> str:
    trials = store.trials(run=RUN.name, device=DEVICE, phase=phase)
    return next(t.id for t in trials if t.candidate_id == candidate.id)


def confirmed(store: Store) -> tuple[str, Estimate]:
    """The trial of a winner, and what its confirmation says."""
    _, found = Imagined(store, ImaginedExecutor(), (FAST, SLOW)).run()
    assert found.verdict is Verdict.IMPROVED
    assert found.ratio is not None
    return found.winner.trial_id, found.ratio


def explained(store: Store, trial: str) -> Explanation:
    return explain(store, ask(store, trial))


def told(store: Store, trial: str) -> str:
    """What is told of its confirmation among the decisions."""
    asked = store.trial(trial)
    found = decisions(store, Past.of(store, asked), asked)
    return next(each.why for each in found if each.what == "confirmed")


def test_of_a_winner_it_is_what_the_confirmation_found(store: Store) -> None:
    winner, ratio = confirmed(store)
    found = explained(store, winner)
    assert found.comparison is not None
    assert found.comparison.ratio == ratio
    assert f"is {ratio.value:.2f} times as fast as the baseline" in found.sentence
    assert not any("How many times" in note for note in found.notes)


def test_a_later_race_of_the_run_leaves_it_as_it_was(store: Store) -> None:
    winner, ratio = confirmed(store)
    blocks = store.blocks(RUN.name, DEVICE)
    last = blocks[-1]
    assert any(sample.trial_id == winner for sample in last.samples)
    for index in range(12):
        samples = tuple(
            replace(each, seconds=each.seconds * (3 if each.trial_id == winner else 1))
            for each in last.samples
        )
        store.add_block(replace(last, race=last.race + 1, index=index, samples=samples))
    found = explained(store, winner)
    assert found.comparison is not None
    assert found.comparison.ratio == ratio
    assert f"confirmed at {ratio.value:.2f} times" in told(store, winner)


def test_blocks_of_two_phases_are_not_one_sample(store: Store) -> None:
    winner, ratio = confirmed(store)
    searched = trial_of(store, FAST, Phase.SEARCH)
    found = explained(store, searched)
    assert found.comparison is not None
    assert found.against is not None
    ids = {found.trial.measured}, {found.against.measured}
    assert found.comparison.pairs == len(pairs_of(store.blocks(RUN.name, DEVICE), *ids))
    assert found.trial.phase is found.against.phase is Phase.SEARCH
    kernel = OperatorProfile("all", "Conv", ("conv",), "", 5e-4, None, Method.MEASURED)
    store.add_profile(winner, [kernel])
    profiled = explained(store, searched)
    assert profiled.comparison is not None
    assert profiled.comparison.ratio == ratio, "the latency beside it is the confirmation's, too"


def test_without_blocks_it_is_what_the_run_remembers(store: Store) -> None:
    winner, ratio = confirmed(store)
    known = DeviceMemory(
        Status.TUNED, verdict=Verdict.IMPROVED, trial=winner, candidate=FAST.id, ratio=ratio
    )
    store.update_run(RUN.name, summary=Memory(devices={DEVICE: known}).to_json())
    with store.writing() as session:
        session.execute(delete(BlockSampleRow))
        session.execute(delete(BlockRow))
    found = explained(store, winner)
    assert (found.comparison, found.confirmed) == (None, ratio)
    assert f"is {ratio.value:.2f} times as fast as the baseline" in found.sentence
    assert any("what the confirmation found; its blocks are not" in each for each in found.notes)
    searched = explained(store, trial_of(store, FAST, Phase.SEARCH))
    assert searched.confirmed is None, "it is of other data"
    assert any("fewer than 8 blocks" in note for note in searched.notes)


@pytest.mark.parametrize("phase", [Phase.SEARCH, Phase.CONFIRM])
def test_a_race_of_what_is_counted_ends_by_its_rules_and_not_by_the_time(
    store: Store, phase: Phase
) -> None:
    float32 = Candidate(CPackageEmulated())
    int8 = replace(float32, precision=Precision(quantization=StaticInt8()))
    traits = {float32: Traits(1e-2), int8: Traits(1e-4)}
    Imagined(store, ImaginedExecutor(traits), (float32, int8), baselines=(float32,)).run()
    trial = store.trial(trial_of(store, int8, phase))
    assert trial.outcome is Outcome.OK
    (led,) = (d for d in decisions(store, Past.of(store, trial), trial) if d.what == "led")
    assert led.blocks == 2
    assert "the time for searching was over" not in led.why
