"""What a warm start is worth: ``farm tune`` with a store of other models, against an empty one.

- kws, cold and warm, each ``farm tune`` in a process of its own: the time from the start of a run
  until it had tried a candidate within 2 % of the cold run's winner. Target: warm at most half of
  cold.
- Models that the store has never seen: whether the first cohort of six already has a candidate
  within 10 % of the final winner. Target: in 3 of 4 models.

Runs of the model itself are taken out of a copy of the store before each warm run. How fast
candidates are is not taken from the runs: those in question race once more, all together, in 25 of
the farm's own blocks from which nobody is dropped. The store is that of ``recorded_store.py``,
unless another one of ``record_corpus.py`` is given. Run it on a quiet machine.

    python -m benchmarks.learning.warm_start --models kws.onnx ic.onnx vww.onnx ad.onnx
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, Report, Unit, options
from benchmarks.learning.recorded_store import unpacked
from benchmarks.measuring.aa import Bench
from db.records import Phase, Trial
from db.store import Store
from farm.candidate import Candidate, from_json
from farm.devices.profile import load_profiles
from farm.errors import FarmError
from farm.measurement import Outcome
from farm.model.model import load_model
from tuner.learning.versions import refit
from tuner.racing.race import RaceRules
from tuner.request import TuneRequest
from tuner.runs.memory import Memory
from tuner.search.search import COHORT

WITHIN, NEAR = 0.02, 0.10
HALF, THREE_OF_FOUR = 0.5, 0.75
BLOCKS, MOST_RACED = 25, 24
_PATIENCE = 60.0
_DEVICE = "cpu"


@dataclass(frozen=True, slots=True)
class Tuned:
    """A run.

    tried: candidates of the search that do, with the seconds from its start, first to last.
    number: of each trial among all, the baseline's being 0. first: candidates of the first cohort
    that do. winner: the baseline where nothing beat it.
    """

    tried: tuple[tuple[Candidate, float], ...]
    number: Mapping[Candidate, int]
    first: tuple[Candidate, ...]
    winner: Candidate


def main() -> int:
    """Tune; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--store", type=Path, help="of other models; the recorded corpus")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="the first: kws")
    parser.add_argument("--data", type=Path, help="npz file of samples for the first model")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report = Report(__file__, given.json)
    with unpacked() as corpus, tempfile.TemporaryDirectory(prefix="farm-warm-") as folder:
        store = given.store or corpus
        try:
            _run(report, store, given.models, given.data, given.budget, given.seed, folder)
        except FarmError as error:
            parser.error(str(error))
    return report.close()


def _run(
    report: Report,
    store: Path,
    models: Sequence[Path],
    data: Path | None,
    budget: str,
    seed: int,
    folder: str,
) -> None:
    near = 0
    for number, model in enumerate(models):
        own = data if number == 0 else None
        place = Path(folder) / str(number)
        place.mkdir()
        without(store, load_model(model).sha256, place / "warm.db")
        warm = tune(model, own, place / "warm.db", budget, seed)
        if number == 0:
            cold = tune(model, own, place / "cold.db", budget, seed, "--cold")
            show_times(report, model, own, cold, warm)
        near += show_first(report, model, own, warm)
    report.at_least("models whose first cohort was near", near / len(models), THREE_OF_FOUR)


def without(store: Path, sha256: str, copy: Path) -> None:
    """A copy of a store without the runs of a model, and what the others teach, fitted to it."""
    with closing(sqlite3.connect(store)) as given, closing(sqlite3.connect(copy)) as made:
        given.backup(made)
    with Store.open(str(copy)) as opened:
        for run in opened.runs(model=sha256):
            opened.delete_run(run.name, lambda *_: True)
        refit(opened, load_profiles()[_DEVICE], opened.runs(limit=1)[0].machine_id)


