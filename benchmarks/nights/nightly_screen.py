"""Does the nightly screen find steps, and nothing but steps? On synthetic series.

``python -m benchmarks.nights.nightly_screen [--seed N] [--otava PYTHON] [--quick]`` prints every
figure with its target; the exit code is 1 when one is missed. Series are judged night by night,
each night knowing only those before; ``night_series.py`` says of which kinds they are. Sigma is 1
%.

Beside what the screen finds stands what an oracle finds with as many false alarms as are allowed
(``night_oracle.py``); a target stands where the oracle leaves room for it.

The constants of the likelihood and both alphas were chosen on series of seeds below 100; those of
the rule on what went away and of two levels while looking at the default seed, among others.
A delay of 0 is the first night at the new level. ``--otava`` names an interpreter that has
``apache-otava``, which then judges the same series with its defaults.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from benchmarks.common import Report, Unit, options
from benchmarks.nights.night_oracle import oracle
from benchmarks.nights.night_series import noise
from benchmarks.races.rivals.change_points import FEWEST_NIGHTS, Alarm, by_otava
from tuner.nightly.screen.judge import ALONE, SENSITIVE, Judgement, Rules, judge, judge_night
from tuner.nightly.screen.modes import modes
from tuner.nightly.screen.series import Change, FloatArray, Night, Series, Verdict
from tuner.nightly.screen.went_away import went_away
from tuner.racing.statistics import compare

SEED = 20261129
SERIES, NIGHTS = 60, 200
STEPPED = 200  # series per kind and size of step
STEP_FROM, STEP_UNTIL = 60, 150  # nights among which a step begins
WATCHED = 14
SIGMA = 0.01
WITHIN_NIGHT = 0.002  # standard error of one night's value
PAIRS, PAIR_NOISE, ALPHA = 40, 0.03, 0.01  # of the run that confirms a change
ALLOWED = {
    "independent": 2.0,
    "autoregressive": 5.0,
    "spikes": 5.0,
    "two modes": 10.0,
    "lasting modes": 10.0,
}
"""Kinds of series, with the false alarms that 1,000 series-nights may raise."""
_FOUR = ("independent", "autoregressive", "spikes", "two modes")
FOUND = {
    2: (14, dict.fromkeys(_FOUR, 0.90)),
    3: (14, dict.fromkeys(_FOUR, 0.99) | {"lasting modes": 0.90}),
    5: (3, dict.fromkeys(_FOUR, 0.99)),
}
"""For each size of step the nights in which it must be found, and in what share of which kinds."""
LOCATED = AT_ONCE = _FOUR
"""Kinds whose steps must be located, and confirmed on the second night; others are shown."""
CHANGED = {Verdict.REGRESSION, Verdict.IMPROVEMENT}


@dataclass(frozen=True, slots=True)
class Work:
    """How much is simulated."""

    seed: int
    series: int = SERIES
    stepped: int = STEPPED


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="a few series of each kind")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--otava", metavar="PYTHON", help="an interpreter that has apache-otava")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    work = Work(arguments.seed, 4, 8) if arguments.quick else Work(arguments.seed)
    for kind in ALLOWED:
        false_alarms(report, work, kind)
    for kind in ALLOWED:
        steps(report, work, kind)
    confirmed(report, work)
    passing(report, work)
    two_levels(report, work)
    known_changes(report, work)
    many_series(report, work)
    speed(report, work)
    otava(report, work, arguments.otava)
    return report.close()


def false_alarms(report: Report, work: Work, kind: str) -> None:
    """The screen alone on series in which nothing changes; each alarm is taken for expected."""
    rng = np.random.default_rng([work.seed, 1])
    alarms = judged = 0
    for _ in range(work.series):
        for judgement in watch(unchanged(kind, rng), ALONE):
            judged += judgement.verdict is not Verdict.NOT_YET
            alarms += judgement.verdict in CHANGED
    name = f"{kind}: false alarms in 1,000 series-nights"
    report.at_most(
        name, per_1000(alarms, judged), ALLOWED[kind], Unit.TIMES, f"{alarms} in {judged}"
    )


def steps(report: Report, work: Work, kind: str) -> None:
    """The screen alone on series with one step up or down, judged from the step on."""
    for size, (within, least) in FOUND.items():
        rng = np.random.default_rng([work.seed, 2, size])
        found = [first_alarm(*stepped(kind, rng, size), ALONE) for _ in range(work.stepped)]
        share = float(np.mean([one is not None and one.delay < within for one in found]))
        name = f"{kind}: step of {size} sigma found within {within} nights"
        if kind in least:
            report.at_least(name, share, least[kind], note=delays(found))
        else:
            report.show(name, share, note=delays(found))
        report.show(f"{name} by an oracle", bound(work, kind, size, within))
        near = float(np.mean([abs(one.off) <= 2 for one in found if one is not None]))
        name = f"{kind}: step of {size} sigma located within 2 nights"
        if size == 3 and kind in LOCATED:
            report.at_least(name, near, 0.90)
        else:
            report.show(name, near)


def bound(work: Work, kind: str, size: float, within: int) -> float:
    """What an oracle finds with as many false alarms as are allowed, in ten times the series."""
    rng = np.random.default_rng([work.seed, 10, round(size)])
    knowing = oracle(kind, size, ALLOWED[kind], rng, 10 * work.series)
    return knowing.found(rng, 10 * work.stepped, STEP_FROM, within)


def confirmed(report: Report, work: Work) -> None:
    """The sensitive screen, each change confirmed by interleaved pairs of both states."""
    report.say(f"confirmed by {PAIRS} pairs, {PAIR_NOISE:.0%} noise within a pair, alpha {ALPHA}:")
    for kind in ALLOWED:
        rng = np.random.default_rng([work.seed, 3])
        asked = alarms = judged = 0
        for _ in range(work.series):
            for judgement, holds in watch_confirmed(unchanged(kind, rng), 0.0, rng):
                judged += judgement.verdict is not Verdict.NOT_YET
                asked += judgement.verdict in CHANGED
                alarms += holds
        name = f"{kind}: confirmed false alarms in 1,000 series-nights"
        note = f"{alarms} of {asked} in {judged}"
        report.at_most(name, per_1000(alarms, judged), 0.5, Unit.TIMES, note)
        for size in (3, 5):
            rng = np.random.default_rng([work.seed, 4, size])
            found = [confirmed_delay(kind, rng, size) for _ in range(work.stepped)]
            name = f"{kind}: median nights to confirm {size} sigma"
            share = float(np.mean(np.isfinite(found)))
            note = f"{share:.1%} confirmed within {WATCHED} nights"
            if kind in AT_ONCE:
                report.at_most(name, float(np.median(found)), 1, Unit.COUNT, note)
            else:
                report.show(name, float(np.median(found)), Unit.COUNT, note)


def passing(report: Report, work: Work) -> None:
    """One night of 10 sigma raises nothing; two nights of it went away afterwards."""
    rng = np.random.default_rng([work.seed, 5])
    raised, found, gone = 0, 0, 0
    for _ in range(work.stepped):
        series, first, _ = stepped("independent", rng, 0)
        one = lifted(series, first, 1)
        raised += first_alarm(one, first, 1, ALONE, nights=3) is not None
        two = lifted(series, first, 2)
        alarm = first_alarm(two, first, 1, ALONE, nights=2)
        found += alarm is not None
        gone += alarm is not None and any(
            went_away(two.until(first + later), alarm.change) for later in (2, 3)
        )
    report.at_most("one night of 10 sigma: alarms in three nights", raised / work.stepped, 0.05)
    report.at_least("two nights of 10 sigma that are raised: went away", gone / found, 0.95)


def two_levels(report: Report, work: Work) -> None:
    """Series that are said to have two levels, after 100 nights."""
    for kind in ALLOWED:
        rng = np.random.default_rng([work.seed, 6])
        named = [modes(noise(kind, rng, 100)) is not None for _ in range(work.stepped)]
        name = f"{kind}: two levels seen"
        if kind == "two modes":
            report.at_least(name, float(np.mean(named)), 0.90)
        elif kind == "lasting modes":
            report.show(name, float(np.mean(named)))
        else:
            report.at_most(name, float(np.mean(named)), 0.05)


def known_changes(report: Report, work: Work) -> None:
    """A step of 2 sigma on a night with other software, told and not told."""
    for told in (False, True):
        rng = np.random.default_rng([work.seed, 7])
        found = []
        for _ in range(work.stepped):
            series, first, sign = stepped("independent", rng, 2)
            if told:
                series = with_software(series, first)
            found.append(first_alarm(series, first, sign, ALONE))
        seen = [one for one in found if one is not None]
        what = "software known" if told else "nothing known"
        report.show(
            f"step of 2 sigma, {what}: first night exact",
            float(np.mean([one.off == 0 for one in seen])),
            note=delays(found),
        )
        if told:
            named = float(np.mean(["software" in one.change.causes for one in seen]))
            report.at_least(f"step of 2 sigma, {what}: named as candidate", named, 0.90)


def many_series(report: Report, work: Work) -> None:
    """Nights of 60 series of which 6 stepped by 3 sigma 4 nights ago: false ones among found."""
    rng = np.random.default_rng([work.seed, 8])
    shares, found = [], 0
    nights = max(1, work.stepped // 8)
    for _ in range(nights):
        series = {}
        for index in range(SERIES):
            one, first, _ = stepped("independent", rng, 3 if index < 6 else 0)
            series[str(index)] = one.until(first + 3)
        judged = judge_night(series, SENSITIVE)
        changed = [int(name) for name, one in judged.items() if one.verdict in CHANGED]
        true = sum(index < 6 for index in changed)
        found += true
        shares.append((len(changed) - true) / max(1, len(changed)))
    name = "60 series a night, 6 stepped: false ones among the changes"
    report.at_most(name, float(np.mean(shares)), SENSITIVE.rate)
    report.show("60 series a night, 6 stepped: found on the fourth night", found / (6 * nights))


def speed(report: Report, work: Work) -> None:
    """One judgement of a series of 200 nights, with a step that has to be located."""
    rng = np.random.default_rng([work.seed, 9])
    values = noise("independent", rng, NIGHTS) + 3 * (np.arange(NIGHTS) > 190)
    series = as_series(SIGMA * values)
    seconds = []
    for _ in range(50):
        start = time.process_time()
        judge(series)
        seconds.append(time.process_time() - start)
    name = "one judgement of 200 nights, median processor time"
    report.at_most(name, float(np.median(seconds)), 0.010, Unit.SECONDS)


def otava(report: Report, work: Work, python: str | None) -> None:
    """The same series judged by Apache Otava with its defaults; a third of them, it takes long."""
    few = replace(work, series=-(-work.series // 3), stepped=-(-work.stepped // 5))
    for kind in ALLOWED:
        rng = np.random.default_rng([work.seed, 1])
        series = [unchanged(kind, rng).values for _ in range(few.series)]
        alarms = None if python is None else by_otava(python, series)
        if python is None or alarms is None:
            report.say("Apache Otava is not compared: name an interpreter that has it by --otava")
            return
        judged = len(series) * (NIGHTS - FEWEST_NIGHTS + 1)
        count = sum(map(len, alarms))
        name = f"{kind}: false alarms of Otava in 1,000 series-nights"
        report.show(name, per_1000(count, judged), Unit.TIMES, f"{count} in {judged}")
        rng = np.random.default_rng([work.seed, 2, 2])
        cases = [stepped(kind, rng, 2) for _ in range(few.stepped)]
        after = by_otava(python, [series.until(first + 13).values for series, first, _ in cases])
        share = np.mean(
            [is_found(one, first) for one, (_, first, _) in zip(after or [], cases, strict=True)]
        )
        report.show(f"{kind}: step of 2 sigma found by Otava within 14 nights", float(share))


def per_1000(alarms: int, nights: int) -> float:
    """Alarms in 1,000 nights."""
    return 1000 * alarms / nights


def is_found(alarms: list[Alarm], first: int) -> bool:
    """Whether one of Otava's alarms is for the step that began on night ``first``."""
    return any(night >= first and abs(named - first) <= WATCHED for night, named in alarms)


