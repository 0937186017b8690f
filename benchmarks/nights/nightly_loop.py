"""What a night's own blocks raise, and how much of it the second run lets through.

The screen of ``nightly_screen.py`` looks at nights; here is the other way to a suspicion: the
blocks of one night, both states side by side. Nights are made up, pairs with noise of 1, 3 and
10 % and every twentieth pair a spike; the rules are those of ``tuner.nightly.tonight`` and
``decide``, with as many pairs as these ask for. Targets:

- without a change at most 0.5 false alarms in 1,000 nights;
- a change of three standard errors of a night, and of 1.5 % at least, is heard of after one night
  more at the median. Smaller ones are the screen's.
"""

from __future__ import annotations

import statistics
import sys

import numpy as np

from benchmarks.common import Report, Unit, options
from farm.measurement import Metric
from tuner.nightly.screen.series import Verdict
from tuner.nightly.tonight import Tonight, compare_tonight
from tuner.nightly.verdicts.decide import confirmed

NIGHTS, PAIRS, CHANGED = 12_000, 20, 300
NOISES = (0.01, 0.03, 0.10)
_SPIKES, _SPIKE = 0.05, 0.3
_LEAST_STEP = 0.015


def main() -> int:
    """Run the benchmark; the exit code."""
    arguments = options(__doc__).parse_args()
    report = Report(__file__, arguments.json)
    for noise in NOISES:
        _quiet(report, noise)
        _changed(report, noise)
    return report.close()


def _quiet(report: Report, noise: float) -> None:
    random = np.random.default_rng([1, int(1000 * noise)])
    again = alarms = 0
    for _ in range(NIGHTS):
        tonight = _night(random, noise, PAIRS)
        if tonight.looks_changed:
            again += 1
            alarms += _is_heard(random, noise, tonight)
    name, per = f"noise of a pair {noise:.0%}", 1000 / NIGHTS
    report.show(f"{name}: looked at again, of 1,000 nights", again * per, Unit.COUNT)
    report.at_most(f"{name}: false alarms in 1,000 nights", alarms * per, 0.5, Unit.TIMES)


def _changed(report: Report, noise: float) -> None:
    """Nights until a change of three standard errors of a night is heard of, 0 on its first."""
    random = np.random.default_rng([2, int(1000 * noise)])
    step = max(3 * noise / PAIRS**0.5, _LEAST_STEP)
    delays = [_delay(random, noise, step) for _ in range(CHANGED)]
    name = f"noise of a pair {noise:.0%}: a step of {step:.1%}"
    report.at_most(f"{name}: nights until heard", statistics.median(delays), 1, Unit.COUNT)


def _delay(random: np.random.Generator, noise: float, step: float) -> int:
    night = 0
    while True:
        tonight = _night(random, noise, PAIRS, step)
        if tonight.looks_changed and _is_heard(random, noise, tonight, step):
            return night
        night += 1


def _is_heard(
    random: np.random.Generator, noise: float, tonight: Tonight, step: float = 0.0
) -> bool:
    """Whether the second run, of as many pairs as it takes, says the same."""
    suspicion = Verdict.REGRESSION if tonight.log_ratio > 0 else Verdict.IMPROVEMENT
    return confirmed(suspicion, _night(random, noise, tonight.pairs_to_confirm, step))


def _night(random: np.random.Generator, noise: float, pairs: int, step: float = 0.0) -> Tonight:
    """Seconds of both states in so many blocks; step: of the log of the first over the second."""
    drift = np.exp(random.normal(0.0, 0.05, pairs))
    log_ratios = step + random.normal(0.0, noise, pairs)
    spikes = (random.random(pairs) < _SPIKES) * random.choice((-1, 1), pairs)
    log_ratios += _SPIKE * 10 * noise * spikes
    return compare_tonight(Metric.LATENCY, drift * np.exp(log_ratios), drift)


if __name__ == "__main__":
    sys.exit(main())
