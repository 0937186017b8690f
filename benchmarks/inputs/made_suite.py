"""A made-up suite in a store: many series, followed over many nights, written in bulk."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from math import exp
from typing import Any

from sqlalchemy import create_engine

from db.connection.address import parse_address
from db.store import Store

SUITE = "shop-floor"
START = datetime(2026, 6, 1, 3, tzinfo=UTC)
_UPGRADES = (30, 70)  # nights from which on a newer engine runs
_METRICS = ("latency", "energy")

Row = tuple[object, ...]


def make_suite(place: str, series: int, nights: int) -> None:
    """Add the suite to a store, which is made where there is none. place: of an SQLite file."""
    Store.open(place).close()
    engine = create_engine(parse_address(place).url)
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        with closing(driver.cursor()) as cursor:
            for table, columns, rows in _tables(series, nights):
                marks = ", ".join("?" * len(columns))
                insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
                cursor.executemany(insert, rows)
    engine.dispose()


def _tables(series: int, nights: int) -> Iterator[tuple[str, Sequence[str], Iterable[Row]]]:
    yield (
        "machine",
        ("id", "hostname", "cpu", "cores", "memory_bytes", "details"),
        [("bench", "bench-1", "made up", 2, 1 << 34, "{}")],
    )
    versions = [f'{{"onnxruntime": "1.{30 + n}.0"}}' for n in range(len(_UPGRADES) + 1)]
    yield "software", ("id", "versions"), [(f"set-{n}", each) for n, each in enumerate(versions)]
    yield (
        "model",
        ("sha256", "name", "opset", "operators", "parameters", "macs", "details"),
        [("5e" * 32, "detector", 17, 50, 10**6, 10**8, "{}")],
    )
    yield (
        "series",
        ("id", "suite", "case_name", "device", "metric", "environment", "model_sha256", "good"),
        [
            (f"of-{n}", SUITE, f"case-{n}", "cpu", _METRICS[n % 2], "", "5e" * 32, "{}")
            for n in range(series)
        ],
    )
    yield (
        "night",
        ("name", "suite", "machine_id", "started_at", "finished_at", "details"),
        [(f"{SUITE}-{n:03}", SUITE, "bench", _time(n), _time(n), "{}") for n in range(nights)],
    )
    yield from _values(series, nights)


def _values(series: int, nights: int) -> Iterator[tuple[str, Sequence[str], Iterable[Row]]]:
    """Noise of 1 %; every seventh series is 4 % slower from the first upgrade on."""
    rng = random.Random(3)
    slower = range(0, series, 7)

    def value(number: int, night: int) -> Row:
        step = 0.04 if number in slower and night >= _UPGRADES[0] else 0.0
        ratio = rng.gauss(step, 0.01)
        verdict = "regression" if step else "no change"
        software = f"set-{sum(night >= first for first in _UPGRADES)}"
        return (
            *(f"of-{number}", f"{SUITE}-{night:03}", _time(night), "gone", verdict, ratio, 0.005),
            *(1e-3 * exp(ratio), 1e-3, 0.5, "bench", software, _details(ratio)),
        )

    yield (
        "night_value",
        (
            *("series_id", "night", "measured_at", "run", "verdict", "value", "uncertainty"),
            *("seconds", "good_seconds", "p_value", "machine_id", "software_id", "details"),
        ),
        (value(number, night) for night in range(nights) for number in range(series)),
    )
    found = f"{SUITE}-{min(_UPGRADES[0], nights - 1):03}"
    yield (
        "change_point",
        (
            *("id", "series_id", "first_night", "found_night", "found_at", "ratio", "low"),
            *("high", "state", "note", "details"),
        ),
        [
            (
                *(f"change-{n}", f"of-{n}", found, found, _time(_UPGRADES[0]), 1.04, 1.03),
                *(1.05, "confirmed", "", "{}"),
            )
            for n in slower
        ],
    )


def _details(ratio: float) -> str:
    """What a page reads of them."""
    low, high = exp(ratio - 0.01), exp(ratio + 0.01)
    return json.dumps({"ratio": {"value": exp(ratio), "low": low, "high": high}})


def _time(night: int) -> str:
    """When a night begins, as SQLAlchemy writes a time."""
    return f"{START + timedelta(days=night):%Y-%m-%d %H:%M:%S.%f}"
