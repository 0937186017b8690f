"""Several writers of one store at the same time: nothing is lost, and nobody sees a lock.

Four processes write runs with trials, values and blocks for a minute as fast as they can, each by
the farm's own store, and a fifth reads. Every one notes what the store said was committed.
Targets, each 0: what was said to be committed and is not there; errors of any kind.

    python -m benchmarks.store.store_writers [--seconds 60] [--store URL]
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.common import Report, Unit, options
from db.care.check import check
from db.questions.results import results
from db.reader import StoreReader
from db.records import (
    Block,
    BlockSample,
    CandidateRecord,
    Machine,
    Model,
    Phase,
    Run,
    RunKind,
    Software,
    Trial,
    utc_now,
)
from db.store import Store
from farm.candidate import Candidate, Fake
from farm.errors import FarmError
from farm.measurement import Measurement, Method, Metric, Outcome

WRITERS, SECONDS = 4, 60.0
_TRIALS = 20  # of a run
_MODEL = Model("ab" * 32, "written", opset=17, operators=10, parameters=1000, macs=10_000)
_MACHINE = Machine.identify("writers", "CPU", cores=2, memory_bytes=1 << 34)
_SOFTWARE = Software.identify('{"farm": "benchmark"}')


@dataclass(frozen=True)
class Said:
    """What one process was told: ids that were committed, and errors."""

    trials: tuple[str, ...]
    errors: tuple[str, ...]


def main() -> int:
    """Print the figures; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--writers", type=int, default=WRITERS)
    parser.add_argument("--store", help="URL of an empty store; default: a new SQLite file")
    given = parser.parse_args()
    report = Report(__file__, given.json)
    with tempfile.TemporaryDirectory() as folder:
        place = given.store or str(Path(folder) / "farm.db")
        prepare(place)
        until = time.time() + given.seconds
        with multiprocessing.get_context("spawn").Pool(given.writers + 1) as pool:
            reader = pool.apply_async(read, (place, until))
            said = pool.starmap(write, [(place, n, until) for n in range(given.writers)])
            read_errors = reader.get()
        show(report, place, said, read_errors)
    return report.close()


def prepare(place: str) -> None:
    """A store with what trials point to."""
    with Store.open(place) as store:
        store.add_machine(_MACHINE)
        store.add_software(_SOFTWARE)
        store.add_model(_MODEL)


def write(place: str, number: int, until: float) -> Said:
    """Write runs until a moment."""
    trials: list[str] = []
    errors: list[str] = []
    candidate = CandidateRecord.of(Candidate(Fake(serial=number)))
    at = 0
    with Store.open(place) as store:
        while time.time() < until:
            try:
                trials += written_run(store, f"run-{number}-{at}", candidate)
            except FarmError as error:
                errors.append(str(error))
            at += 1
    return Said(tuple(trials), tuple(errors))


def written_run(store: Store, name: str, candidate: CandidateRecord) -> list[str]:
    """One run with its trials, each leased and committed, and a block of all."""
    run = Run(name, RunKind.BENCH, _MODEL.sha256, _MACHINE.id, _SOFTWARE.id, 0, "{}")
    store.create_run(run)
    store.add_candidate(candidate)
    ids = [f"{name}-{n}" for n in range(_TRIALS)]
    pending = Trial("", name, "cpu", candidate.id, Phase.BENCH, _MACHINE.id, _SOFTWARE.id)
    for one in ids:
        store.lease_trial(replace(pending, id=one))
        value = Measurement(Metric.LATENCY, 1e-3, Method.MEASURED, samples=(1e-3,) * 50)
        store.commit_trial(one, Outcome.OK, measurements=[value])
    samples = tuple(BlockSample(one, 1e-3, 1e-3, 10, order) for order, one in enumerate(ids))
    store.add_block(Block(name, "cpu", 0, 0, utc_now(), kept=True, samples=samples))
    return ids


def read(place: str, until: float) -> tuple[str, ...]:
    """Ask for results until a moment; errors."""
    errors: list[str] = []
    while time.time() < until:
        try:
            with StoreReader.open(place) as store:
                results(store, limit=50)
        except FarmError as error:
            errors.append(str(error))
    return tuple(errors)


def show(report: Report, place: str, said: list[Said], read_errors: tuple[str, ...]) -> None:
    """What was committed, what of that is lost, and what went wrong."""
    committed = [one for each in said for one in each.trials]
    errors = [*read_errors, *(error for each in said for error in each.errors)]
    with StoreReader.open(place) as store:
        ok = {trial.id for trial in store.trials(outcome=Outcome.OK)}
        damages = sum(found.count for found in check(store) if found.damage)
    report.show("trials committed", len(committed), Unit.COUNT, f"by {len(said)} writers")
    report.at_most("committed trials that are lost", len(set(committed) - ok), 0, Unit.COUNT)
    note = errors[0] if errors else ""
    report.at_most("errors of writers and the reader", len(errors), 0, Unit.COUNT, note)
    report.at_most("damages of the store", damages, 0, Unit.COUNT)


if __name__ == "__main__":
    sys.exit(main())
