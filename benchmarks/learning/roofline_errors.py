"""How far off rooflines are on the kernels of models that a device was not calibrated with.

    python -m benchmarks.learning.roofline_errors MODEL.onnx [...] [--device cpu] [--store farm.db]

Every engine of the device runs the models as in a calibration. Of every kernel the seconds that
the newest calibration of the store predicts are compared with what a profiler measures.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import onnx

from db.questions.operators.costs import newest_calibrations
from db.reader import StoreReader
from farm.costs.calibration import Calibration, calibration_of
from farm.costs.kernels import kernel_groups, wired
from farm.costs.work import kernel_work
from farm.devices.profile import load_profiles
from farm.prediction import Prediction
from tuner.calibrating.measure import Bench, least
from tuner.calibrating.places import MeasuredPlace, places_of
from tuner.calibrating.workloads import Probed, probed
from tuner.runs.clock import Budget
from tuner.runs.record.machines import machine_of
from workers.executor import LocalExecutor
from workers.trials.stored.cache import default_folder

PASSES = 3  # of every kernel the least counts, as in a calibration


@dataclass(frozen=True)
class Compared:
    """A kernel as it was measured, and as it was predicted."""

    operators: tuple[str, ...]
    seconds: float
    predicted: Prediction


def compared(
    bench: Bench, place: MeasuredPlace, probe: Probed, calibration: Calibration
) -> Iterator[Compared]:
    """The kernels of a model at a place."""
    constants = calibration.constants(place.place)
    profiles = [bench.profiled(place, probe) for _ in range(PASSES)]
    if constants is None or None in profiles:
        return
    rows = reduce(least, filter(None, profiles))
    for group in kernel_groups(rows, wired(probe.operators.values())):
        members = [probe.operators[name] for name in group.operators if name in probe.operators]
        if members:
            work = kernel_work(members, place.place.precision)
            seconds = group.cost * (1.0 - group.moved)
            yield Compared(group.operators, seconds, constants.roofline.predict(work))


def line(name: str, place: MeasuredPlace, kernels: Sequence[Compared]) -> str:
    """How far off the predictions of a model's kernels are, alone and together."""
    ratios = np.array([max(k.predicted.value, 1e-7) / max(k.seconds, 1e-7) for k in kernels])
    inside = np.mean([k.predicted.low <= k.seconds <= k.predicted.high for k in kernels])
    whole = sum(k.seconds for k in kernels)
    predicted = sum(k.predicted.value for k in kernels)
    off = math.exp(float(np.median(np.abs(np.log(ratios)))))
    return (
        f"{name:12.12} {place.place!s:34} {len(kernels):4} kernels  {whole * 1e6:9.0f} µs  "
        f"predicted {predicted * 1e6:9.0f} µs ({predicted / whole:5.2f})  "
        f"half within {off:4.2f} times  {inside:4.0%} inside"
    )


def main() -> None:
    """Print a line for each model at each place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--store")
    parser.add_argument("--kernels", action="store_true", help="a line for each kernel, too")
    given = parser.parse_args()
    profile = load_profiles()[given.device]
    with LocalExecutor([profile], default_folder()) as executor:
        facts = executor.describe(profile.name)
        with StoreReader.open(given.store) as store:
            machine = machine_of(facts).id
            record = newest_calibrations(store, [profile.name], machine)[profile.name]
        calibration = calibration_of(profile.name, record.constants, record.borders)
        bench = Bench(executor, profile, Budget(600.0), lambda _: None)
        for path in given.models:
            probe = probed(path.stem, onnx.load(path), seconds=1.0)
            executor.prepare(profile.name, probe.workload)
            for place in places_of(profile.name, facts):
                kernels = list(compared(bench, place, probe, calibration))
                if kernels:
                    print(line(path.stem, place, kernels), flush=True)
                for each in kernels if given.kernels else ():
                    print(
                        f"    {each.seconds * 1e6:9.2f} {each.predicted.value * 1e6:9.2f}"
                        f" {' '.join(each.operators)}"
                    )
        for note in bench.notes:
            print(note)


if __name__ == "__main__":
    main()
