"""How well kernels of models that were never seen are predicted, engine by engine.

    python -m benchmarks.learning.kernel_costs --store STORE

Replays what a store has of kernels, of models and of calibrations: those of each fifth of the
kernels are predicted by what was fitted to all others, see ``tuner.learning.kernels``, so that
nothing of the same operators with the same sizes taught it; beside it the same for each fifth of
the models. A kernel is right within 10 %, or within 1.5 times its own repeatability: the standard
deviation of the logarithm of what the same operators took at several places of one profile, and in
other profiles of the same model with options that change no kernel; where there is no second value
that of the engine is taken, the median. Profilers that tell whole microseconds repeat no better
than these: a value is off by up to one, evenly, which is a standard deviation of 0.29 of them. The
roofline beside it is that of the calibrations; and where a model was profiled twice, what the one
profile says of the other is shown, which no prediction can be better than.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Report, Unit, options
from benchmarks.learning.recorded_kernels import RecordedKernels
from db.reader import StoreReader
from farm.costs.roofline import Roofline
from farm.costs.work import kernel_work
from tuner.learning.kernels.fitting import fit_kernels, held_out
from tuner.learning.kernels.rows import (
    KernelRow,
    by_setting,
    distinct,
)

RIGHT, TIMES, SHARE = 0.10, 1.5, 0.90
_TICK = 1e-6 / math.sqrt(12)  # seconds: the standard deviation of what a clock cuts off
_SAME_KERNELS = " saved"  # an option that changes no kernel
_FEWEST = 100
_MANY, _MANY_SECONDS = 100_000, 30.0


def main() -> int:
    """Print the figures; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--store", required=True)
    given = parser.parse_args()
    report = Report(__file__, given.json)
    with StoreReader.open(given.store) as store:
        machine = store.machine(store.runs()[0].machine_id)
        recorded = RecordedKernels.of(store, machine.id)
    report.say(f"recorded on {machine.cpu}, {machine.cores} cores")
    rows, probes, caches = recorded.of_models, recorded.probes, recorded.caches
    best = 0.0
    for key, own in sorted(by_setting([*rows, *probes]).items()):
        place = own[0].setting.place
        found = {n: each.constants(place) for n, each in recorded.calibrations.items()}
        rooflines = {n: each.roofline for n, each in found.items() if each is not None}
        if len(own) >= _FEWEST and rooflines:
            engine = _Engine(" in ".join(key), own, caches, rooflines)
            best = max(best, engine.show(report))
    report.at_least("kernels right, of the engine of which most are", best, SHARE)
    _time(report, [*rows, *probes], caches)
    return report.close()


@dataclass(frozen=True, slots=True)
class _Engine:
    """Kernels of one engine in one precision, those of calibrations among them."""

    name: str
    rows: Sequence[KernelRow]
    caches: Sequence[float]
    rooflines: Mapping[int, Roofline]

    def show(self, report: Report) -> float:
        """Print its figures; the share of held-out kernels that are right."""
        name, kernels = self.name, distinct(self.rows)
        is_real = np.array([not kernel.is_probe for kernel in kernels])
        repeats = repeatability([row for row in self.rows if not row.is_probe])
        again = _measured_again([kernel for kernel in kernels if not kernel.is_probe])
        if len(again) >= _FEWEST:
            told = float(np.mean(np.abs(again) <= RIGHT))
            note = f"{len(again)} kernels"
            report.show(f"{name}: right, by a second profile of the very model", told, note=note)
        allowed = self._allowed(kernels, repeats)
        seconds = np.array([kernel.seconds for kernel in kernels])
        shares = []
        for by_kernel, of in ((True, "kernels"), (False, "models")):
            predicted = held_out(kernels, self.caches, self.rooflines, by_kernel=by_kernel)
            errors = np.abs(predicted / seconds - 1.0)
            right = errors <= allowed
            shares.append(float(np.mean(right)))
            count = int(is_real.sum())
            note = (
                f"{len(kernels)} kernels; of the {count} of models {np.mean(right[is_real]):.1%}"
            )
            report.show(f"{name}: right, {of} held out", shares[-1], note=note)
            within = float(np.mean(errors <= RIGHT))
            report.show(f"{name}: within {RIGHT:.0%} alone, {of} held out", within)
            by_time = float(np.average(right, weights=seconds))
            report.show(f"{name}: right, {of} held out, by time", by_time)
            report.show(f"{name}: off by, {of} held out, median", float(np.median(errors)))
        bound = np.array([self._roofline(kernel) for kernel in kernels])
        rooflines = float(np.median(np.abs(bound / seconds - 1.0)))
        report.show(f"{name}: off by, median of the roofline", rooflines)
        usual = statistics.median(repeats.values()) if repeats else 0.0
        report.show(f"{name}: repeatability, median", usual, note=f"{len(repeats)} kernels")
        self._fitted(report, kernels)
        return shares[0]

    def _allowed(
        self, kernels: Sequence[KernelRow], repeats: Mapping[tuple[str, str, str], float]
    ) -> NDArray[np.float64]:
        """By how much each kernel may be off."""
        usual = statistics.median(repeats.values()) if repeats else 0.0
        tick = 0.0 if self.rows[0].setting.engine.startswith("cpackage") else _TICK
        own = np.array([repeats.get(_key(kernel), usual) for kernel in kernels])
        ticks = np.array([tick / kernel.seconds for kernel in kernels])
        return np.asarray(np.maximum(RIGHT, TIMES * np.hypot(own, ticks)), np.float64)

    def _roofline(self, kernel: KernelRow) -> float:
        roofline = self.rooflines.get(kernel.setting.threads) or next(
            iter(self.rooflines.values())
        )
        return roofline.predict(kernel_work(kernel.operators, kernel.setting.precision)).value

    def _fitted(self, report: Report, kernels: Sequence[KernelRow]) -> None:
        fitted = fit_kernels(kernels, self.caches, self.rooflines)
        if fitted is not None:
            covered = fitted.quality.coverage
            width = f"half width {covered.half_width:.0%}, median"
            report.show(f"{self.name}: inside 90 % intervals", covered.share, note=width)
            if not fitted.quality.is_better:
                report.say(f"{self.name}: no better than the roofline, and not used")


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
