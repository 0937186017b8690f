"""Real comparisons on this machine find what is there, and nothing where nothing is.

A comparison is what the confirmation makes: pairs side by side, each pair in fresh processes, in
random order, disturbed ones run again. One candidate is compared with itself, 200 times; during
half of the comparisons another process burns one core in random bursts. Targets:

- false positives at alpha = 0.05, 200 comparisons of 8 pairs: at most 8 %;
- a 2 % slow-down, found at alpha = 0.01 within 40 pairs where the noise s is at most 3 %: in at
  least 90 % of comparisons. These are made of the same pairs, 40 at a time: one of the two
  children is credited with 50 runs for every 51 that it really made, so that what is compared was
  really run. s: standard deviation of the log ratio, from its median absolute deviation.

``--record FILE.npz`` records a race of many candidates instead, from which nobody is dropped, for
``statistics_targets.py --recorded FILE.npz``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import ONE_THREAD, Report, Unit, digits_request, options
from db.records import Phase
from db.store import Store
from farm.candidate import Candidate, OnnxRuntimeCpu, Precision, StaticInt8
from farm.devices.profile import load_profiles
from farm.errors import InfrastructureError
from tuner.racing.objective import Scorer
from tuner.racing.race import RaceRules
from tuner.racing.statistics import FloatArray, compare
from tuner.racing.track import RaceTrack
from tuner.request import TuneRequest
from tuner.runs.clock import Budget
from tuner.runs.history import Entry
from tuner.runs.record.journal import Journal
from tuner.runs.start import check_request, open_journal, start_run
from tuner.search.search import MIN_PAIRS
from tuner.search.space import Space
from workers.executor import LocalExecutor
from workers.jobs import DeviceFacts

COMPARISONS, QUICK_COMPARISONS = 200, 10
FALSE_POSITIVE_ALPHA = 0.05
SLOWDOWN_ALPHA = 0.01
SLOWDOWN_PAIRS = 40
MAX_NOISE = 0.03
PATIENCE = 300.0
RECORDED_BLOCKS, QUICK_BLOCKS = 128, 4
RECORDED_ENTRANTS = 24
SEED = 20261121

_PATIENCE_HELP = "seconds after which disturbed pairs are kept instead of run again"
# Bursts of 20-500 ms with pauses as long, on average: half of one core.
_BURN = """
import random, sys, time
rng = random.Random(int(sys.argv[1]))
while True:
    end = time.perf_counter() + rng.uniform(0.02, 0.5)
    while time.perf_counter() < end:
        pass
    time.sleep(rng.uniform(0.02, 0.5))