@dataclass(frozen=True, slots=True)
class Found:
    """A step that was found. delay: nights after the first one. off: of the night it names."""

    delay: int
    off: int
    change: Change


def watch(series: Series, rules: Rules) -> Iterator[Judgement]:
    """Judge night by night; a change that is found is expected from then on."""
    for night in range(len(series.nights)):
        judgement = judge(series.until(night), rules)
        if judgement.verdict in CHANGED and judgement.change is not None:
            series = series.after(judgement.change)
        yield judgement


def watch_confirmed(
    series: Series, truth: float, rng: Generator, start: int = 0
) -> Iterator[tuple[Judgement, bool]]:
    """Judge night by night from ``start`` on; with each judgement whether a change was confirmed.

    truth: log ratio by which both states really differ.
    """
    for night in range(start, len(series.nights)):
        judgement = judge(series.until(night), SENSITIVE)
        holds = False
        if judgement.verdict in CHANGED and judgement.change is not None:
            holds = is_confirmed(judgement.change, truth, rng)
            change = judgement.change
            series = series.after(change) if holds else series.without(change)
        yield judgement, holds


def is_confirmed(change: Change, truth: float, rng: Generator) -> bool:
    """Both states again, in interleaved pairs: the same direction, significantly."""
    log_ratios = truth + rng.normal(0.0, PAIR_NOISE, PAIRS)
    again = compare(np.ones(PAIRS), np.exp(log_ratios))
    return again.p_value <= ALPHA and (again.ratio.value > 1) == (change.step > 0)


