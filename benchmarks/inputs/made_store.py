"""A made-up store of very many trials, written in bulk, and a PostgreSQL server to hold it."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from db.questions.nightly.series import Case

MODELS, MACHINES, CANDIDATES = 40, 2, 2000
DEVICES = ("cpu", "cpu-small", "gpu", "dsp", "dsp-small")
SERIES, NIGHTS = 500, 400
PER_RUN, CONFIRMED = 100, 4  # trials of a run, and those of them that confirm
START = datetime(2026, 1, 1, tzinfo=UTC)
METRICS = ("latency", "cpu_seconds", "peak_memory", "accuracy")
UNITS = ("s", "s", "B", "1")
BEST_INDEX = "ix_measurement_ranking_id_value_trial_id"

Row = tuple[object, ...]


def case_of(number: int) -> Case:
    """The case of a series."""
    return Case(f"suite-{number % 10}", f"case-{number}")


@dataclass(frozen=True, slots=True)
class Group:
    """Trials that can be compared: of a model on a machine's device."""

    model: int
    device: str
    machine: int


class Made:
    """Rows of a made-up store, the same each time."""

    def __init__(self, trials: int) -> None:
        rng = np.random.default_rng(1)
        self.trials = trials
        runs = -(-trials // PER_RUN)
        self.groups = [Group(m, d, c) for m in range(MODELS) for d in DEVICES for c in (0, 1)]
        self.group = np.repeat(rng.permutation(runs) % len(self.groups), PER_RUN)[:trials]
        within = np.arange(trials) % PER_RUN
        self.unseen = within >= PER_RUN - CONFIRMED
        self.ok = (rng.random(trials) < 0.8) | self.unseen
        base = 10 ** rng.uniform(-5, -1, len(self.groups))
        latency = base[self.group] * np.exp(rng.exponential(0.5, trials))
        self.value = np.stack(
            [
                latency,
                latency * rng.uniform(0.9, 4.0, trials),
                rng.integers(1 << 20, 1 << 28, trials).astype(float),
                1.0 - rng.exponential(0.01, trials),
            ]
        )
        self.candidate = rng.integers(0, CANDIDATES, trials)
        self.id = [f"{n:016x}" for n in rng.integers(0, 1 << 62, trials)]

    @property
    def values(self) -> int:
        """How many measurements there are."""
        return int(self.ok.sum()) * len(METRICS)

    def best(self, metric: int) -> dict[tuple[str, str, str], tuple[float, bool]]:
        """By a pass over all values: of each group the best on unseen data, else of the search."""
        values = self.value[metric] if METRICS[metric] != "accuracy" else -self.value[metric]
        found = {}
        for number, group in enumerate(self.groups):
            own = self.ok & (self.group == number)
            own = own & self.unseen if (own & self.unseen).any() else own
            if own.any():
                at = int(np.flatnonzero(own)[np.argmin(values[own])])
                key = (f"model-{group.model}", group.device, f"host-{group.machine}")
                found[key] = (float(self.value[metric, at]), bool(self.unseen[at]))
        return found

    def tables(self) -> Iterator[tuple[str, Sequence[str], Iterable[Row]]]:
        """Tables in the order of their keys, with columns and rows."""
        yield (
            "machine",
            ("id", "hostname", "cpu", "cores", "memory_bytes", "details"),
            ((f"machine-{n}", f"host-{n}", "made up", 2, 1 << 34, "{}") for n in range(MACHINES)),
        )
        yield "software", ("id", "versions"), [("software", "{}")]
        yield (
            "model",
            ("sha256", "name", "opset", "operators", "parameters", "macs", "details"),
            ((sha(n), f"model-{n}", 17, 50, 10**6, 10**8, "{}") for n in range(MODELS)),
        )
        yield (
            "candidate",
            ("id", "json", "label"),
            ((f"candidate-{n}", "{}", f"engine option {n}") for n in range(CANDIDATES)),
        )
        yield from self._runs()
        yield from self._measurements()
        yield from _series()

    def _runs(self) -> Iterator[tuple[str, Sequence[str], Iterable[Row]]]:
        yield (
            "run",
            (
                *("name", "kind", "model_sha256", "machine_id", "software_id", "seed"),
                *("request", "status", "created_at", "finished_at", "active_seconds", "summary"),
            ),
            (self._run(first) for first in range(0, self.trials, PER_RUN)),
        )
        yield (
            "trial",
            (
                *("id", "run", "device", "candidate_id", "phase", "machine_id", "software_id"),
                *("outcome", "message", "attempts", "created_at", "details"),
            ),
            map(self._trial, range(self.trials)),
        )

    def _run(self, first: int) -> Row:
        group, when = self.groups[self.group[first]], START + timedelta(seconds=first)
        last = min(first + PER_RUN, self.trials) - 1
        winner = f'{{"status":"tuned","verdict":"improved","trial":"{self.id[last]}"}}'
        return (
            *(run_of(first), "tune", sha(group.model), f"machine-{group.machine}", "software", 0),
            *("{}", "finished", when, when, 60.0, f'{{"devices":{{"{group.device}":{winner}}}}}'),
        )

    def _trial(self, at: int) -> Row:
        group, ok = self.groups[self.group[at]], bool(self.ok[at])
        message = "" if ok else f"accuracy 0.{at % 9000 + 1000} is below the limit"
        return (
            *(self.id[at], run_of(at), group.device, f"candidate-{self.candidate[at]}"),
            *("confirm" if self.unseen[at] else "search", f"machine-{group.machine}", "software"),
            *("ok" if ok else "rejected", message, 1, START + timedelta(seconds=at), "{}"),
        )

    def _measurements(self) -> Iterator[tuple[str, Sequence[str], Iterable[Row]]]:
        yield (
            "ranking",
            ("id", "model_sha256", "device", "machine_id", "unseen", "metric", "method"),
            (
                (
                    *(self._ranking(number, unseen, metric), sha(group.model), group.device),
                    *(f"machine-{group.machine}", unseen, name, "measured"),
                )
                for number, group in enumerate(self.groups)
                for unseen in (False, True)
                for metric, name in enumerate(METRICS)
            ),
        )
        samples = bytes(5 * 8)
        yield (
            "measurement",
            (
                *("trial_id", "metric", "method", "unit", "value", "sample_count"),
                *("samples", "ranking_id"),
            ),
            (
                (
                    *(self.id[at], METRICS[m], "measured", UNITS[m], float(self.value[m, at]), 5),
                    *(samples, self._ranking(int(self.group[at]), bool(self.unseen[at]), m)),
                )
                for at in map(int, np.flatnonzero(self.ok))
                for m in range(len(METRICS))
            ),
        )

    def _ranking(self, group: int, unseen: bool, metric: int) -> int:  # noqa: FBT001
        return 1 + (2 * group + unseen) * len(METRICS) + metric


def _series() -> Iterator[tuple[str, Sequence[str], Iterable[Row]]]:
    rng = random.Random(2)
    yield (
        "series",
        ("id", "suite", "case_name", "device", "metric", "environment", "model_sha256", "good"),
        (
            (f"series-{n}", case.suite, case.name, "cpu", "latency", "", sha(n % MODELS), "{}")
            for n, case in enumerate(map(case_of, range(SERIES)))
        ),
    )
    suites = range(10)
    yield (
        "night",
        ("name", "suite", "machine_id", "started_at", "finished_at", "details"),
        (
            (f"suite-{s}-{n}", f"suite-{s}", "machine-0", evening(n), evening(n), "{}")
            for n in range(NIGHTS)
            for s in suites
        ),
    )
    yield (
        "night_value",
        (
            *("series_id", "night", "measured_at", "run", "verdict", "value", "uncertainty"),
            *("seconds", "good_seconds", "p_value", "machine_id", "software_id", "details"),
        ),
        (
            (
                *(f"series-{n}", f"suite-{n % 10}-{night}", evening(night), "gone", "no change"),
                *(rng.gauss(0.0, 0.01), 0.005, 1e-3, 1e-3, 0.5, "machine-0", "software", "{}"),
            )
            for night in range(NIGHTS)
            for n in range(SERIES)
        ),
    )


def sha(model: int) -> str:
    """The SHA-256 of a model."""
    return f"{model:02x}" * 32


def run_of(trial: int) -> str:
    """The name of the run of a trial, by its number."""
    return f"run-{trial // PER_RUN}"


def evening(night: int) -> datetime:
    """When a night begins."""
    return START + timedelta(days=night)


def in_sqlite(
    connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """Insert rows; what is an index of the largest table alone is made afterwards."""
    driver: Any = connection.connection.driver_connection
    with closing(driver.cursor()) as cursor:
        cursor.execute("PRAGMA cache_size = -1000000")
        kept = []
        if table == "measurement":
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = ?", (BEST_INDEX,))
            kept = [sql for (sql,) in cursor.fetchall()]
            cursor.execute(f"DROP INDEX {BEST_INDEX}")
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        cursor.executemany(insert, (tuple(map(_in_sqlite, row)) for row in rows))
        for sql in kept:
            cursor.execute(sql)


def _in_sqlite(value: object) -> object:
    """As SQLAlchemy writes a time."""
    return f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value


def in_postgresql(
    connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """Copy rows into a table."""
    driver: Any = connection.connection.driver_connection
    command = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with driver.cursor() as cursor, cursor.copy(command) as copy:
        for row in rows:
            copy.write_row(row)


@contextmanager
def postgresql() -> Iterator[str | None]:
    """The URL of an empty database of a server that ends with the block; None without a server."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    if found is None:
        yield None
        return
    programs, folder = Path(found).parent, Path(tempfile.mkdtemp(prefix="farm-query-speed-"))
    is_root = os.getuid() == 0  # whom a server refuses to run as
    account = pwd.getpwnam("postgres") if is_root else pwd.getpwuid(os.getuid())
    os.chown(folder, account.pw_uid, account.pw_gid)

    def server(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, "-D", folder / "data", *arguments],
            check=True,
            cwd=folder,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
            user=account.pw_uid if is_root else None,
            group=account.pw_gid if is_root else None,
        )

    try:
        server("initdb", "--auth=trust", "--username=farm", "--no-sync", "--encoding=UTF8")
        tuned = f"-c listen_addresses='' -k {folder} -F -c max_wal_size=8GB"
        server("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", tuned)
        try:
            yield f"postgresql://farm@/postgres?host={folder}"
        finally:
            server("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)
