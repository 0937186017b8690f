"""What every store does, whatever database it is in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.records import CandidateRecord, Phase, RunKind, RunStatus
from db.store import Store
from farm.candidate import Candidate, from_json
from farm.errors import NotInStore, OptionError, StoreError
from farm.measurement import Measurement, Method, Metric, Outcome
from tests.db.samples import (
    ARTIFACT,
    FAST,
    LATENCY,
    MACHINE,
    MODEL,
    OTHER_MODEL,
    PROFILE,
    RUN,
    SLOW,
    SOFTWARE,
    START,
    block,
    fill,
    trial,
)

_ON_ONE_STORE = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_FINAL = [outcome for outcome in Outcome if outcome is not Outcome.INFRASTRUCTURE_ERROR]


@pytest.fixture
def filled(store: Store) -> Store:
    return fill(store)


def test_records_come_out_as_they_went_in(filled: Store) -> None:
    assert filled.machine(MACHINE.id) == MACHINE
    assert filled.software(SOFTWARE.id) == SOFTWARE
    assert filled.model(MODEL.sha256) == MODEL
    assert filled.candidate(FAST.id) == FAST
    assert filled.run(RUN.name) == RUN


def test_a_stored_candidate_reads_back_as_the_same_candidate(store: Store) -> None:
    candidate = Candidate()
    store.add_candidate(CandidateRecord.of(candidate))
    assert from_json(store.candidate(candidate.id).json) == candidate


def test_adding_again_replaces(filled: Store) -> None:
    fill_again = (filled.add_machine, filled.add_software, filled.add_candidate)
    for add, record in zip(fill_again, (MACHINE, SOFTWARE, FAST), strict=True):
        add(record)  # type: ignore[operator]
    filled.add_artifact(ARTIFACT)
    filled.add_model(replace(MODEL, name="renamed"))
    assert filled.model(MODEL.sha256).name == "renamed"


def test_what_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(NotInStore, match=r"no run 'nothing' in the store at .* `farm runs`"):
        store.run("nothing")
    with pytest.raises(NotInStore, match="no trial 'nothing'"):
        store.trial("nothing")
    with pytest.raises(NotInStore, match="no candidate 'nothing'"):
        store.candidate("nothing")
    with pytest.raises(NotInStore, match="no run 'nothing'"):
        store.update_run("nothing", status=RunStatus.FAILED)
    with pytest.raises(NotInStore, match="no trial 'nothing'"):
        store.commit_trial("nothing", Outcome.OK)
    with pytest.raises(NotInStore, match="no trial 'nothing'"):
        store.amend_trial("nothing", outcome=Outcome.REJECTED)
    assert store.measurements("nothing") == ()
    assert store.blocks("nothing", "cpu") == ()


def test_a_record_may_not_point_to_one_that_is_not_there(store: Store) -> None:
    with pytest.raises(StoreError, match="refused a record that contradicts the others"):
        store.create_run(RUN)
    assert store.runs() == ()


def test_a_run_name_is_taken_once(filled: Store) -> None:
    with pytest.raises(StoreError, match=rf"already a run {RUN.name} .*--resume {RUN.name}"):
        filled.create_run(replace(RUN, seed=8))
    assert filled.run(RUN.name).seed == RUN.seed


def test_a_run_changes_only_in_what_is_given(filled: Store) -> None:
    filled.update_run(RUN.name, active_seconds=12.5)
    assert filled.run(RUN.name) == replace(RUN, active_seconds=12.5)
    filled.update_run(RUN.name, status=RunStatus.FINISHED, summary="{}")
    finished = filled.run(RUN.name)
    assert finished.finished_at is not None
    assert finished.finished_at.tzinfo is UTC
    assert (finished.status, finished.summary) == (RunStatus.FINISHED, "{}")
    filled.update_run(RUN.name, status=RunStatus.RUNNING)
    assert filled.run(RUN.name).finished_at is None, "a resumed run is not finished"


def test_a_run_is_found_by_the_beginning_of_its_name(filled: Store) -> None:
    filled.create_run(replace(RUN, name=f"{RUN.name}-2"))
    assert filled.run_called(f"{RUN.name}-").name == f"{RUN.name}-2"
    assert filled.run_called(RUN.name) == RUN, "a whole name is never ambiguous"
    with pytest.raises(OptionError, match=rf"run name 'kws' is ambiguous: it may be {RUN.name}, "):
        filled.run_called("kws")
    with pytest.raises(NotInStore, match="no run 'nothing'"):
        filled.run_called("nothing")


def test_a_beginning_may_mean_runs_of_one_kind_alone(filled: Store) -> None:
    assert RUN.kind is RunKind.TUNE
    benches = tuple(f"{RUN.name[:-1]}{end}" for end in ("-bench", "-bench-2", "-bench-2-tune"))
    for name in benches:
        kind = RunKind.TUNE if name.endswith("tune") else RunKind.BENCH
        filled.create_run(replace(RUN, name=name, kind=kind))
    begin = f"{RUN.name[:-1]}-bench"
    assert filled.run_called(f"{begin}-", RunKind.TUNE).name == benches[2]
    assert filled.run_called(begin, RunKind.TUNE).kind is RunKind.BENCH, "a whole name is one"
    with pytest.raises(OptionError, match=r"run name .* is ambiguous"):
        filled.run_called(f"{begin}-")
    with pytest.raises(NotInStore, match=r"no nightly run '.*-bench-' in .* `farm runs` lists"):
        filled.run_called(f"{begin}-", RunKind.NIGHTLY)


def test_names_tell_case_apart_and_ids_do_not(filled: Store) -> None:
    other = RUN.name.upper()
    assert other != RUN.name
    filled.create_run(replace(RUN, name=other))
    assert filled.run_called(RUN.name[:-1]) == RUN
    assert filled.run_called(other[:-1]).name == other
    filled.lease_trial(trial())
    assert filled.trial("TRIAL-").id == "trial-0"


def test_times_keep_their_instant_whatever_their_zone(filled: Store) -> None:
    elsewhere = START.astimezone(timezone(timedelta(hours=-5, minutes=-30)))
    filled.create_run(replace(RUN, name="elsewhere", created_at=elsewhere))
    assert filled.run("elsewhere").created_at == START


def test_runs_are_listed_newest_first(filled: Store) -> None:
    filled.add_model(OTHER_MODEL)
    later = replace(
        RUN,
        name="later",
        model_sha256=OTHER_MODEL.sha256,
        created_at=START + timedelta(seconds=1),
        status=RunStatus.INTERRUPTED,
    )
    filled.create_run(later)
    assert [run.name for run in filled.runs()] == ["later", RUN.name]
    assert filled.runs(model="ultraface") == (later,)
    assert filled.runs(model=MODEL.sha256[:6]) == (RUN,)
    assert filled.runs(status=RunStatus.INTERRUPTED) == (later,)
    assert filled.runs(limit=1) == (later,)


def test_a_leased_trial_is_pending(filled: Store) -> None:
    leased = filled.lease_trial(trial())
    assert leased == replace(trial(), attempts=1)
    assert filled.trial("trial-0") == leased


def test_each_lease_is_an_attempt(filled: Store) -> None:
    filled.lease_trial(trial())
    assert filled.lease_trial(trial()).attempts == 2


def test_a_committed_trial_has_everything(filled: Store) -> None:
    filled.lease_trial(trial())
    assert filled.commit_trial(
        "trial-0", Outcome.OK, "fine", [LATENCY], ARTIFACT.key, '{"warm_up":5}'
    )
    stored = filled.trial("trial-0")
    assert (stored.outcome, stored.message) == (Outcome.OK, "fine")
    assert (stored.artifact_key, stored.details) == (ARTIFACT.key, '{"warm_up":5}')
    assert stored.finished_at is not None
    assert filled.measurements("trial-0") == (LATENCY,)


@given(outcomes=st.lists(st.sampled_from(Outcome), min_size=1, max_size=5))
@settings(_ON_ONE_STORE)
def test_a_trial_commits_once(filled: Store, outcomes: list[Outcome]) -> None:
    """The first outcome that is not an infrastructure error stays, whatever comes after."""
    name = "-".join(outcomes)
    filled.lease_trial(replace(trial(), id=name))
    final: Outcome | None = None
    for outcome in outcomes:
        committed = filled.commit_trial(name, outcome, message=f"says {outcome}")
        assert committed is (final is None)
        final = final or (outcome if outcome in _FINAL else None)
    stored = filled.trial(name)
    assert stored.outcome is (final or Outcome.INFRASTRUCTURE_ERROR)
    assert stored.message == f"says {stored.outcome}"


@pytest.mark.parametrize("outcome", _FINAL)
def test_a_final_trial_is_not_leased_again(filled: Store, outcome: Outcome) -> None:
    filled.lease_trial(trial())
    filled.commit_trial("trial-0", outcome)
    again = filled.lease_trial(trial())
    assert (again.outcome, again.attempts) == (outcome, 1)


def test_an_infrastructure_error_is_tried_again(filled: Store) -> None:
    filled.lease_trial(trial())
    filled.commit_trial("trial-0", Outcome.INFRASTRUCTURE_ERROR, "the actor was lost")
    again = filled.lease_trial(trial())
    assert (again.outcome, again.attempts, again.message) == (None, 2, "")
    assert again.finished_at is None


def test_of_many_workers_one_commits(filled: Store) -> None:
    if filled.place == ":memory:":
        pytest.skip("a store in memory has one connection")
    filled.lease_trial(trial())

    def commit(number: int) -> bool:
        value = replace(LATENCY, value=float(number))
        return filled.commit_trial("trial-0", Outcome.OK, str(number), [value])

    with ThreadPoolExecutor(4) as pool:
        committed = list(pool.map(commit, range(8)))
    winner = committed.index(True)
    assert committed.count(True) == 1
    assert filled.trial("trial-0").message == str(winner)
    assert [each.value for each in filled.measurements("trial-0")] == [winner]


def test_a_commit_that_fails_leaves_nothing(filled: Store) -> None:
    filled.lease_trial(trial())
    with pytest.raises(StoreError, match="contradicts"):
        filled.commit_trial("trial-0", Outcome.OK, measurements=[LATENCY, LATENCY])
    with pytest.raises(StoreError, match="contradicts"):
        filled.commit_trial("trial-0", Outcome.OK, artifact_key="nothing")
    assert filled.trial("trial-0").outcome is None
    assert filled.measurements("trial-0") == ()


@given(samples=st.lists(st.floats(allow_nan=False), max_size=30), value=st.floats(-1e300, 1e300))
@settings(_ON_ONE_STORE)
def test_measurements_keep_every_bit(filled: Store, samples: list[float], value: float) -> None:
    filled.lease_trial(trial())
    filled.commit_trial("trial-0", Outcome.OK)
    measured = Measurement(Metric.ENERGY, value, Method.MODELLED, samples=tuple(samples))
    filled.amend_trial("trial-0", measurements=[measured])
    assert filled.measurements("trial-0") == (measured,)


@given(message=st.text(st.characters(), max_size=20))
@settings(_ON_ONE_STORE)
def test_any_message_can_be_stored(filled: Store, message: str) -> None:
    """What a crashing candidate printed may hold what databases refuse."""
    filled.lease_trial(trial())
    filled.commit_trial("trial-0", Outcome.OK)
    filled.amend_trial("trial-0", message=message + "\0\udc80")
    assert len(filled.trial("trial-0").message) == len(message) + 2


def test_a_race_adds_and_replaces_measurements(filled: Store) -> None:
    filled.lease_trial(trial())
    filled.commit_trial("trial-0", Outcome.OK, measurements=[LATENCY])
    better = replace(LATENCY, value=0.9e-3, samples=(0.9e-3,))
    emulated = replace(LATENCY, method=Method.EMULATED)
    filled.amend_trial("trial-0", measurements=[better, emulated])
    assert set(filled.measurements("trial-0")) == {better, emulated}
    assert filled.trial("trial-0").outcome is Outcome.OK


def test_an_ok_trial_can_be_rejected_later(filled: Store) -> None:
    filled.lease_trial(trial())
    filled.commit_trial("trial-0", Outcome.OK)
    filled.reject_trial("trial-0", "accuracy fell by 0.03, the limit is 0.01")
    assert filled.trial("trial-0").outcome is Outcome.REJECTED
    filled.amend_trial("trial-0", measurements=[LATENCY])
    assert filled.measurements("trial-0") == (LATENCY,), "a rejected trial may be measured"


def test_a_failed_trial_cannot_become_ok(filled: Store) -> None:
    filled.lease_trial(trial())
    with pytest.raises(StoreError, match="Trial trial-0 is pending"):
        filled.reject_trial("trial-0", "too early")
    filled.commit_trial("trial-0", Outcome.TIMEOUT)
    with pytest.raises(StoreError, match=r"is timeout .* cannot become ok"):
        filled.amend_trial("trial-0", outcome=Outcome.OK)
    assert filled.trial("trial-0").outcome is Outcome.TIMEOUT


def test_a_trial_is_found_by_the_beginning_of_its_id(filled: Store) -> None:
    for name in ("a%1", "ab1", "ab2", "ab", "c3", "c4", "c5", "c6", "c7"):
        filled.lease_trial(replace(trial(), id=name))
    assert filled.trial("a%").id == "a%1"
    assert filled.trial("ab").id == "ab", "a whole id is never ambiguous"
    with pytest.raises(OptionError, match=r"'a' is ambiguous: it may be a%1, ab, ab1, ab2\."):
        filled.trial("a")
    with pytest.raises(OptionError, match="may be c3, c4, c5, c6 and others"):
        filled.trial("c")


def test_trials_are_filtered(filled: Store) -> None:
    filled.add_model(OTHER_MODEL)
    other = replace(RUN, name="other", model_sha256=OTHER_MODEL.sha256)
    filled.create_run(other)
    filled.lease_trial(trial(0))
    filled.lease_trial(trial(1, SLOW, device="gpu"))
    filled.lease_trial(replace(trial(2, run=other), phase=Phase.CONFIRM))
    filled.commit_trial("trial-1", Outcome.COMPILE_ERROR)

    def ids(**filters: object) -> list[str]:
        return [each.id for each in filled.trials(**filters)]  # type: ignore[arg-type]

    assert ids() == ["trial-0", "trial-1", "trial-2"]
    assert ids(run=RUN.name) == ["trial-0", "trial-1"]
    assert ids(device="gpu") == ["trial-1"]
    assert ids(model="kws") == ["trial-0", "trial-1"]
    assert ids(model=OTHER_MODEL.sha256[:8].upper()) == ["trial-2"]
    assert ids(outcome=Outcome.COMPILE_ERROR) == ["trial-1"]
    assert ids(phase=Phase.CONFIRM) == ["trial-2"]
    assert ids(limit=2) == ["trial-0", "trial-1"]
    assert ids(model="nothing") == []


def test_blocks_keep_their_order_and_their_samples(filled: Store) -> None:
    filled.lease_trial(trial(0))
    filled.lease_trial(trial(1, SLOW))
    first = block(0, "trial-1", "trial-0")
    discarded = block(1, "trial-0", "trial-1", kept=False)
    later_race = block(0, "trial-0", race=1)
    for each in (later_race, discarded, first):
        filled.add_block(each)
    assert filled.blocks(RUN.name, "cpu") == (first, discarded, later_race)
    assert filled.blocks(RUN.name, "cpu", race=1) == (later_race,)
    assert filled.blocks(RUN.name, "gpu") == ()


def test_a_block_is_stored_whole_or_not_at_all(filled: Store) -> None:
    filled.lease_trial(trial(0))
    with pytest.raises(StoreError, match="contradicts"):
        filled.add_block(block(0, "trial-0", "unknown"))
    assert filled.blocks(RUN.name, "cpu") == ()
    filled.add_block(block(0, "trial-0"))
    with pytest.raises(StoreError, match="contradicts"):
        filled.add_block(block(0, "trial-0"))


def test_a_profile_keeps_its_order_and_is_replaced_as_a_whole(filled: Store) -> None:
    filled.lease_trial(trial())
    assert filled.profile("trial-0") == ()
    filled.add_profile("trial-0", PROFILE)
    assert filled.profile("trial-0") == PROFILE
    counted = replace(PROFILE[1], seconds=None, packets=1 << 40, method=Method.EMULATED)
    filled.add_profile("trial-0", [counted])
    assert filled.profile("trial-0") == (counted,)
    with pytest.raises(StoreError):
        filled.add_profile("trial-9", PROFILE)