"""


@dataclass(frozen=True, slots=True)
class Pairs:
    """One comparison: seconds of both children, [pairs, 2]. loaded: another process ran."""

    seconds: FloatArray
    loaded: bool


class Bench:
    """What a comparison or a race needs: one device's worker, journal and race track.

    seconds: after so many, disturbed pairs are kept, like in a run whose budget is spent.
    store: address of one that is kept; otherwise there is one that goes away in the end.
    """

    def __init__(
        self, stack: ExitStack, request: TuneRequest, seconds: float, store: str = ""
    ) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farm-aa-")))
        store_ = stack.enter_context(Store.open(store or str(folder / "farm.db")))
        opened = start_run(store_, check_request(request, load_profiles()))
        (profile,) = opened.profiles
        self._executor = stack.enter_context(LocalExecutor([profile], folder / "cache"))
        self._executor.prepare(profile.name, opened.subject.workload)
        self.facts: DeviceFacts = self._executor.describe(profile.name)
        self.journal: Journal = open_journal(store_, self._executor, opened, profile, self.facts)
        scorer = Scorer(request.objective, request.constraints, opened.subject.work, None)
        self.track = RaceTrack(self.journal, scorer, Budget(seconds), request.seed)

    def space(self) -> Space:
        """The choices that the device offers."""
        job = self.journal.job(ONE_THREAD, Phase.SEARCH)
        names = self._executor.quantizable(self.journal.scope.device, job)
        facts = self.facts
        return Space(facts.engines, facts.machine.cores, facts.openvino_float_types, names)

    def trials(self, candidates: Sequence[Candidate], phase: Phase) -> list[Entry]:
        """Load and check; those that are ok."""
        return [entry for entry in self.journal.run_trials(candidates, phase) if entry.ok]

    def compare_with_itself(self, candidate: Candidate, pairs: int) -> Iterator[FloatArray]:
        """Endlessly: seconds of two children of one candidate, [pairs, 2]."""
        # Two phases that use the same data make two trials of one candidate.
        phases = (Phase.CONFIRM, Phase.BENCH)
        entries = [entry for phase in phases for entry in self.trials([candidate], phase)]
        jobs = [self.journal.job(candidate, phase) for phase in phases]
        while True:
            rounds = self.track.rounds(entries, jobs, lambda done, _: done < pairs)
            rows = [[samples[e.trial_id].seconds for e in entries] for samples in rounds]
            if len(rows) < pairs:
                raise InfrastructureError(f"{candidate.label()} failed: {entries[0].message}")
            yield np.array(rows)

    def race_everybody(self, candidates: Sequence[Candidate], blocks: int) -> FloatArray:
        """Seconds of a race from which nobody is dropped, [blocks, entrants]."""
        entries = self.trials(candidates, Phase.SEARCH)
        jobs = [self.journal.job(entry.candidate, Phase.SEARCH) for entry in entries]
        # So small an alpha that no look can decide, and nothing is hopeless.
        rules = RaceRules(alpha=1e-300, hopeless_ratio=1e300, max_blocks=blocks)
        self.track.race(entries, jobs, rules, entries[0], lambda: True)
        lost = [entry for entry in entries if not entry.ok]
        if lost:
            raise InfrastructureError(f"{lost[0].candidate.label()} failed: {lost[0].message}")
        rows = [
            {s.trial_id: s.seconds for s in block.samples}
            for block in self.journal.recorded_blocks(0)
            if block.kept
        ]
        return np.array([[row[entry.trial_id] for entry in entries] for row in rows])


def main() -> int:
    """Compare or record; 1 when a target is missed."""
    parser = options(__doc__)
    quick = f"{QUICK_COMPARISONS} comparisons, {QUICK_BLOCKS} recorded blocks"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--comparisons", type=int, default=COMPARISONS)
    parser.add_argument("--pairs", type=int, default=MIN_PAIRS, help="per comparison")
    parser.add_argument("--slowdown", type=float, default=1.02, help="ratio that is to be found")
    parser.add_argument("--patience", type=float, default=PATIENCE, help=_PATIENCE_HELP)
    parser.add_argument("--record", type=Path, metavar="FILE", help="record a race, in .npz")
    parser.add_argument("--blocks", type=int, default=RECORDED_BLOCKS, help="blocks to record")
    parser.add_argument("--model", type=Path, help="instead of the example model")
    parser.add_argument("--data", type=Path, help="data of --model")
    arguments = parser.parse_args()
    request = digits_request("cpu")
    if arguments.model:
        data = str(arguments.data.absolute()) if arguments.data else ""
        request = TuneRequest(str(arguments.model.absolute()), ("cpu",), data=data)
    report = Report(__file__, arguments.json)
    with ExitStack() as stack:
        bench = Bench(stack, request, inf if arguments.record else arguments.patience)
        if arguments.record:
            blocks = QUICK_BLOCKS if arguments.quick else arguments.blocks
            record(report, bench, arguments.record, blocks)
        else:
            count = QUICK_COMPARISONS if arguments.quick else arguments.comparisons
            made = list(comparisons(bench, count, arguments.pairs))
            report.show("disturbed pairs, run again", bench.track.disturbed, Unit.COUNT)
            report.show("disturbed pairs, kept", bench.track.tolerated, Unit.COUNT)
            judge_false_positives(report, made)
            judge_slowdown(report, made, arguments.slowdown)
    return report.close()


def comparisons(bench: Bench, count: int, pairs: int) -> Iterator[Pairs]:
    """Comparisons of one candidate with itself, half of them, at random, under load."""
    rng = np.random.default_rng(SEED)
    loaded = rng.permutation(np.arange(count) % 2 == 1)
    endless = bench.compare_with_itself(ONE_THREAD, pairs)
    for number, under_load in enumerate(loaded):
        with one_core_load(number) if under_load else ExitStack():
            yield Pairs(next(endless), bool(under_load))


@contextmanager
def one_core_load(seed: int) -> Iterator[None]:
    """Another process that burns one core in random bursts."""
    burner = subprocess.Popen([sys.executable, "-c", _BURN, str(seed)])
    try:
        yield
    finally:
        burner.kill()
        burner.wait()


def judge_false_positives(report: Report, made: Sequence[Pairs]) -> None:
    """The share of comparisons that see a difference where there is none."""
    found = np.array([compare(*m.seconds.T).p_value <= FALSE_POSITIVE_ALPHA for m in made])
    loaded = np.array([m.loaded for m in made])
    name = f"A/A false positives at alpha {FALSE_POSITIVE_ALPHA}"
    report.at_most(f"{name}, {len(made)} comparisons", float(found.mean()), 0.08)
    for under_load, words in ((False, "quiet"), (True, "under a one-core load")):
        chosen = loaded == under_load
        if chosen.any():
            noise = float(np.median([noise_of(m.seconds) for m in made if m.loaded == under_load]))
            share = float(found[chosen].mean())
            report.show(f"  {words}: {chosen.sum()} comparisons", share, note=f"s = {noise:.1%}")


def judge_slowdown(report: Report, made: Sequence[Pairs], slowdown: float) -> None:
    """The share of 40-pair comparisons that find one side slower by a known factor."""
    found: list[bool] = []
    noisy = 0
    for under_load in (False, True):
        seconds = [m.seconds for m in made if m.loaded == under_load]
        for pairs in groups(np.concatenate(seconds) if seconds else np.empty((0, 2))):
            if noise_of(pairs) > MAX_NOISE:
                noisy += 1
                continue
            comparison = compare(slowdown * pairs[:, 0], pairs[:, 1])
            is_found = comparison.p_value <= SLOWDOWN_ALPHA and comparison.ratio.value < 1
            found.append(is_found)
    report.show(f"{SLOWDOWN_PAIRS}-pair comparisons with s above 3 %, left out", noisy, Unit.COUNT)
    name = f"{slowdown - 1:.1%} slow-down found at alpha {SLOWDOWN_ALPHA}"
    if found:
        report.at_least(f"{name}, {len(found)} comparisons", float(np.mean(found)), 0.90)
    else:
        report.say(f"{name}: no comparison of {SLOWDOWN_PAIRS} pairs with s up to 3 %")


def groups(pairs: FloatArray) -> Iterator[FloatArray]:
    """Pairs that were measured one after another, 40 at a time."""
    for start in range(0, len(pairs) - SLOWDOWN_PAIRS + 1, SLOWDOWN_PAIRS):
        yield pairs[start : start + SLOWDOWN_PAIRS]


def noise_of(pairs: NDArray[np.float64]) -> float:
    """Standard deviation of the log ratio within a pair, spikes left aside."""
    ratios = np.log(pairs[:, 0] / pairs[:, 1])
    return float(1.4826 * np.median(np.abs(ratios - np.median(ratios))))


def record(report: Report, bench: Bench, file: Path, blocks: int) -> None:
    """Record a race between engines, threads and precisions."""
    candidates = entrants(bench.space())[:RECORDED_ENTRANTS]
    seconds = bench.race_everybody(candidates, blocks)
    np.savez(file, **{Path(bench.journal.scope.run).name: seconds})  # type: ignore[arg-type]
    report.show("blocks recorded", len(seconds), Unit.COUNT, f"{seconds.shape[1]} entrants")
    report.show("blocks run again", bench.track.disturbed, Unit.COUNT)
    report.say(f"written to {file}")


def entrants(space: Space) -> list[Candidate]:
    """Every engine with its main options in float and int8, and variants of ONNX Runtime's."""
    floats = [Candidate(engine) for engine in space.float_engines()]
    typed = [c.with_float(t) for c in floats for t in space.float_types(c.engine)]
    int8 = Precision(quantization=StaticInt8())
    quantised = [replace(c, precision=int8) for c in floats if space.quantizable]
    near = [c for c in space.neighbours(ONE_THREAD) if isinstance(c.engine, OnnxRuntimeCpu)]
    return list(dict.fromkeys([*floats, *typed, *quantised, *near]))


if __name__ == "__main__":
    sys.exit(main())
