"""Nothing is lost when trials, workers, the cluster and the driver itself are killed.

Starts ``faults_driver.py``: 500 trials on the fake device, of which 5 % crash, 3 % hang and 2 %
leak memory, for real. At random (seeded) moments it kills an actor, the raylet or the driver with
SIGKILL, and starts the driver again until the run is complete. Targets:

- 0 trials lost: each ends exactly as its injected fault demands, no infrastructure error is left;
- 0 trials committed twice, counted by a trigger in the database;
- hangs end within their deadline + 2 s;
- 15 s after a driver is killed, none of its processes is left;
- the resumed run completes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import psutil

from benchmarks.common import ROOT, Report, Unit, options
from benchmarks.whole.faults_driver import DEADLINE_SECONDS, expected_outcomes, store_file
from db.questions.sql import query
from db.records import RunStatus, Trial
from db.store import Store
from farm.measurement import Outcome

TRIALS, QUICK_TRIALS = 500, 40
ORPHAN_SECONDS = 15.0
HANG_MARGIN_SECONDS = 2.0
MARKER = "FARM_FAULTS_DRIVER"
"""Environment variable by which a driver's processes are known after their parents are dead."""
_TICK_SECONDS = 0.2
_START_SECONDS = 30.0  # a driver that ends sooner by itself, again and again, is broken
_EARLY_ENDS = 3

# A commit sets an outcome that is final; a lease sets none.
_AUDIT = """
CREATE TABLE commits (trial_id TEXT, outcome TEXT);
CREATE TRIGGER count_commits AFTER UPDATE OF outcome ON trial
WHEN NEW.outcome IS NOT NULL AND NEW.outcome <> 'infrastructure-error'
BEGIN INSERT INTO commits VALUES (NEW.id, NEW.outcome); END;
"""
_COMMITTED = "SELECT count(DISTINCT trial_id) FROM commits"
_COMMITTED_TWICE = "SELECT trial_id FROM commits GROUP BY trial_id HAVING count(*) > 1"


class Victim(StrEnum):
    """What is killed."""

    ACTOR = "actor"
    RAYLET = "raylet"
    DRIVER = "driver"


