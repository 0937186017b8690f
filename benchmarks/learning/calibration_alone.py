"""How well models that nobody ever ran are predicted after a calibration alone.

    farm devices calibrate cpu [--threads 1] --store calibrated.db
    python -m benchmarks.learning.calibration_alone --calibrated calibrated.db --measured
        recorded.db
        [--threads 1] [--roofline]

The first store has a calibration and no runs. The second one has what models really took on the
same machine, in blocks: their least seconds, over the sentinel of the blocks, for the machine as
quiet as it ever was. Candidates with the options that engines were calibrated with are predicted,
in float32 and in int8. ``--roofline`` leaves out what the calibration's networks taught.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.common import Report, options
from db.questions.operators.costs import newest_calibrations
from db.reader import StoreReader
from farm.candidate import PackageEngine, StaticInt8, ThreadedEngine, engine_label
from farm.costs.calibration import Calibration, calibration_of
from farm.devices.profile import load_profiles
from farm.prediction import Prediction
from tuner.learning.candidates.rows import Tried, tried_in
from tuner.learning.from_calibration import FromCalibration
from tuner.learning.kernels.stored import newest_kernels
from tuner.learning.values import Predictor

FACTOR, INSIDE = 1.5, 0.85
MOST = 0.85  # of the models are within the factor


@dataclass(frozen=True)
class Compared:
    """A candidate of a model as it was measured, and as it was predicted."""

    tried: Tried
    seconds: float
    predicted: Prediction

    @property
    def off(self) -> float:
        """Logarithm of predicted over measured."""
        return math.log(self.predicted.value / self.seconds)

    @property
    def is_inside(self) -> bool:
        """Whether the interval has what was measured."""
        return self.predicted.low <= self.seconds <= self.predicted.high


def main() -> int:
    """Print the figures; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--calibrated", required=True, help="a store with a calibration alone")
    parser.add_argument("--measured", required=True, help="a store with recorded models")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="of the calibration")
    parser.add_argument("--roofline", action="store_true", help="without what was learnt")
    parser.add_argument("--all", action="store_true", help="a line for each candidate, too")
    given = parser.parse_args()
    report = Report(__file__, given.json)
    profile = load_profiles()[given.device]
    with StoreReader.open(given.measured) as store:
        machine = store.machine(store.runs()[0].machine_id)
        tried = tried_in(store, profile.name, machine.id)
    with StoreReader.open(given.calibrated) as store:
        records = newest_calibrations(store, [profile.name], machine.id, given.threads)
        kernels = newest_kernels(store, profile.name, machine.id)
    record = records[profile.name]
    calibration = calibration_of(profile.name, record.constants, record.borders)
    learned = (
        {profile.name: kernels.at(calibration, given.threads)}
        if kernels and not given.roofline
        else {}
    )
    threads = given.threads or machine.cores
    # For whoever has no more cores than the engines of the calibration have threads.
    predictor = FromCalibration(profile, threads, {profile.name: calibration}, learned)
    found = list(compared(tried, calibration, predictor, threads))
    if given.all:
        for each in sorted(found, key=lambda each: each.off):
            report.say(line(each))
    for label in sorted({each.tried.candidate.label() for each in found}):
        _show(report, label, [each for each in found if each.tried.candidate.label() == label])
    off = np.abs([each.off for each in found])
    models = len({each.tried.name for each in found})
    note = f"{len(found)} candidates of {models} models"
    report.at_least(f"within a factor of {FACTOR}", float(np.mean(off <= math.log(FACTOR))), MOST,
                    note=note)  # fmt: skip
    report.at_least("inside the stated interval", _inside(found), INSIDE)
    return report.close()


def compared(
    tried: Sequence[Tried], calibration: Calibration, predictor: Predictor, threads: int
) -> Iterator[Compared]:
    """The candidates that are what places stand for."""
    quiet = min(t.trial.sentinel for t in tried if t.trial.sentinel)
    options = {place.options for place in calibration.places}
    for each in tried:
        seconds, sentinel = each.trial.seconds, each.trial.sentinel
        if each.failed or not seconds or not sentinel or not is_calibrated(each, options, threads):
            continue
        (found,) = predictor.predict(each.subject, [each.candidate])
        yield Compared(each, seconds * quiet / sentinel, found.latency)


def is_calibrated(tried: Tried, options: set[str], threads: int) -> bool:
    """Whether a candidate is one that a place stands for, with so many threads."""
    candidate = tried.candidate
    engine, quantization = candidate.engine, candidate.precision.quantization
    if not (
        (quantization is None and candidate.keeps_precision)
        or (isinstance(quantization, StaticInt8) and quantization.per_channel)
    ):
        return False
    if isinstance(engine, PackageEngine):
        return engine_label(engine) in options
    every = type(engine)(threads=threads) if isinstance(engine, ThreadedEngine) else None
    return every == engine and not options.isdisjoint({engine.kind, engine_label(engine)})


def line(each: Compared) -> str:
    """What was predicted, and what was measured."""
    p = each.predicted
    return (
        f"{each.tried.name:24.24} {each.tried.candidate.label():54.54} "
        f"measured {each.seconds * 1e6:9.0f} µs  predicted {p.value * 1e6:9.0f} µs "
        f"[{p.low * 1e6:.0f}, {p.high * 1e6:.0f}] {p.basis} {math.exp(each.off):5.2f}"
    )


def _show(report: Report, label: str, found: Sequence[Compared]) -> None:
    off = np.abs([each.off for each in found])
    middle = f"median factor {math.exp(float(np.median(off))):.2f}"
    report.show(f"{label}: within {FACTOR}", float(np.mean(off <= math.log(FACTOR))),
                note=f"{len(found)} models, {middle}, inside {_inside(found):.0%}")  # fmt: skip


def _inside(found: Sequence[Compared]) -> float:
    return float(np.mean([each.is_inside for each in found]))


if __name__ == "__main__":
    sys.exit(main())
