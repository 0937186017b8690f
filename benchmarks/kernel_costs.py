"""How well kernels of models that were never seen are predicted, engine by engine.

    python benchmarks/kernel_costs.py --store STORE [--device cpu]

Replays what a store has of kernels: those of each fifth of the models are predicted by what was
fitted to the other models, see ``tuner.learning.kernels``. A kernel is right within 10 %, or
within 1.5 times its own repeatability: the standard deviation of the logarithm of what the same
operators took at several places of one profile, and in other profiles of the same model with
options that change no kernel; where there is no second value that of the engine is taken, the
median. The roofline beside it is that of the newest calibration; and where a model was profiled
twice, what the one profile says of the other is shown, which no prediction can be better than.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from common import Report, Unit, options
from numpy.typing import NDArray

from db.questions.operators.costs import all_calibrations, profiled_trials
from db.reader import StoreReader
from farm.costs.calibration import calibration_of
from farm.costs.roofline import Roofline, cache_limits
from farm.costs.work import kernel_work
from farm.devices.profile import load_profiles
from tuner.learning.kernels.model import fit_kernels, held_out
from tuner.learning.kernels.rows import KernelRow, by_setting, distinct, rows_of_trials

RIGHT, TIMES, SHARE = 0.10, 1.5, 0.90
_SAME_KERNELS = " saved"  # an option that changes no kernel
_FEWEST = 100
_MANY, _MANY_SECONDS = 100_000, 30.0


def main() -> int:
    """Print the figures; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    report = Report(__file__, given.json)
    profile = load_profiles()[given.device]
    with StoreReader.open(given.store) as store:
        machine = store.machine(store.runs()[0].machine_id)
        rows = list(rows_of_trials(profiled_trials(store, [profile.name], machine.id), [profile]))
        records = all_calibrations(store, profile.name, machine.id)
    calibration = calibration_of(profile.name, records[-1].constants, records[-1].borders)
    rooflines = {(p.engine, p.precision): p.roofline for p in calibration.places}
    caches = cache_limits(json.loads(machine.details)["caches"])
    best = 0.0
    for key, own in sorted(by_setting(rows).items()):
        place = own[0].setting.place
        roofline = rooflines.get((place.engine, place.precision))
        if len(own) >= _FEWEST and roofline is not None:
            best = max(best, _show(report, " in ".join(key), own, caches, roofline))
    report.at_least("kernels right, of the engine of which most are", best, SHARE)
    _time(report, rows, caches)
    return report.close()


def _show(
    report: Report,
    name: str,
    rows: Sequence[KernelRow],
    caches: Sequence[float],
    roofline: Roofline,
) -> float:
    """The figures of one engine in one precision; the share of kernels that are right."""
    kernels = distinct(rows)
    repeats = repeatability(rows)
    usual = statistics.median(repeats.values())
    again = _measured_again(kernels)
    if len(again) >= _FEWEST:
        told = float(np.mean(np.abs(again) <= RIGHT))
        note = f"{len(again)} kernels"
        report.show(f"{name}: right, by a second profile of the very model", told, note=note)
    allowed = np.array([max(RIGHT, TIMES * repeats.get(_key(k), usual)) for k in kernels])
    seconds = np.array([k.seconds for k in kernels])
    predicted = held_out(kernels, caches, roofline)
    bound = np.array(
        [roofline.predict(kernel_work(k.operators, k.setting.precision)).value for k in kernels]
    )
    errors = np.abs(predicted / seconds - 1.0)
    right = float(np.mean(errors <= allowed))
    models = len({k.model for k in kernels})
    report.show(f"{name}: right", right, note=f"{len(kernels)} kernels of {models} models")
    report.show(f"{name}: right, by time", float(np.average(errors <= allowed, weights=seconds)))
    report.show(f"{name}: off by, median", float(np.median(errors)))
    rooflines = float(np.median(np.abs(bound / seconds - 1.0)))
    report.show(f"{name}: off by, median of the roofline", rooflines)
    report.show(f"{name}: repeatability, median", usual, note=f"{len(repeats)} kernels")
    fitted = fit_kernels(kernels, caches, roofline)
    if fitted is not None:
        covered = fitted.quality.coverage
        width = f"half width {covered.half_width:.0%}, median"
        report.show(f"{name}: inside 90 % intervals", covered.share, note=width)
        if not fitted.quality.is_better:
            report.say(f"{name}: no better than the roofline on its own folds, and not used")
    return right


def _measured_again(kernels: Sequence[KernelRow]) -> NDArray[np.float64]:
    """Relative differences of kernels that two processes of one run profiled."""
    first = {(k.model, k.setting.options, k.signature): k.seconds for k in kernels}
    pairs = (
        (first.get((*_key(k)[:2], k.signature)), k.seconds)
        for k in kernels
        if _SAME_KERNELS in k.setting.options
    )
    return np.array([other / one - 1.0 for one, other in pairs if one is not None])


def repeatability(rows: Sequence[KernelRow]) -> Mapping[tuple[str, str, str], float]:
    """Of kernels with several values how far these are apart, by model, options and operators."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        found.setdefault(_key(row), []).append(math.log(row.seconds))
    return {key: statistics.stdev(of) for key, of in found.items() if len(of) > 1}


def _key(row: KernelRow) -> tuple[str, str, str]:
    return row.model, row.setting.options.replace(_SAME_KERNELS, ""), row.signature


def _time(report: Report, rows: Sequence[KernelRow], caches: Sequence[float]) -> None:
    """How long a fit to many kernels takes: those that there are, of models of other names."""
    random: NDArray[np.float64] = np.random.default_rng(0).lognormal(0.0, 0.1, _MANY)
    own = max(by_setting(rows).values(), key=len)
    many = [
        replace(row, model=f"{row.model} {number // len(own)}", seconds=row.seconds * factor)
        for number, factor in enumerate(random.tolist())
        for row in [own[number % len(own)]]
    ]
    began = time.process_time()
    fit_kernels(many, caches)
    took = time.process_time() - began
    name = f"fit to {_MANY:,} kernels, of one processor"
    report.at_most(name, took, _MANY_SECONDS, Unit.SECONDS)


if __name__ == "__main__":
    sys.exit(main())
