"""Nights, end to end but for the measuring: what is stored, judged, confirmed and said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from db.night_records import ChangeState
from db.questions.nightly.nights import nights, series_of, values_of
from db.records import RunKind, RunStatus
from db.store import Store
from farm.candidate import Candidate, Fake
from farm.errors import NotInStore, OptionError
from farm.host.locks import Lock
from farm.measurement import Metric, Outcome
from tests.tuner.imagined import Traits
from tests.tuner.nightly.imagined_nights import WATCHED, Nights
from tuner.nightly.alone import alone
from tuner.nightly.screen.series import Verdict
from tuner.nightly.states.good import read_good
from tuner.nightly.triage import triage

SLOWER = Candidate(Fake(seconds=1.05e-3))
FASTER = Candidate(Fake(seconds=0.9e-3))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nights]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("tuner.nightly.case.MOST_BLOCKS", 12)
    with Store.open(":memory:") as store:
        yield Nights(store, tmp_path)


def test_what_the_first_night_measures_is_the_good_state(shop: Nights) -> None:
    report = shop.run()
    (case,) = report.cases
    assert case.verdict is Verdict.NOT_YET
    assert case.sentence.startswith("Nothing to compare it with yet")
    assert (case.ratio, case.good_value) == (None, None)
    assert case.value == pytest.approx(1e-3, rel=0.02)
    assert report.exit_code == 0
    (series,) = series_of(shop.store, "shop")
    good = read_good(series.good)
    assert good is not None
    assert good.read_candidate() == WATCHED
    run = shop.store.run(case.run)
    assert (run.kind, run.status) == (RunKind.NIGHTLY, RunStatus.FINISHED)


def test_nothing_changes_and_nothing_is_said(shop: Nights) -> None:
    shop.run()
    for number in range(1, 4):
        case = shop.case()
        assert case.verdict is Verdict.NOT_YET
        assert case.ratio is not None
        assert case.ratio.value == pytest.approx(1.0, abs=3e-3)
        assert case.ratio.low < case.ratio.high
        assert f"{number} night" in case.sentence
    assert shop.report().exit_code == 0


def test_a_slower_candidate_is_found_on_its_first_night(shop: Nights) -> None:
    shop.run()
    shop.run()
    shop.watch(SLOWER)
    report = shop.run()
    (case,) = report.cases
    assert case.verdict is Verdict.REGRESSION
    assert report.exit_code == 1
    assert case.ratio is not None
    assert case.ratio.value == pytest.approx(1.05, rel=0.01)
    assert "% slower than its last good state [" in case.sentence
    assert "since tonight; confirmed side by side in 15 pairs" in case.sentence
    assert "what changed: the candidate" in case.sentence
    assert case.change is not None
    assert case.change.state == ChangeState.CONFIRMED
    assert case.change.first_night == report.night
    assert case.change.pairs == 15
    assert any("both states run again" in line for line in shop.said)


def test_energy_is_watched_where_a_counter_tells_it(shop: Nights) -> None:
    shop.metrics = (Metric.ENERGY,)
    shop.traits = {WATCHED: Traits(joules=1e-3), FASTER: Traits(9e-4, joules=1.1e-3)}
    refused = shop.case()
    assert refused.verdict is Verdict.NOT_MEASURED
    assert "The energy of fake cannot be watched: it has no counter" in refused.sentence
    shop.energy_window = 0.5
    shop.run()
    assert all(shop.executors[-1].counted)
    shop.watch(FASTER)
    case = shop.case()
    assert case.verdict is Verdict.REGRESSION
    assert "more energy than its last good state [" in case.sentence
    assert case.ratio is not None
    assert case.ratio.value == pytest.approx(1.1, rel=0.01)


def test_it_stays_a_regression_without_being_confirmed_again(shop: Nights) -> None:
    shop.run()
    shop.watch(SLOWER)
    first = shop.run()
    runs = len(shop.executors)
    second = shop.run()
    assert len(shop.executors) == runs + 1
    (case,) = second.cases
    assert case.verdict is Verdict.REGRESSION
    assert f"since {first.night}" in case.sentence
    assert case.change is not None
    assert case.change.id == first.cases[0].change.id  # type: ignore[union-attr]


def test_it_ends_when_it_is_gone(shop: Nights) -> None:
    shop.run()
    shop.watch(SLOWER)
    shop.run()
    shop.watch(WATCHED)
    case = shop.case()
    assert case.verdict is Verdict.NO_CHANGE
    assert case.sentence.startswith("The regression since shop-")
    assert shop.case().verdict is Verdict.NOT_YET


def test_an_improvement_becomes_the_good_state(shop: Nights) -> None:
    shop.run()
    shop.watch(FASTER)
    case = shop.case()
    assert case.verdict is Verdict.IMPROVEMENT
    assert "% faster than its last good state [" in case.sentence
    good = read_good(series_of(shop.store, "shop")[0].good)
    assert good is not None
    assert good.read_candidate() == FASTER
    after = shop.case()
    assert after.verdict is Verdict.NOT_YET
    assert after.nights == 1, "the nights before were compared with another state"


def test_what_is_expected_is_the_good_state_from_then_on(shop: Nights) -> None:
    shop.run()
    shop.watch(SLOWER)
    change = shop.case().change
    assert change is not None
    known, series = triage(shop.store, change.id[:6], ChangeState.EXPECTED, "bought time")
    assert (known.state, known.note, series.case) == (
        ChangeState.EXPECTED,
        "bought time",
        "digits",
    )
    case = shop.case()
    assert case.verdict is Verdict.NOT_YET
    assert case.ratio is not None
    assert case.ratio.value == pytest.approx(1.0, rel=0.01)


def test_a_bug_stays_a_regression_and_says_so(shop: Nights) -> None:
    shop.run()
    shop.watch(SLOWER)
    change = shop.case().change
    assert change is not None
    triage(shop.store, change.id, ChangeState.BUG, "onnxruntime 1.32")
    case = shop.case()
    assert case.verdict is Verdict.REGRESSION
    assert case.sentence.endswith("It is a known bug: onnxruntime 1.32.")


def test_noise_is_not_asked_for_again(shop: Nights) -> None:
    shop.run()
    shop.watch(SLOWER)
    change = shop.case().change
    assert change is not None
    triage(shop.store, change.id, ChangeState.NOISE)
    shop.watch(WATCHED)
    assert shop.case().verdict is Verdict.NOT_YET


@pytest.mark.parametrize("state", [ChangeState.NOISE, ChangeState.EXPECTED])
def test_what_people_say_is_no_regression_is_none_from_then_on(
    shop: Nights, state: ChangeState
) -> None:
    shop.run()
    shop.watch(SLOWER)
    change = shop.case().change
    assert change is not None
    assert shop.report().exit_code == 1
    triage(shop.store, change.id, state, "load of others")
    assert shop.report().exit_code == 0
    assert shop.report().cases[0].verdict is Verdict.NO_CHANGE


def test_a_change_without_an_id_is_not_triaged(shop: Nights) -> None:
    shop.run()
    shop.watch(SLOWER)
    shop.run()
    with pytest.raises(OptionError, match="Give the id of a change"):
        triage(shop.store, "", ChangeState.NOISE)


def test_a_night_of_another_case_does_not_hide_a_regression(shop: Nights) -> None:
    shop.more = ("other",)
    shop.run()
    shop.watch(SLOWER)
    first = shop.run()
    assert first.exit_code == 1
    report = shop.run(only=("other",))
    assert report.exit_code == 1
    digits, other = report.cases
    assert (digits.verdict, other.verdict) == (Verdict.REGRESSION, Verdict.NOT_YET)
    assert digits.notes[-1] == (
        f"As night {first.night} left it: the last one was not asked for it."
    )


def test_a_night_that_is_being_run_is_not_taken_for_one_that_was_cut_short(shop: Nights) -> None:
    first = shop.run()
    shop.interrupt_at = 3
    with pytest.raises(KeyboardInterrupt):
        shop.run()
    assert shop.report().exit_code == 3
    with alone("shop"):
        report = shop.report()
    assert (report.night, report.exit_code) == (first.night, 0)
    assert report.notes == ("The next night is being run now.",)
    assert shop.report().exit_code == 3


def test_a_case_that_no_night_has_measured_is_named(shop: Nights) -> None:
    shop.run()
    shop.more = ("other",)
    _, other = shop.report().cases
    assert (other.case, other.verdict) == ("other", Verdict.NOT_YET)
    assert other.sentence == "No night has measured it yet."
    assert shop.report().exit_code == 0


def test_a_change_that_is_not_there_is_no_change(shop: Nights) -> None:
    with pytest.raises(NotInStore, match="There is no change 'abc'"):
        triage(shop.store, "abc", ChangeState.NOISE)


def test_what_cannot_run_today_could_not_be_measured(shop: Nights) -> None:
    shop.run()
    shop.traits[SLOWER] = Traits(outcome=Outcome.RUN_ERROR, message="it fell over.")
    shop.watch(SLOWER)
    report = shop.run()
    (case,) = report.cases
    assert case.verdict is Verdict.NOT_MEASURED
    assert "cannot be run today: run-error: it fell over" in case.sentence
    (series,) = series_of(shop.store, "shop")
    assert values_of(shop.store, series.id)[-1].verdict == Verdict.NOT_MEASURED
    assert report.exit_code == 3


def test_a_model_that_changed_is_said_and_can_be_accepted(shop: Nights) -> None:
    shop.run()
    model = onnx.load(shop.folder / "model.onnx")
    weight = model.graph.initializer[0]
    doubled = 2 * onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(doubled, weight.name))
    onnx.save(model, shop.folder / "model.onnx")
    report = shop.run()
    (case,) = report.cases
    assert case.verdict is Verdict.NOT_MEASURED
    assert "is not the one of the nights before (SHA-256 " in case.sentence
    assert "--accept digits" in case.sentence
    assert report.exit_code == 3
    assert shop.case(accept=("digits",)).verdict is Verdict.NOT_YET
    assert shop.case().ratio is not None


def test_a_model_that_is_gone_is_one_sentence(shop: Nights) -> None:
    (shop.folder / "model.onnx").unlink()
    (case,) = shop.run().cases
    assert case.verdict is Verdict.NOT_MEASURED
    assert "model.onnx" in case.sentence


def test_what_was_never_measured_has_a_row_for_each_metric(shop: Nights) -> None:
    """Whoever follows one of them finds it on every night."""
    shop.metrics = (Metric.LATENCY, Metric.THROUGHPUT)
    shop.environments = {"next": ("onnxruntime==9",)}
    shop.broken = "pip says: No matching distribution found for onnxruntime==9."
    (shop.folder / "model.onnx").unlink()
    cases = shop.run().cases
    rows = {(case.environment, case.metric) for case in cases}
    assert rows == {(name, metric) for name in ("", "next") for metric in shop.metrics}
    assert len(cases) == len(rows)
    assert {case.verdict for case in cases} == {Verdict.NOT_MEASURED}


def test_an_environment_is_judged_beside_todays_software(shop: Nights) -> None:
    shop.environments = {"next": ("onnxruntime==1.32.0",)}
    shop.in_environment[WATCHED, "suite-shop-next"] = Traits(seconds=1.04e-3)
    report = shop.run()
    today, after = report.cases
    assert (today.environment, today.verdict) == ("", Verdict.NOT_YET)
    assert (after.environment, after.verdict) == ("next", Verdict.REGRESSION)
    assert "than today's software" in after.sentence
    assert report.exit_code == 0, "nobody uses it yet"
    runs = len(shop.executors)
    again = shop.run().cases[1]
    assert again.verdict is Verdict.REGRESSION
    assert len(shop.executors) == runs + 1, "it is not confirmed every night"


def test_an_environment_of_another_engine_is_no_part_of_a_case(shop: Nights) -> None:
    """A compiled package has nothing to do with a version of ONNX Runtime."""
    shop.environments = {"next": ("onnxruntime==1.32.0",)}
    shop.engine_runs_there = False
    report = shop.run()
    assert [case.environment for case in report.cases] == [""]
    assert report.exit_code == 0


def test_a_case_that_was_asked_for_alone_is_said(shop: Nights) -> None:
    report = shop.run(only=("digits",))
    assert report.notes == ("Only digits was asked for, of 1 case.",)


def test_an_environment_that_does_not_install_is_said(shop: Nights) -> None:
    shop.environments = {"next": ("onnxruntime==9",)}
    shop.broken = "pip says: No matching distribution found for onnxruntime==9."
    report = shop.run()
    assert [case.verdict for case in report.cases] == [Verdict.NOT_YET, Verdict.NOT_MEASURED]
    assert report.cases[1].sentence == shop.broken
    assert report.exit_code == 3


def test_a_night_that_was_cut_short_goes_on(shop: Nights) -> None:
    shop.run()
    shop.interrupt_at = 6
    with pytest.raises(KeyboardInterrupt):
        shop.run()
    cut = shop.report()
    assert cut.finished_at is None
    assert cut.exit_code == 3
    assert any("was cut short" in note for note in cut.notes)
    assert [case.sentence for case in cut.cases] == ["The night was cut short before it."]
    shop.interrupt_at = None
    whole = shop.run()
    assert whole.night == cut.night
    assert whole.exit_code == 0
    assert len(nights(shop.store, "shop")) == 2


def test_a_night_can_begin_anew(shop: Nights) -> None:
    shop.run()
    shop.interrupt_at = 6
    with pytest.raises(KeyboardInterrupt):
        shop.run()
    shop.interrupt_at = None
    shop.run(anew=True)
    assert len(nights(shop.store, "shop")) == 3


def test_a_case_that_is_not_there_is_offered_another(shop: Nights) -> None:
    with pytest.raises(OptionError, match="Suite shop has no case 'digit'"):
        shop.run(only=("digit",))


def test_without_a_night_there_is_no_verdict(shop: Nights) -> None:
    report = shop.report()
    assert (report.night, report.cases, report.exit_code) == ("", (), 3)
    assert "There is no night of suite shop" in report.notes[0]


def test_every_night_is_in_the_series(shop: Nights) -> None:
    for _ in range(3):
        shop.run()
    (series,) = series_of(shop.store, "shop")
    values = values_of(shop.store, series.id)
    assert [value.value is None for value in values] == [True, False, False]
    assert all(value.verdict == Verdict.NOT_YET for value in values)


def test_the_good_state_is_lost_and_found_anew(shop: Nights) -> None:
    shop.run()
    (kept,) = (shop.folder / "data" / "farm" / "nightly" / "artifacts").iterdir()
    for file in kept.iterdir():
        file.unlink()
    kept.rmdir()
    case = shop.case()
    assert case.verdict is Verdict.NOT_YET
    assert case.ratio is None
    assert any("is not kept on this machine" in note for note in case.notes)
    assert shop.case().ratio is not None


def test_two_processes_do_not_run_one_suite(shop: Nights) -> None:
    shop.run()
    lock = Lock.take_free(shop.folder / "data" / "farm" / "nightly" / "shop.lock")
    assert lock is not None
    with lock, pytest.raises(OptionError, match="is being run already"):
        shop.run()
