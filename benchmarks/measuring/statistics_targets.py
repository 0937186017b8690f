"""Do the statistics and the race decide as promised? On synthetic noise and recorded blocks.

``python -m benchmarks.measuring.statistics_targets [--recorded FILE.npz]`` prints every figure
with its target; the exit code is 1 when one is missed. Seeds are fixed. A recording holds arrays
of latencies in seconds, [blocks, entrants] each or [races, blocks, entrants]; its blocks are
resampled with replacement, and the best entrant is the one with the lowest median over the whole
recording. Record 128 blocks or more: at 3 % noise a median over 40 is itself too uncertain to say
which entrant is the best.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.common import Report, options
from tuner.racing.race import RaceRules, Replay, relative_latencies, replay
from tuner.racing.statistics import compare

FloatArray = NDArray[np.float64]

SEED = 20240229
BASE_SECONDS = 1e-3
NOISE = 0.03  # standard deviation of one run's log latency
SPIKES = 0.02  # share of runs that something else on the machine slows down, by up to 3 times
ENTRANTS = 24
REGRET = 0.01
REPLAYS = 200
LIMIT = RaceRules().max_blocks


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--recorded", type=Path, help="npz file with recorded blocks")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    false_positives(report)
    power(report)
    synthetic_races(report)
    if arguments.recorded is not None:
        recorded_races(report, arguments.recorded)
    return report.close()


def false_positives(report: Report) -> None:
    """A/A: the same latency twice, 30 blocks, under drift, noise and spikes."""
    rng = np.random.default_rng(SEED)
    found = share(
        2000, lambda: compare(*interleaved(rng, np.ones(2), blocks=30).T).p_value <= 0.05
    )
    report.at_most("A/A false positives at alpha 0.05", found, 0.08)


def power(report: Report) -> None:
    """A 2 % slow-down in 40 pairs. s: all noise of the log ratio in a block, without spikes."""
    for noise in (0.01, 0.02, 0.03):
        rng = np.random.default_rng(SEED)

        def is_found(rng: Generator = rng, noise: float = noise) -> bool:
            one_run = noise / np.sqrt(2)
            blocks = interleaved(rng, np.array([1.02, 1.0]), blocks=40, noise=one_run, spikes=0.0)
            comparison = compare(*blocks.T)
            return comparison.p_value <= 0.01 and comparison.ratio.value < 1

        name = f"2 % slow-down found at alpha 0.01, 40 pairs, s = {noise:.0%}"
        report.at_least(name, share(4000, is_found), 0.90)


def synthetic_races(report: Report) -> None:
    """24 candidates under drift, noise and spikes: a wide field and a narrow one."""
    for field, truth_of in (("wide field", wide_field), ("narrow field", narrow_field)):
        rng = np.random.default_rng(SEED)
        truths = [truth_of(rng) for _ in range(REPLAYS)]
        replays = [
            replay(interleaved(rng, truth, LIMIT), names(truth), truth=truth) for truth in truths
        ]
        race_figures(report, field, replays)
        runs_each = sum(race.runs for race in replays) // (REPLAYS * ENTRANTS)
        regrets = [one_after_another(rng, truth, runs_each) for truth in truths]
        good = float(np.mean(np.array(regrets) <= REGRET))
        report.show(f"{field}: the same runs, candidate after candidate", good)


def recorded_races(report: Report, path: Path) -> None:
    """Races over blocks drawn with replacement from each recorded race, all taken together."""
    rng = np.random.default_rng(SEED)
    races = list(recordings(path))
    if not races:
        sys.exit(f"{path} holds no arrays; expected recorded blocks")
    replays: list[Replay] = []
    for name, blocks in races:
        truth = relative_latencies(blocks)
        draws = rng.integers(len(blocks), size=(-(-REPLAYS // len(races)), LIMIT))
        again = [replay(blocks[draw], names(truth), truth=truth) for draw in draws]
        good = float(np.mean([race.regret <= REGRET for race in again]))
        report.show(f"recorded {name}, {len(blocks)} blocks: winner within 1 %", good)
        replays += again
    race_figures(report, f"{len(races)} recorded races", replays)


def race_figures(report: Report, field: str, replays: Sequence[Replay]) -> None:
    """How good the winners are, and what they cost."""
    good = float(np.mean([race.regret <= REGRET for race in replays]))
    cost = sum(race.runs for race in replays) / sum(race.exhaustive_runs for race in replays)
    report.at_least(f"{field}: race winner within 1 % of the best", good, 0.95)
    report.at_most(f"{field}: runs, of the exhaustive ones", cost, 0.65)


def recordings(path: Path) -> Iterator[tuple[str, FloatArray]]:
    """Every race of a recording with its name."""
    if not path.is_file():
        sys.exit(f"there is no recording at {path}; name an npz file with recorded blocks")
    with np.load(path, allow_pickle=False) as arrays:
        for name, array in arrays.items():
            if array.ndim not in {2, 3}:
                sys.exit(
                    f"{name} in {path} has shape {array.shape}; expected [blocks, entrants] or "
                    "[races, blocks, entrants]"
                )
            races = array[None] if array.ndim == 2 else array
            for index, blocks in enumerate(races):
                yield (name if len(races) == 1 else f"{name} {index}"), blocks.astype(float)


def wide_field(rng: Generator) -> FloatArray:
    """True latencies: a third within 3 % of the best, a third to 40 %, a third to 5 times."""
    return np.concatenate(
        [
            [1.0],
            1 + rng.uniform(0.0, 0.03, 7),
            1 + rng.uniform(0.03, 0.4, 8),
            1 + rng.uniform(0.4, 4.0, 8),
        ]
    )


def narrow_field(rng: Generator) -> FloatArray:
    """True latencies that all lie within 10 %."""
    return 1 + rng.uniform(0.0, 0.1, ENTRANTS)


def interleaved(
    rng: Generator,
    truth: FloatArray,
    blocks: int,
    noise: float = NOISE,
    spikes: float = SPIKES,
) -> FloatArray:
    """Latencies of entrants that run once per block, in random order, [blocks, entrants]."""
    shape = (blocks, len(truth))
    order = np.argsort(rng.random(shape), axis=1)
    at_slot = drift(rng, blocks * len(truth)).reshape(shape)
    drifted = np.take_along_axis(at_slot, order, axis=1)
    return BASE_SECONDS * truth * np.exp(drifted + disturbance(rng, shape, noise, spikes))


def one_after_another(rng: Generator, truth: FloatArray, runs_each: int) -> float:
    """Regret when each entrant's runs are made in one go and the lowest median wins."""
    shape = (len(truth), runs_each)
    # In random order, or a steady drift would favour the same entrants each time.
    turn = rng.permutation(len(truth))
    drifted = drift(rng, truth.size * runs_each).reshape(shape)[turn]
    seconds = truth[:, None] * np.exp(drifted + disturbance(rng, shape, NOISE, SPIKES))
    return float(truth[np.argmin(np.median(seconds, axis=1))] / truth.min()) - 1


def drift(rng: Generator, runs: int) -> FloatArray:
    """Log of the machine's slowness at each run: a wave of +-20 % and a random walk, [runs]."""
    turns = np.arange(runs) / rng.uniform(300, 1500) + rng.random()
    wave: FloatArray = 0.2 * np.sin(2 * np.pi * turns) + np.cumsum(rng.normal(0.0, 0.002, runs))
    return wave


def disturbance(rng: Generator, shape: tuple[int, int], noise: float, spikes: float) -> FloatArray:
    """Log of what disturbs single runs: noise, and now and then a spike."""
    spike = np.where(rng.random(shape) < spikes, np.log(rng.uniform(1.2, 3.0, shape)), 0.0)
    return rng.normal(0.0, noise, shape) + spike


def names(truth: FloatArray) -> list[str]:
    """A name for each entrant."""
    return [f"candidate {index}" for index in range(len(truth))]


def share(repetitions: int, happens: Callable[[], bool]) -> float:
    """How often something happens."""
    return sum(happens() for _ in range(repetitions)) / repetitions


if __name__ == "__main__":
    sys.exit(main())
