"""What whole candidates are predicted to take, on models that were left out: latency and memory.

Replays the store that ``record_corpus.py`` made. Each model is left out once: the others teach,
at most 300 rows of them, and it is predicted. A row is a trial of a whole model, one candidate of
one model in ten blocks, with the profile of its kernels where it was profiled. Beside them the
device's calibrations are used, whose kernels are of none of these models. Predicted and measured
are both over the sentinel of the blocks, means over blocks.

    python -m benchmarks.learning.learnt_candidates
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor

from benchmarks.common import Report, Unit, options
from benchmarks.inputs.corpus import write_corpus
from benchmarks.learning.recorded_kernels import RecordedKernels
from benchmarks.learning.recorded_store import DEVICE, PACKED, machine_of_recording, opened
from farm.artifact.compiler import Compiler
from farm.candidate import PackageEngine
from farm.costs.families import Family
from farm.costs.fused import Wiring, kernels_of
from farm.costs.work import kernel_work
from farm.devices.profile import load_profiles
from farm.model.model import load_model
from tuner.learning.candidates.estimate import Estimator
from tuner.learning.candidates.features import choices
from tuner.learning.candidates.models import CandidateModels
from tuner.learning.candidates.rows import Tried, chosen, tried_in
from tuner.learning.candidates.stored import estimator_of
from tuner.learning.predictor import LearnedPredictor
from tuner.learning.values import CandidatePrediction

Array = NDArray[np.float64]

MOST_ROWS = 300
MANY_ROWS = 100_000
_CALM = 1.5  # of the sentinel's least seconds
_NEAR_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was predicted of a candidate whose model was left out, and what was measured.

    simple: seconds by other ways, by their names, on a quiet machine.
    """

    tried: Tried
    found: CandidatePrediction
    quiet: float
    simple: Mapping[str, float]

    @property
    def measured(self) -> float:
        """Seconds on a quiet machine."""
        sentinel = self.tried.trial.sentinel or self.quiet
        return (self.tried.trial.seconds or 0.0) * self.quiet / sentinel