def tune(model: Path, data: Path | None, store: Path, budget: str, seed: int, *more: str) -> Tuned:
    """Tune a model, and read from the store what became of it."""
    command = [sys.executable, str(ROOT / "cli.py"), "tune", str(model), "--devices", _DEVICE]
    command += ["--store", str(store), "--budget", budget, "--seed", str(seed), "--local", *more]
    command += ["--data", str(data)] if data else []
    command += ["--output", str(store.with_suffix(""))]
    # Nothing that another run compiled lies in the cache.
    surroundings = {**os.environ, "XDG_CACHE_HOME": str(store.with_suffix(".cache"))}
    done = subprocess.run(
        command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise FarmError(f"farm tune failed: {done.stderr[-500:]}")
    with Store.open(str(store)) as opened:
        run = opened.runs(model=load_model(model).sha256, limit=1)[0]
        trials = opened.trials(run=run.name, phase=Phase.SEARCH)

        def candidate(trial: Trial) -> Candidate:
            return from_json(opened.candidate(trial.candidate_id).json)

        tried = [
            (candidate(t), (t.finished_at - run.created_at).total_seconds())
            for t in trials
            if t.finished_at is not None and t.outcome is Outcome.OK
        ]
        first = [candidate(t) for t in trials[1 : 1 + COHORT] if t.outcome is Outcome.OK]
        won = Memory.of(run).champion(_DEVICE)
        winner = from_json(opened.candidate(won).json) if won else tried[0][0]
        number = {candidate(trial): at for at, trial in enumerate(trials)}
    return Tuned(tuple(tried), number, tuple(first), winner)


def show_times(report: Report, model: Path, data: Path | None, cold: Tuned, warm: Tuned) -> None:
    """How long each took to be within 2 % of the cold run's winner."""
    candidates = dict.fromkeys((cold.winner, warm.winner))
    for tuned in (cold, warm):
        candidates |= dict.fromkeys(c for c, _ in tuned.tried)
    ratios = raced(model, data, tuple(candidates), cold.winner)
    times, trials = zip(*(reached(tuned, ratios) for tuned in (cold, warm)), strict=True)
    name = model.stem
    report.say(f"{name}: the cold winner is {cold.winner.label()}")
    better = f"{ratios.get(warm.winner, np.nan):.3f} of its latency"
    report.say(f"{name}: the warm winner is {warm.winner.label()}, {better}")
    for what, seconds, count in zip(("cold", "warm"), times, trials, strict=True):
        note = f"trial {count}"
        report.show(f"{name}: {what}, until within 2 %", seconds, Unit.SECONDS, note)
    report.at_most(f"{name}: warm of cold", times[1] / times[0], HALF, Unit.TIMES)


def reached(tuned: Tuned, ratios: Mapping[Candidate, float]) -> tuple[float, float]:
    """Seconds and trials until something within 2 % was tried; infinite where nothing was."""
    there = [
        (at, float(tuned.number[c]))
        for c, at in tuned.tried
        if ratios.get(c, np.inf) <= 1 + WITHIN
    ]
    return min(there, default=(float("inf"), float("inf")))


def show_first(report: Report, model: Path, data: Path | None, tuned: Tuned) -> bool:
    """Whether the first cohort has something within 10 % of the winner."""
    candidates = tuple(dict.fromkeys((tuned.winner, *tuned.first)))
    ratios = raced(model, data, candidates, tuned.winner)
    ran = [candidate for candidate in tuned.first if candidate in ratios]
    if not ran:
        report.say(f"{model.stem}: nothing of the first cohort does; {tuned.winner.label()} won")
        return tuned.winner == tuned.tried[0][0]
    best = min(ran, key=lambda c: ratios[c])
    note = f"{best.label()}; the winner is {tuned.winner.label()}"
    report.show(
        f"{model.stem}: best of the first cohort over the winner", ratios[best], Unit.TIMES, note
    )
    return ratios[best] <= 1 + NEAR


def raced(
    model: Path, data: Path | None, candidates: Sequence[Candidate], reference: Candidate
) -> dict[Candidate, float]:
    """Median latencies over the reference's, of those that run; all ran in the same blocks.

    Of many candidates those that are far behind after a few blocks are left out.
    """
    request = TuneRequest(
        str(model.absolute()), (_DEVICE,), data=str(data.absolute()) if data else ""
    )
    with ExitStack() as stack:
        bench = Bench(stack, request, _PATIENCE)
        found = _together(bench, candidates, reference, blocks=3)
        best = sorted(found, key=lambda c: found[c])[:MOST_RACED]
        return _together(bench, tuple(dict.fromkeys((reference, *best))), reference, BLOCKS)


def _together(
    bench: Bench, candidates: Sequence[Candidate], reference: Candidate, blocks: int
) -> dict[Candidate, float]:
    entries = bench.trials(candidates, Phase.SEARCH)
    jobs = [bench.journal.job(entry.candidate, Phase.SEARCH) for entry in entries]
    # So small an alpha that no look can decide, and nothing is hopeless.
    rules = RaceRules(alpha=1e-300, hopeless_ratio=1e300, max_blocks=blocks)
    number = max(bench.journal.begun_races(), default=-1) + 1
    bench.track.race(entries, jobs, rules, entries[0], lambda: True)
    seconds: dict[str, list[float]] = {}
    own = next(e.trial_id for e in entries if e.candidate == reference)
    for block in bench.journal.recorded_blocks(number):
        samples = {sample.trial_id: sample.seconds for sample in block.samples}
        if block.kept and own in samples:
            for name, value in samples.items():
                seconds.setdefault(name, []).append(value / samples[own])
    return {
        e.candidate: float(np.median(seconds[e.trial_id]))
        for e in entries
        if e.trial_id in seconds
    }


if __name__ == "__main__":
    sys.exit(main())
