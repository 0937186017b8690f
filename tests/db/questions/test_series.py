"""What is asked of a store about series of nights."""

from __future__ import annotations

from math import exp

import pytest
from sqlalchemy import update

from db.night_records import ChangeState
from db.questions.nightly.flaky import flaky
from db.questions.nightly.series import Case, history, regressions
from db.questions.nightly.span import points_on
from db.questions.views import Subject
from db.schema import NightValueRow
from db.store import Store
from farm.errors import NotInStore, OptionError
from farm.measurement import Metric
from reports.nightly.words import ratio_text
from tests.db.nights import SUITE, change, follow, series
from tests.db.samples import fill

STEADY = (0.001, -0.002, 0.0, 0.002, -0.001, 0.001)
DETECTOR, KWS = series("detector"), series("kws")


@pytest.fixture
def followed(store: Store) -> Store:
    """Two series of six nights."""
    fill(store)
    follow(store, DETECTOR, STEADY)
    follow(store, KWS, (0.0, 0.0, None, 0.05, 0.05, 0.05))
    return store


def test_the_history_of_a_series_begins_with_the_newest_night(followed: Store) -> None:
    rows = history(followed, case=Case(SUITE, "kws"))
    assert [row.log_ratio for row in rows] == [0.05, 0.05, 0.05, None, 0.0, 0.0]
    assert [row.night for row in rows] == [f"night-{n}" for n in range(5, -1, -1)]
    assert (rows[0].value, rows[0].good_value) == (pytest.approx(1.05e-3), 1e-3)
    assert (rows[3].verdict, rows[3].value) == ("could not measure", None)
    assert [row.night for row in history(followed, case=Case(SUITE, "kws"), limit=2)] == [
        "night-5",
        "night-4",
    ]


def test_a_night_has_the_interval_by_which_it_was_judged(followed: Store) -> None:
    rows = history(followed, case=Case(SUITE, "kws"))
    ends = [(row.ratio_low, row.ratio_high) for row in rows]
    assert ends[0] == (pytest.approx(exp(0.046)), pytest.approx(exp(0.062)))
    assert ends[3] == (None, None), "it was not measured"


def test_few_values_have_no_interval(followed: Store) -> None:
    few = '{"ratio": {"value": 1.05, "low": 0.0, "high": "Infinity"}}'
    with followed.writing() as session:
        session.execute(update(NightValueRow).values(details=few))
    (newest,) = history(followed, case=Case(SUITE, "kws"), limit=1)
    assert (newest.ratio_low, newest.ratio_high) == (None, None)
    (point,) = points_on(followed, ["night-5"], [KWS.id])
    assert point.ratio is not None
    assert ratio_text(point.ratio) == "1.051"


def test_the_history_of_a_suite_has_all_its_cases(followed: Store) -> None:
    assert len(history(followed)) == len(history(followed, case=Case(SUITE))) == 12
    assert len(history(followed, limit=3)) == 3
    assert len(history(followed, nights=2)) == 4
    assert history(followed, Subject(devices=("gpu",))) == ()
    assert history(followed, metric=Metric.ENERGY) == ()


def test_a_night_says_that_a_change_began_on_it(followed: Store) -> None:
    change(followed, KWS, 3, 1.05, ChangeState.CONFIRMED)
    states = [row.change_state for row in history(followed, case=Case(SUITE, "kws"))]
    assert states == [None, None, "confirmed", None, None, None]


def test_a_series_that_is_not_there_is_told_with_the_nearest(followed: Store) -> None:
    with pytest.raises(NotInStore) as said:
        history(followed, case=Case(SUITE, "kvs"))
    assert str(said.value) == (
        f"There is no series shop-floor/kvs in the store at {followed.place}. Did you mean "
        "shop-floor/kws or shop-floor? `farm results history` lists what there is."
    )


def test_a_case_is_named_by_its_suite() -> None:
    assert Case.parse("a") == Case("a")
    assert Case.parse("a/b") == Case("a", "b")
    for wrong in ("", "/", "a/", "/b"):
        with pytest.raises(OptionError, match="--series takes SUITE or SUITE/CASE, for example"):
            Case.parse(wrong)


def test_only_what_is_open_is_a_regression(followed: Store) -> None:
    change(followed, DETECTOR, 0, 1.08, ChangeState.NOISE)
    point = change(followed, KWS, 3, 1.05, ChangeState.CONFIRMED, "a note")
    (row,) = regressions(followed)
    assert (row.change_id, row.ratio, row.state, row.note) == (
        point.id,
        1.05,
        "confirmed",
        "a note",
    )
    assert (row.last_night, row.last_log_ratio) == ("night-5", 0.05)
    assert regressions(followed, above=0.06) == ()
    assert regressions(followed, case=Case(SUITE, "detector")) == ()
    change(followed, KWS, 4, 0.95, ChangeState.CONFIRMED)
    assert regressions(followed) == (), "a later change took its place"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((0.0, None, 0.0, None, 0.0, 0.0), "2 of 6 nights could not be measured."),
        (
            (0.0, 0.1, -0.1, 0.1, -0.1, 0.0),
            "Nights differ by 23.3%, and the blocks of one by 0.4%.",
        ),
    ],
)
def test_a_series_is_flaky_for_a_reason(
    followed: Store, values: tuple[float | None, ...], reason: str
) -> None:
    follow(followed, series("odd"), values)
    (row,) = flaky(followed)
    assert (row.case_name, list(row.reasons())) == ("odd", [reason])
    assert flaky(followed, case=Case(SUITE, "kws")) == ()


def test_inconclusive_nights_and_alarms_that_were_none_are_reasons(followed: Store) -> None:
    follow(followed, series("odd"), STEADY, verdict="inconclusive")
    for first in (0, 2):
        change(followed, series("odd"), first, 1.1, ChangeState.REFUTED)
    (row,) = flaky(followed)
    assert list(row.reasons()) == ["6 of 6 nights were inconclusive.", "2 alarms were none."]


def test_one_step_makes_no_series_flaky(followed: Store) -> None:
    follow(followed, series("step"), (*STEADY, *(0.3 + value for value in STEADY)))
    assert flaky(followed) == ()


def test_few_nights_say_nothing(followed: Store) -> None:
    follow(followed, series("new"), (None, None, None))
    assert flaky(followed) == ()
