"""When a suite is due."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.errors import OptionError
from tuner.nightly.suites.schedule import parse_schedule

NIGHT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)  # a Sunday


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is that of Berlin, where summer time ends on 25 October 2026 at 3:00."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def due(text: str, count: int = 3, after: datetime = NIGHT) -> list[str]:
    moments = islice(parse_schedule(text).due_after(after), count)
    return [f"{moment:%a %Y-%m-%d %H:%M}" for moment in moments]


@pytest.mark.parametrize(
    ("text", "moments"),
    [
        ("0 3 * * *", ["Mon 2026-11-30 03:00", "Tue 2026-12-01 03:00", "Wed 2026-12-02 03:00"]),
        ("0 12 * * *", ["Mon 2026-11-30 12:00", "Tue 2026-12-01 12:00", "Wed 2026-12-02 12:00"]),
        (
            "*/20 12 * * *",
            ["Sun 2026-11-29 12:20", "Sun 2026-11-29 12:40", "Mon 2026-11-30 12:00"],
        ),
        (
            "30 1,4 * * 1-5",
            ["Mon 2026-11-30 01:30", "Mon 2026-11-30 04:30", "Tue 2026-12-01 01:30"],
        ),
        ("0 3 * * Sun", ["Sun 2026-12-06 03:00", "Sun 2026-12-13 03:00", "Sun 2026-12-20 03:00"]),
        ("0 3 * * 7", ["Sun 2026-12-06 03:00", "Sun 2026-12-13 03:00", "Sun 2026-12-20 03:00"]),
        ("0 3 * * 5-7", ["Fri 2026-12-04 03:00", "Sat 2026-12-05 03:00", "Sun 2026-12-06 03:00"]),
        (
            "0 3 1 jan-feb *",
            ["Fri 2027-01-01 03:00", "Mon 2027-02-01 03:00", "Sat 2028-01-01 03:00"],
        ),
        ("0 0 29 2 *", ["Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00", "Fri 2036-02-29 00:00"]),
        (
            "0 6-18/6 1 * *",
            ["Tue 2026-12-01 06:00", "Tue 2026-12-01 12:00", "Tue 2026-12-01 18:00"],
        ),
    ],
)
def test_due(text: str, moments: list[str]) -> None:
    assert due(text) == moments


def test_day_or_weekday() -> None:
    """Either fits where both are given; a field that begins with a star is not given."""
    both = ["Mon 2026-11-30 03:00", "Tue 2026-12-01 03:00", "Mon 2026-12-07 03:00"]
    assert due("0 3 1 * mon") == both
    assert all(re.match("Tue .*-(01|11|21|31) ", moment) for moment in due("0 3 */10 * tue", 9))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "0 3 * *",
            (
                "schedule '0 3 * *' has 4 fields, and cron has five, minute hour day month "
                "weekday: write for example 0 3 * * *."
            ),
        ),
        ("daily", "schedule 'daily' has 1 field, and cron has five"),
        ("60 3 * * *", "schedule '60 3 * * *': minute takes 0 to 59, got '60'."),
        ("0 24 * * *", "hour takes 0 to 23, got '24'."),
        ("0 3 0 * *", "day takes 1 to 31, got '0'."),
        ("0 3 * 13 *", "month takes 1 to 12 or jan to dec, got '13'."),
        ("0 3 * * mno", "weekday takes 0 to 7 or sun to sat, got 'mno'."),
        ("0 3 * * 8", "weekday takes 0 to 7 or sun to sat, got '8'."),
        ("x 3 * * *", "minute takes 0 to 59, got 'x'."),
        ("5- 3 * * *", "minute takes 0 to 59, ranges such as 1-5, steps such as */2, and lists"),
        ("0 3,, * * *", "hour takes 0 to 23, ranges such as 1-5"),
        ("0 22-2 * * *", "hour '22-2' runs backwards; write it as two ranges."),
        ("*/0 3 * * *", "minute '*/0': a step is from 1 to 59, got '0'."),
        ("*/x 3 * * *", "minute '*/x': a step is from 1 to 59, got 'x'."),
        ("5/15 3 * * *", "minute '5/15': a step goes with * or a range, as in 5-59/15."),
        ("*-5 3 * * *", "minute '*-5': a range has two numbers."),
        ("0 3 30 2 *", "schedule '0 3 30 2 *': no month that it names has such a day."),
        ("0 3 31 4,6 *", "no month that it names has such a day."),
        ("1٣ 3 * * *", "minute takes 0 to 59, ranges"),
        ("0 3 * * mon#2", "weekday takes 0 to 7 or sun to sat, ranges"),
        ("0 3 L * *", "day takes 1 to 31, got 'L'."),
    ],
)
def test_what_is_no_schedule(text: str, reason: str) -> None:
    with pytest.raises(OptionError) as refused:
        parse_schedule(text)
    assert reason in str(refused.value)


def test_the_text_that_every_cron_reads() -> None:
    assert parse_schedule("00 3 * JAN,mar Mon-fri").cron == "0 3 * 1,3 1-5"
    assert parse_schedule("*/15 1-3,5 */2 * 5-7").cron == "*/15 1-3,5 */2 * 0,5-6"


def test_nights_that_were_missed() -> None:
    nightly = parse_schedule("0 3 * * *")
    last = datetime(2026, 11, 26, 3, 0, 4, tzinfo=UTC)
    tonight = datetime(2026, 11, 29, 3, 0, 2, tzinfo=UTC)
    assert [f"{night:%d}" for night in nightly.missed_between(last, tonight)] == ["27", "28"]
    caught_up = tonight + timedelta(hours=9)
    assert len(nightly.missed_between(last, caught_up)) == 2, "this one stands for the third"
    assert len(nightly.due_between(last, caught_up)) == 3
    by_hand = last + timedelta(hours=20)
    assert nightly.missed_between(last, by_hand) == ()
    assert nightly.missed_between(last, tonight - timedelta(days=2)) == ()


def test_local_time(berlin: None) -> None:
    nightly = parse_schedule("30 2 * * *")
    moments = list(islice(nightly.due_after(datetime(2026, 10, 24, tzinfo=UTC)), 3))
    assert [m.astimezone(UTC).strftime("%d %H:%M") for m in moments] == [
        *("24 00:30", "25 00:30", "26 01:30"),
    ]
    spring = nightly.next_after(datetime(2027, 3, 27, 12, tzinfo=UTC))
    assert spring.astimezone(UTC) == datetime(2027, 3, 28, 0, 30, tzinfo=UTC), "there is no 2:30"
    assert nightly.next_after(spring).astimezone(UTC) == datetime(2027, 3, 29, 0, 30, tzinfo=UTC)


NUMBERS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 28), "month": (1, 12), "weekday": (0, 7)}


@st.composite
def fields(draw: st.DrawFn, name: str) -> str:
    low, high = NUMBERS[name]
    one = st.integers(low, high)
    span = st.tuples(one, one).map(lambda pair: f"{min(pair)}-{max(pair)}")
    star = st.sampled_from(["*", "*", "*", "*/2", "*/5"])
    part = st.one_of(star, one.map(str), span, span.map(lambda text: f"{text}/3"))
    return ",".join(draw(st.lists(part, min_size=1, max_size=2)))


schedules = st.tuples(*map(fields, NUMBERS)).map(" ".join)


def fits(text: str, moment: datetime) -> bool:
    """The rule of crontab(5), minute by minute."""

    def one(field: str, low: int, high: int, value: int) -> bool:
        for part in field.split(","):
            span, _, step = part.partition("/")
            begin, _, end = span.partition("-")
            first, last = (low, high) if begin == "*" else (int(begin), int(end or begin))
            if first <= value <= last and (value - first) % int(step or 1) == 0:
                return True
        return False

    parts, day_of_week = text.split(), moment.isoweekday()
    minute = one(parts[0], 0, 59, moment.minute)
    hour = one(parts[1], 0, 23, moment.hour)
    day = one(parts[2], 1, 31, moment.day)
    month = one(parts[3], 1, 12, moment.month)
    weekday = one(parts[4], 0, 6, day_of_week) or (day_of_week == 7 and one(parts[4], 0, 6, 0))
    star = parts[2].startswith("*") or parts[4].startswith("*")
    return minute and hour and month and (day and weekday if star else day or weekday)


@settings(max_examples=60, deadline=None)
@given(schedules)
def test_due_is_what_fits_minute_by_minute(text: str) -> None:
    begin = datetime(2027, 2, 26, 0, 0, tzinfo=UTC)
    minutes = (begin + timedelta(minutes=number) for number in range(1, 4 * 24 * 60))
    expected = [minute for minute in minutes if fits(text, minute)]
    end = begin + timedelta(minutes=4 * 24 * 60 - 1)
    assert list(parse_schedule(text).due_between(begin, end)) == expected
    again = parse_schedule(parse_schedule(text).cron)
    assert again.due_between(begin, end) == tuple(expected), "the text for cron says the same"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
@pytest.mark.parametrize(
    "text",
    ["0 3 * * *", "*/20 1-3 * * mon-fri", "30 2 1,15 * sun", "0 4 */10 2,12 *", "5 5 1 1 */2"],
)
def test_systemd_is_due_at_the_same_moments(text: str) -> None:
    schedule = parse_schedule(text)
    told, base = set(), f"{NIGHT:%Y-%m-%d %H:%M:%S} UTC"
    for calendar in schedule.calendar:
        done = subprocess.run(
            ["systemd-analyze", "calendar", "--iterations=8", "--base-time", base, calendar],
            capture_output=True,
            text=True,
            check=True,
            env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
        )
        told |= set(re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d):00 UTC", done.stdout))
    expected = [f"{m:%Y-%m-%d %H:%M}" for m in islice(schedule.due_after(NIGHT), 8)]
    assert sorted(told)[:8] == expected
