"""How long the store's answers take at a million trials, in SQLite and in PostgreSQL.

A store is made up: 40 models on 5 devices of 2 machines, a hundred trials a run, four fifths of
them ok with four values each, and 500 series of 400 nights. What is written is what the store's
own methods write (``db/ranking.py``), in bulk. Then, one question after the other, as the commands
ask them (``db/questions/``), rows to records included:

- the history of a series, all of its nights. Target: 20 ms, p95 of 200 series drawn at random.
- the best configuration of each model on each device. Target: 100 ms, p95 of 40 times; and equal
  to what a pass over all values says.
- without a target: its newest 50 nights, the other questions, and a table of the newest trials.

The plans of the first two are printed; they must use the index that is for them, and scan no
large table. PostgreSQL is started in a temporary folder; without its programs it is left out, and
that is said.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, event, text

from benchmarks.common import Report, Unit, options
from benchmarks.inputs.made_store import (
    BEST_INDEX,
    METRICS,
    NIGHTS,
    SERIES,
    Made,
    Row,
    case_of,
    in_postgresql,
    in_sqlite,
    postgresql,
)
from db.connection.address import parse_address
from db.questions.best import best
from db.questions.failures import failures
from db.questions.latest import latest
from db.questions.nightly.flaky import flaky
from db.questions.nightly.series import history, regressions
from db.questions.pareto import pareto
from db.questions.predicted import predicted
from db.questions.results import results
from db.questions.views import Subject
from db.reader import StoreReader
from db.store import Store
from farm.measurement import Metric
from farm.units import format_seconds

TRIALS, QUICK_TRIALS = 1_000_000, 20_000
ASKED, TIMES = 200, 40
HISTORY_INDEX = "ix_night_value_series_id_measured_at"
LARGE = ("measurement", "trial", "night_value")


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TRIALS} trials")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    trials = QUICK_TRIALS if arguments.quick else TRIALS
    if arguments.only != "postgresql":
        with tempfile.TemporaryDirectory(prefix="farm-query-speed-") as folder:
            figures(report, "SQLite", str(Path(folder) / "farm.db"), trials, in_sqlite)
    if arguments.only != "sqlite":
        with postgresql() as url:
            if url is None:
                report.say("PostgreSQL is left out: its server is not installed")
            else:
                figures(report, "PostgreSQL", url, trials, in_postgresql)
    return report.close()


def figures(
    report: Report,
    name: str,
    place: str,
    trials: int,
    write: Callable[[Connection, str, Sequence[str], Iterable[Row]], None],
) -> None:
    """Make a store and ask it."""
    begin = time.perf_counter()
    made = Made(trials)
    Store.open(place).close()
    engine = create_engine(parse_address(place).url)
    with engine.begin() as connection:
        for table, columns, rows in made.tables():
            write(connection, table, columns, rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if name == "PostgreSQL":
            connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    note = f"{made.values:,} values, {SERIES * NIGHTS:,} nights of series"
    report.show(
        f"{name}: {trials:,} trials written", time.perf_counter() - begin, Unit.SECONDS, note
    )
    with StoreReader.open(place) as store:
        ask_history(report, name, store)
        ask_best(report, name, store, made)
        ask_others(report, name, store)


def ask_history(report: Report, name: str, store: StoreReader) -> None:
    """The nights of series that are drawn at random."""
    rng = random.Random(1)
    cases = [case_of(rng.randrange(SERIES)) for _ in range(ASKED)]
    whole = [partial(history, store, case=case) for case in cases]
    assert {len(ask()) for ask in whole[:5]} == {NIGHTS}
    label = f"{name}: history of a series, all its {NIGHTS} nights, p95"
    seconds = timed(whole)
    report.at_most(label, p95(seconds), 0.020, Unit.SECONDS, median(seconds))
    newest = [partial(history, store, case=case, limit=50) for case in cases]
    seconds = timed(newest)
    label = f"{name}: its newest 50 nights, as the command shows them, p95"
    report.at_most(label, p95(seconds), 0.020, Unit.SECONDS, median(seconds))
    plan(report, name, store, newest[0], HISTORY_INDEX)


def ask_best(report: Report, name: str, store: StoreReader, made: Made) -> None:
    """The best of every model on every device, checked against a pass over all values."""
    for metric in (Metric.LATENCY, Metric.ACCURACY):
        rows = best(store, metric=metric)
        found = {(r.model, r.device, r.machine): (r.value, r.phase != "search") for r in rows}
        assert found == made.best(METRICS.index(str(metric))), metric
    ask = partial(best, store)
    label = f"{name}: best of each model and device, {len(ask())} rows, p95"
    seconds = timed([ask] * TIMES)
    report.at_most(label, p95(seconds), 0.100, Unit.SECONDS, median(seconds))
    plan(report, name, store, ask, BEST_INDEX)


def ask_others(report: Report, name: str, store: StoreReader) -> None:
    """Questions without a target."""
    one = Subject("model-7", ("cpu",))
    questions: dict[str, Callable[[], Sequence[object]]] = {
        "newest 50 trials": lambda: results(store, limit=50),
        "latest of each model and device": lambda: latest(store, limit=50),
        "Pareto set of a model on a device": lambda: pareto(store, one),
        "Pareto sets of all": lambda: pareto(store),
        "open regressions": lambda: regressions(store),
        "flaky series": lambda: flaky(store),
        "predicted and measured": lambda: predicted(store),
        "reasons of failures": lambda: failures(store),
    }
    for question, ask in questions.items():
        count = len(ask())
        seconds = min(timed([ask] * 3))
        report.show(f"{name}: {question}, {count} rows", seconds, Unit.SECONDS)


def timed(questions: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds of each question."""
    seconds = []
    for ask in questions:
        begin = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - begin)
    return seconds


def p95(seconds: Sequence[float]) -> float:
    """What 95 % of the questions take at most."""
    return float(np.quantile(seconds, 0.95))


def median(seconds: Sequence[float]) -> str:
    """What half of the questions take at most, as a note."""
    return f"median {format_seconds(float(np.median(seconds)))}"


def plan(
    report: Report, name: str, store: StoreReader, ask: Callable[[], object], index: str
) -> None:
    """Print the plan of a question's last statement; it must use the index and scan little."""
    statement, parameters = last_statement(ask)
    explain = "EXPLAIN QUERY PLAN" if name == "SQLite" else "EXPLAIN"
    with store.reading() as session:
        found = session.connection().exec_driver_sql(f"{explain} {statement}", parameters)
        lines = [str(row[-1]) for row in found]
    for line in lines:
        report.say(f"  {line}")
    assert any(index in line for line in lines), f"{index} is not used"
    scans = [line for line in lines if is_scan(line)]
    report.at_most(f"{name}: scans of a large table in this plan", len(scans), 0, Unit.COUNT)


def is_scan(line: str) -> bool:
    """Whether a step of a plan goes through all of a large table."""
    words = line.replace("(", " ").split()
    if "SCAN" in words:  # SQLite says the name in the statement
        return words[words.index("SCAN") + 1] in (*LARGE, "v", "t", "e", "w", "s_1")
    return "Seq Scan" in line and any(f"on {table}" in line for table in LARGE)


def last_statement(ask: Callable[[], object]) -> tuple[str, Any]:
    """The last statement that a question sends, and its parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, given: Any, *_: object) -> None:  # noqa: ANN401
        sent.append((statement, given))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        ask()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return sent[-1]


if __name__ == "__main__":
    sys.exit(main())