def main() -> int:
    """All figures; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--packed", type=Path, default=PACKED, help="a store, compressed")
    parser.add_argument("--models", type=Path, help="folder of benchmarks/inputs/corpus.py")
    given = parser.parse_args()
    report = Report(__file__, given.json)
    with opened(given.packed) as store:
        machine = machine_of_recording(store)
        told = store.machine(machine)
        report.say(f"recorded on {told.cpu}, {told.cores} cores")
        tried = tried_in(store, DEVICE, machine)
        recorded = RecordedKernels.of(store, machine)
    ran = [t for t in tried if not t.failed and t.trial.blocks and t.trial.seconds]
    disturbed = [t.trial.sentinel for t in ran if t.trial.sentinel]
    report.show(
        "how busy the machine was: sentinel, 90th percentile over its least",
        float(np.quantile(disturbed, 0.9)) / min(disturbed),
        Unit.TIMES,
        "1 is a quiet machine",
    )
    learnt = list(_left_out(tried, ran, recorded, report))
    _latency(report, learnt)
    _intervals(report, learnt)
    _memory(report, learnt)
    with tempfile.TemporaryDirectory() as folder:
        _packages(report, ran, given.models or Path(folder))
    _many(report, tried, _estimator(recorded, ()))
    return report.close()


def _estimator(recorded: RecordedKernels, taught: Sequence[Tried]) -> Estimator:
    """What knows the calibrations, and the kernels of these trials."""
    rows = (row for t in taught for row in recorded.profiled.get(t.trial.trial, ()))
    return estimator_of(DEVICE, recorded.calibrations, recorded.learned(rows), recorded.cores)


def _left_out(
    tried: Sequence[Tried], ran: Sequence[Tried], recorded: RecordedKernels, report: Report
) -> list[Learnt]:
    profile = load_profiles()[DEVICE]
    found: list[Learnt] = []
    most = 0
    for sha256 in dict.fromkeys(t.subject.sha256 for t in ran):
        others = chosen([t for t in tried if t.subject.sha256 != sha256], MOST_ROWS)
        own = [t for t in ran if t.subject.sha256 == sha256]
        most = max(most, len(others))
        estimator = _estimator(recorded, others)
        models = CandidateModels.fit(others, estimator)
        told = LearnedPredictor(profile, estimator, models).predict(
            own[0].subject, [t.candidate for t in own]
        )
        quiet = models.quiet or 1.0
        ways = _other_ways(others, own, estimator, quiet)
        found += [
            Learnt(t, said, quiet, {name: values[at] for name, values in ways.items()})
            for at, (t, said) in enumerate(zip(own, told, strict=True))
        ]
    report.show("rows that teach, at most", most, Unit.COUNT)
    return found


def _other_ways(
    others: Sequence[Tried], own: Sequence[Tried], estimator: Estimator, quiet: float
) -> dict[str, Array]:
    """Simpler predictions from the same rows, each with one factor for each candidate."""
    teach = [t for t in others if not t.failed and t.trial.seconds and t.trial.sentinel]
    seconds = [(t.trial.seconds or 1.0) * quiet / (t.trial.sentinel or quiet) for t in teach]
    sums = {id(t): estimator.estimate(t.subject, t.candidate).seconds for t in (*teach, *own)}
    ways: dict[str, Callable[[Tried], float]] = {
        "FLOPs alone": lambda t: float(max(1, t.subject.macs)),
        "sum of operators": lambda t: max(1e-9, sums[id(t)]),
    }
    made = {name: _scaled(way, teach, seconds, own) for name, way in ways.items()}
    known = sorted({choices(t.candidate) for t in teach})
    rows = [_kernel_features(t, estimator, known) for t in teach]
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0)
    forest.fit(rows, np.log(seconds))
    asked = [_kernel_features(t, estimator, known) for t in own]
    made["random forest on kernel features"] = np.exp(forest.predict(asked))
    return made


def _scaled(
    way: Callable[[Tried], float],
    teach: Sequence[Tried],
    seconds: Sequence[float],
    own: Sequence[Tried],
) -> Array:
    """A figure times the median of measured over figure of the same candidate elsewhere."""
    ratios: dict[str, list[float]] = {}
    for t, took in zip(teach, seconds, strict=True):
        ratios.setdefault(t.trial.candidate, []).append(took / way(t))
    every = statistics.median(each for of in ratios.values() for each in of)
    return np.array(
        [
            way(t) * (statistics.median(of) if (of := ratios.get(t.trial.candidate)) else every)
            for t in own
        ]
    )


def _kernel_features(
    tried: Tried, estimator: Estimator, known: Sequence[tuple[str, ...]]
) -> list[float]:
    """Kernels of each family: how many, their FLOPs and bytes, in logarithms; which candidate."""
    patterns = next(iter(estimator.calibrations.values())).places[0].patterns
    works = [
        kernel_work(members, "float32")
        for members in kernels_of(Wiring(tried.subject.operators, ()), (), patterns)
    ]
    features: list[float] = []
    for family in Family:
        of = [work for work in works if work.family is family]
        totals = (float(len(of)), sum(w.flops for w in of), sum(w.traffic for w in of))
        features += [math.log1p(total) for total in totals]
    own = choices(tried.candidate)
    return [*features, *(float(own == each) for each in known)]


def _latency(report: Report, learnt: Sequence[Learnt]) -> None:
    models = {each.tried.subject.sha256 for each in learnt}
    report.at_least("models that were left out", len(models), 14, Unit.COUNT)
    errors = [abs(x.found.latency.value / x.measured - 1) for x in learnt]
    note = f"{len(learnt)} candidates"
    report.at_most("latency, median error", float(np.median(errors)), 0.12, note=note)
    report.at_most("latency, mean error", float(np.mean(errors)), 0.20)
    ranks = _ranks(learnt, lambda x: x.found.latency.value)
    report.at_least("Spearman within a model, median", statistics.median(ranks), 0.8, Unit.TIMES)
    report.show("Spearman within a model, least", min(ranks), Unit.TIMES)
    calm = [x for x in learnt if (x.tried.trial.sentinel or 0.0) <= _CALM * x.quiet]
    if calm:
        off = [abs(x.found.latency.value / x.measured - 1) for x in calm]
        note = f"mean {np.mean(off):.1%}, {len(calm)} candidates"
        report.show(
            "of those recorded on a calm machine, median error", float(np.median(off)), note=note
        )
    for name in learnt[0].simple:
        of = [abs(x.simple[name] / x.measured - 1) for x in learnt]
        ranked = statistics.median(_ranks(learnt, partial(_by_way, name)))
        note = f"mean {np.mean(of):.1%}, Spearman {ranked:.2f}"
        report.show(f"{name}, median error", float(np.median(of)), note=note)


def _by_way(name: str, learnt: Learnt) -> float:
    return learnt.simple[name]


def _ranks(learnt: Sequence[Learnt], said: Callable[[Learnt], float]) -> list[float]:
    by_model: dict[str, list[Learnt]] = {}
    for each in learnt:
        by_model.setdefault(each.tried.subject.sha256, []).append(each)
    return [
        float(spearmanr([said(x) for x in of], [x.measured for x in of]).statistic)
        for of in by_model.values()
    ]


def _intervals(report: Report, learnt: Sequence[Learnt]) -> None:
    inside = [x.found.latency.low <= x.measured <= x.found.latency.high for x in learnt]
    note = f"of {len(learnt)} predictions"
    report.at_least("predictions with an interval", len(learnt), 300, Unit.COUNT)
    report.at_least("90 % intervals cover, at least", float(np.mean(inside)), 0.85, note=note)
    report.at_most("90 % intervals cover, at most", float(np.mean(inside)), 0.96)
    widths = [
        (x.found.latency.high - x.found.latency.low) / (2 * x.found.latency.value) for x in learnt
    ]
    report.at_most("half an interval over its value, median", float(np.median(widths)), 0.35)


def _memory(report: Report, learnt: Sequence[Learnt]) -> None:
    near: list[bool] = []
    for each in learnt:
        peak, said = each.tried.trial.peak_bytes, each.found.peak_memory.value
        if peak and not isinstance(each.tried.candidate.engine, PackageEngine):
            near.append(abs(said - peak) <= max(0.1 * peak, _NEAR_BYTES))
    note = f"{len(near)} candidates of engines; packages are planned, see below"
    report.at_least("peak memory within 10 % or 2 MiB", float(np.mean(near)), 0.9, note=note)


def _packages(report: Report, ran: Sequence[Tried], folder: Path) -> None:
    """Arena and scratch memory of packages, planned without calibration data, beside the trials'.

    folder: of generated models, in which those that are missing are written.
    """
    compilers: dict[str, Compiler] = {}
    for path in write_corpus(folder):
        if any(t.name == path.stem and t.trial.arena_bytes for t in ran):
            model = load_model(path)
            compilers[model.sha256] = Compiler(model.proto, ())
    same = [
        compilers[t.subject.sha256].expected_bytes(t.candidate) == t.trial.arena_bytes
        for t in ran
        if t.subject.sha256 in compilers and t.trial.arena_bytes
    ]
    if same:
        note = f"{len(same)} packages of {len(compilers)} models"
        report.at_least("packages planned to the byte", float(np.mean(same)), 1.0, note=note)
    else:
        report.say("none of the packages' models could be generated here")


def _many(report: Report, tried: Sequence[Tried], estimator: Estimator) -> None:
    """Fit to as many rows as there may be: the recorded ones, under names of other models."""
    rows: list[Tried] = []
    for copy in range(MANY_ROWS // len(tried) + 1):
        rows += [_renamed(t, copy) for t in tried]
    began = time.perf_counter()
    CandidateModels.fit(rows[:MANY_ROWS], estimator)
    took = time.perf_counter() - began
    report.at_most(f"fit to {MANY_ROWS:,} rows", took, 30.0, Unit.SECONDS)


def _renamed(tried: Tried, copy: int) -> Tried:
    sha256 = f"{copy}-{tried.subject.sha256}"
    return replace(tried, subject=replace(tried.subject, sha256=sha256))


if __name__ == "__main__":
    sys.exit(main())