KILLS_PER_TRIAL = {Victim.ACTOR: 0.016, Victim.RAYLET: 0.008, Victim.DRIVER: 0.008}


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: so many seconds after so many trials were committed."""

    victim: Victim
    after_trials: int
    delay_seconds: float


def main() -> int:
    """Run, disturb, check; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TRIALS} trials")
    arguments = parser.parse_args()
    trials = QUICK_TRIALS if arguments.quick else arguments.trials
    report = Report(__file__, arguments.json)
    folder = Path(tempfile.mkdtemp(prefix="farm-faults-"))
    try:
        _audit(folder)
        disturbance = Disturbance(report, folder, trials, arguments.seed)
        started = time.monotonic()
        disturbance.run()
        _judge_processes(report, disturbance)
        _judge_trials(report, folder, trials, arguments.seed)
        report.show("the whole run", time.monotonic() - started, Unit.SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report.close()


class Driver:
    """One start of the driver, with every process that was ever seen to belong to it."""

    def __init__(self, folder: Path, number: int, trials: int, seed: int) -> None:
        self._marker = f"{folder.name}-{number}"
        self._log = folder / f"driver-{number}.log"
        self._seen: set[psutil.Process] = set()
        self.started = time.monotonic()
        self.ended = 0.0
        self.orphans: list[str] = []
        self.last_gone = 0.0
        driver = [sys.executable, "-m", "benchmarks.whole.faults_driver", str(folder)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*driver, f"--trials={trials}", f"--seed={seed}"],
                cwd=ROOT,
                env=os.environ | {MARKER: self._marker, "TMPDIR": str(folder)},
                start_new_session=True,
                stdout=log,
                stderr=log,
            )

    def find(self, victim: Victim) -> int | None:
        """The process to be killed, None where there is none at the moment."""
        if victim is Victim.DRIVER:
            return self.process.pid
        wanted = "ray::Worker" if victim is Victim.ACTOR else "raylet"
        return next((p.pid for p in self.look() if _title(p).startswith(wanted)), None)

    def look(self) -> set[psutil.Process]:
        """The driver's living processes.

        By descent, because Ray's workers overwrite their environment; and by environment, because
        a process whose parent is dead descends from nobody.
        """
        roots = [p for p in self._seen if p.is_running()]
        if self.process.poll() is None:
            roots.append(psutil.Process(self.process.pid))
        self._seen.update(roots, *(_descendants(root) for root in roots))
        self._seen.update(p for p in psutil.process_iter() if _is_marked(p, self._marker))
        return {p for p in self._seen if _is_alive(p)}

    def note_end(self) -> None:
        """The driver's own process has ended; what is left of it has some seconds to go."""
        self.process.wait()
        self.ended = time.monotonic()

    def is_gone(self) -> bool:
        """Whether no process is left, or those left had their time and count as orphans."""
        left = self.look()
        passed = time.monotonic() - self.ended
        if left and passed < ORPHAN_SECONDS:
            return False
        self.orphans, self.last_gone = [f"{p.pid} {_title(p)}" for p in left], passed
        return True

    def log(self) -> str:
        """The end of what it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def destroy(self) -> None:
        """Kill whatever is left."""
        for process in self.look():
            with contextlib.suppress(psutil.Error):
                process.kill()


class Disturbance:
    """Carries out the kills and starts the driver again, until the run is complete."""

    def __init__(self, report: Report, folder: Path, trials: int, seed: int) -> None:
        self._report = report
        self._folder = folder
        self._trials = trials
        self._seed = seed
        self._plan = deque(kill_plan(trials, seed))
        self._ending: list[Driver] = []
        self.ended: list[Driver] = []
        self.killed: list[Victim] = []
        self.ended_by_itself = 0

    def run(self) -> None:
        """Disturb until a driver reports success; then wait for the last processes to go."""
        driver = self._start()
        try:
            while (driver := self._tick(driver)).process.poll() != 0:
                time.sleep(_TICK_SECONDS)
            driver.note_end()
            self._ending.append(driver)
            while self._ending:
                time.sleep(_TICK_SECONDS)
                self._watch_endings()
        finally:
            for each in (driver, *self._ending, *self.ended):
                each.destroy()

    def _tick(self, driver: Driver) -> Driver:
        """One look at everything; the driver that runs after it."""
        self._watch_endings()
        if driver.process.poll() is not None:
            return driver if driver.process.returncode == 0 else self._restarted(driver)
        driver.look()
        if self._plan and self._committed() >= self._plan[0].after_trials:
            kill = self._plan[0]
            time.sleep(kill.delay_seconds)
            pid = driver.find(kill.victim)
            if pid is not None and driver.process.poll() is None:
                self._plan.popleft()
                self._kill(kill, pid)
                if kill.victim is Victim.DRIVER:
                    return self._next(driver)
        return driver

    def _kill(self, kill: Kill, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.killed.append(kill.victim)
        self._report.say(f"{kill.victim} killed after {self._committed()} trials")

    def _restarted(self, driver: Driver) -> Driver:
        """A driver that gave up is started again, too, as its user would do."""
        self.ended_by_itself += 1
        self._report.say(f"the driver ended by itself: {driver.log().strip().splitlines()[-1:]}")
        early = time.monotonic() - driver.started < _START_SECONDS
        if early and self.ended_by_itself > _EARLY_ENDS:
            sys.exit(f"the driver ends again and again:\n{driver.log()}")
        return self._next(driver)

    def _next(self, driver: Driver) -> Driver:
        driver.note_end()
        self._ending.append(driver)
        return self._start()

    def _start(self) -> Driver:
        number = len(self._ending) + len(self.ended)
        return Driver(self._folder, number, self._trials, self._seed)

    def _watch_endings(self) -> None:
        gone = [driver for driver in self._ending if driver.is_gone()]
        self.ended += gone
        self._ending = [driver for driver in self._ending if driver not in gone]

    def _committed(self) -> int:
        return int(str(_ask(self._folder, _COMMITTED)[0][0]))


def kill_plan(trials: int, seed: int) -> list[Kill]:
    """Who is killed when, at random; not in the last trials, or the run would end before."""
    rng = np.random.default_rng([seed, 1])
    victims = [v for v, share in KILLS_PER_TRIAL.items() for _ in range(_count(trials, share))]
    moments = np.sort(rng.choice(np.arange(1, int(0.95 * trials)), len(victims), replace=False))
    return [
        Kill(victims[i], int(moment), float(rng.uniform(0.0, 1.0)))
        for i, moment in zip(rng.permutation(len(victims)), moments, strict=True)
    ]


def _count(trials: int, share: float) -> int:
    return max(1, round(trials * share))


def _judge_processes(report: Report, disturbance: Disturbance) -> None:
    kills = {victim: disturbance.killed.count(victim) for victim in Victim}
    report.show("SIGKILLs", len(disturbance.killed), Unit.COUNT, _listed(kills))
    report.show("drivers that gave up by themselves", disturbance.ended_by_itself, Unit.COUNT)
    orphans = [name for driver in disturbance.ended for name in driver.orphans]
    longest = max(driver.last_gone for driver in disturbance.ended)
    name = f"processes left {ORPHAN_SECONDS:.0f} s after their driver's end"
    report.at_most(name, len(orphans), 0, Unit.COUNT, ", ".join(orphans))
    report.show("longest until the last process of a driver was gone", longest, Unit.SECONDS)


def _judge_trials(report: Report, folder: Path, trials: int, seed: int) -> None:
    """Compare the store with what was injected."""
    expected = {c.id: outcome for c, outcome in expected_outcomes(trials, seed).items()}
    with Store.open(str(store_file(folder))) as store:
        runs, found = store.runs(), store.trials()
    wrong = [trial for trial in found if expected[trial.candidate_id] is not trial.outcome]
    lost = len(wrong) + len(expected) - len(found)
    outcomes = {outcome: _outcomes(found).count(outcome) for outcome in Outcome}
    report.at_least("trials stored", len(found), trials, Unit.COUNT, _listed(outcomes))
    report.at_most("trials lost: no outcome, or not the injected one", lost, 0, Unit.COUNT)
    for trial in wrong[:5]:
        wanted = expected[trial.candidate_id]
        report.say(f"{trial.id}: {trial.outcome}, injected was {wanted}: {trial.message}")
    unfinished = _outcomes(found).count(Outcome.INFRASTRUCTURE_ERROR)
    report.at_most("infrastructure errors left", unfinished, 0, Unit.COUNT)
    twice = _ask(folder, _COMMITTED_TWICE)
    report.at_most("trials committed twice", len(twice), 0, Unit.COUNT)
    report.show("leases that were repeated", sum(t.attempts - 1 for t in found), Unit.COUNT)
    longest = max(_worker_seconds(t) for t in found if t.outcome is Outcome.TIMEOUT)
    beyond = max(0.0, longest - DEADLINE_SECONDS)
    report.at_most("longest hang beyond its deadline", beyond, HANG_MARGIN_SECONDS, Unit.SECONDS)
    finished = [run.status for run in runs] == [RunStatus.FINISHED]
    report.at_least("runs in the store, the resumed one complete", float(finished), 1, Unit.COUNT)


def _outcomes(trials: Sequence[Trial]) -> list[Outcome | None]:
    return [trial.outcome for trial in trials]


def _worker_seconds(trial: Trial) -> float:
    """Everything that the worker did for a trial: more than the hang alone."""
    return float(json.loads(trial.details)["worker_seconds"])


def _listed(counts: Mapping[Victim, int] | Mapping[Outcome, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _audit(folder: Path) -> None:
    """Create the store, with a table that counts commits beside the farm's own tables."""
    Store.open(str(store_file(folder))).close()
    with closing(sqlite3.connect(store_file(folder))) as connection:
        connection.executescript(_AUDIT)


def _ask(folder: Path, sql: str) -> tuple[tuple[object, ...], ...]:
    _, rows = query(str(store_file(folder)), sql)
    return rows


def _descendants(process: psutil.Process) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        yield from process.children(recursive=True)


def _is_marked(process: psutil.Process, marker: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.environ().get(MARKER) == marker)
    return False


def _is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; a zombie only waits for its parent to ask how it ended."""
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        title = process.cmdline()[:1] or [""]
        return Path(title[0]).name
    return ""


if __name__ == "__main__":
    sys.exit(main())