def confirmed_delay(kind: str, rng: Generator, size: float) -> float:
    """Nights from a step to its confirmation, infinite where it was not within 14 nights."""
    series, first, sign = stepped(kind, rng, size)
    watched = watch_confirmed(series, sign * size * SIGMA, rng, first)
    return next((delay for delay, (_, holds) in enumerate(watched) if holds), float("inf"))


def first_alarm(
    series: Series, first: int, sign: int, rules: Rules, nights: int = WATCHED
) -> Found | None:
    """The first alarm of the right direction on the nights from the step on."""
    wanted = Verdict.REGRESSION if sign > 0 else Verdict.IMPROVEMENT
    for night in range(first, min(first + nights, len(series.nights))):
        judgement = judge(series.until(night), rules)
        if judgement.verdict is wanted and judgement.change is not None:
            return Found(night - first, judgement.change.first - first, judgement.change)
    return None


def delays(found: list[Found | None]) -> str:
    """The median delay of what was found, in words."""
    nights = [one.delay if one is not None else np.inf for one in found]
    return f"median delay {np.median(nights):.0f}, {np.mean(np.isfinite(nights)):.1%} in 14 nights"


def unchanged(kind: str, rng: Generator) -> Series:
    """200 nights in which nothing changes."""
    return as_series(SIGMA * noise(kind, rng, NIGHTS))


def stepped(kind: str, rng: Generator, size: float) -> tuple[Series, int, int]:
    """A series that ends 14 nights after a step of ``size`` sigma began; that night; its sign."""
    first, sign = int(rng.integers(STEP_FROM, STEP_UNTIL)), int(rng.choice((-1, 1)))
    values = noise(kind, rng, first + WATCHED)
    values[first:] += sign * size
    return as_series(SIGMA * values), first, sign


def lifted(series: Series, first: int, nights: int) -> Series:
    """With some nights from ``first`` on 10 sigma higher."""
    values = series.values
    values[first : first + nights] += 10 * SIGMA
    return as_series(values)


def with_software(series: Series, first: int) -> Series:
    """With other software from night ``first`` on."""
    nights = series.nights
    new = tuple(replace(night, software="new") for night in nights[first:])
    return replace(series, nights=nights[:first] + new)


def as_series(values: FloatArray) -> Series:
    """Nights with those values."""
    return Series(tuple(Night(float(value), WITHIN_NIGHT) for value in values))


if __name__ == "__main__":
    sys.exit(main())
