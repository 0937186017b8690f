"""Records what every configuration of a model on one device takes, and what accuracy it has.

A configuration is an engine with its threads and options, and a precision, as ``tuner.search``
knows them. First come all main engines in every precision, then, as far as the budget goes, in a
random order, engines that differ from a main one in one option, in every precision. Each is a
trial of the farm; those that are ok run in 10 of the farm's own blocks or more, from which nobody
is dropped, 48 of them together. The default runs in all blocks, and the seconds of the others are
written as multiples of it, times its own median: so they can be compared with each other. Those
that are not ok are in the table with their outcome.

    python -m benchmarks.search.record_configurations MODEL.onnx --device cpu -o TABLE.json.gz
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.common import Report, Unit, options
from benchmarks.measuring.aa import Bench
from benchmarks.search.recorded import Row, Table, steady, write_table
from db.records import Phase
from farm.candidate import Candidate, Engine
from farm.devices.profile import load_profiles
from farm.errors import FarmError
from farm.model.model import load_model
from farm.units import parse_seconds
from tuner.racing.race import RaceRules
from tuner.request import TuneRequest
from tuner.runs.clock import Budget
from tuner.runs.history import Entry
from tuner.search.options import near_engines
from tuner.search.space import Space
from workers.fingerprint import software_versions

BLOCKS, MOST_TOGETHER = 10, 48  # living processes
_TRIALS = 0.6  # of the budget: until then trials begin
_SHOWN = 5


def main() -> int:
    """Record one model; the exit code."""
    parser = options(__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--device", default="cpu", help="a profile")
    parser.add_argument("--data", type=Path, help="npz file of samples")
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="TABLE")
    parser.add_argument("--budget", default="10m", help="of time, about")
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--most", type=int, default=0, help="configurations, 0 for all")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report = Report(__file__, given.json)
    profiles = load_profiles()
    if given.device not in profiles:
        parser.error(f"there is no device profile {given.device!r}")
    data = str(given.data.absolute()) if given.data else ""
    request = TuneRequest(str(given.model.absolute()), (given.device,), data=data, seed=given.seed)
    try:
        budget = Budget(parse_seconds(given.budget))
        table = recorded(report, request, budget, given.blocks, given.most)
        write_table(table, given.output)
    except FarmError as error:
        parser.error(str(error))
    report.say(f"{len(table.rows)} configurations written to {given.output}")
    return report.close()


def recorded(
    report: Report, request: TuneRequest, budget: Budget, blocks: int, most: int = 0
) -> Table:
    """Record a model and show how it went. most: configurations, 0 for all. Raises FarmError."""
    model = load_model(Path(request.model))
    with ExitStack() as stack:
        bench = Bench(stack, request, budget.total)
        space = replace(bench.space(), packages=bench.facts.packages)
        wanted = list(configurations(space, request.seed))[: most or None]
        entries = list(tried(bench, wanted, budget))
        seconds = raced(bench, [entry for entry in entries if entry.ok], blocks)
        machine = asdict(bench.facts.machine)
    rows = [row(entry, seconds.get(entry.trial_id, ())) for entry in entries]
    kept = tuple(each for each in rows if each is not None)
    metric = next((e.accuracy.metric for e in entries if e.accuracy), "none")
    table = Table(
        "configurations",
        model.path.stem,
        model.sha256,
        machine,
        software_versions(),
        f"{metric}, as the farm checks it",
        len(wanted),
        kept,
    )
    show(report, table, bench)
    return table


def configurations(space: Space, seed: int) -> Iterator[Candidate]:
    """Main engines in every precision, then others, each once."""
    main_ones = [*space.float_engines(), *space.packages]
    width, packages = space.width(), space.packages
    near = [engine for one in main_ones for engine in near_engines(one, width, packages)]
    others = [engine for engine in dict.fromkeys(near) if engine not in main_ones]
    first = [c for engine in main_ones for c in _of_engine(space, engine)]
    then = [c for engine in others for c in _of_engine(space, engine)]
    Random(seed).shuffle(then)
    yield from dict.fromkeys((*first, *then))


def tried(bench: Bench, wanted: Sequence[Candidate], budget: Budget) -> Iterator[Entry]:
    """The trials of candidates, as many as there is time for."""
    for candidate in wanted:
        if budget.used > _TRIALS * budget.total:
            return
        yield from bench.journal.run_trials([candidate], Phase.SEARCH)


def raced(bench: Bench, entries: Sequence[Entry], blocks: int) -> dict[str, tuple[float, ...]]:
    """Seconds of entries, as many of each, by trial id; of those that failed in a block none."""
    first, *others = entries
    ratios: dict[str, list[float]] = {}
    own: list[float] = []
    for at in range(0, len(others), MOST_TOGETHER):
        group = others[at : at + MOST_TOGETHER]
        for samples in blocks_of(bench, (first, *group), blocks):
            own.append(samples[first.trial_id])
            for name, seconds in samples.items():
                ratios.setdefault(name, []).append(seconds / samples[first.trial_id])
    median, count = float(np.median(own)), min(map(len, ratios.values()))
    return {
        name: tuple(median * each for each in found[:count]) for name, found in ratios.items()
    } | {first.trial_id: tuple(own[:count])}


def blocks_of(bench: Bench, entries: Sequence[Entry], blocks: int) -> Iterator[dict[str, float]]:
    """Seconds by trial id of each block that was kept; who failed in one is in none."""
    jobs = [bench.journal.job(entry.candidate, Phase.SEARCH) for entry in entries]
    # So small an alpha that no look can decide, and nothing is hopeless.
    rules = RaceRules(alpha=1e-300, hopeless_ratio=1e300, max_blocks=blocks)
    number = max(bench.journal.begun_races(), default=-1) + 1
    bench.track.race(entries, jobs, rules, entries[0], lambda: True)
    ok = {entry.trial_id for entry in entries if entry.ok}
    for block in bench.journal.recorded_blocks(number):
        if block.kept:
            yield {s.trial_id: s.seconds for s in block.samples if s.trial_id in ok}


def row(entry: Entry, seconds: tuple[float, ...]) -> Row | None:
    """What became of a trial; None of one that is ok and ran in no block."""
    accuracy = entry.accuracy.value if entry.accuracy else None
    if entry.ok and not seconds:
        return None
    kept = seconds if entry.ok else ()
    return Row(entry.candidate, entry.outcome, accuracy, kept, entry.message)


def show(report: Report, table: Table, bench: Bench) -> None:
    """What was recorded, and the best of it."""
    medians = np.median(steady(table.seconds()), axis=1)
    count = f"of {table.possible}"
    report.show(f"{table.model}: configurations recorded", len(table.rows), Unit.COUNT, count)
    failed = len(table.rows) - len(table.ok)
    report.show("... that failed or were rejected", failed, Unit.COUNT)
    note = f"{bench.track.tolerated} of them disturbed"
    report.show("... blocks", table.seconds().shape[1], Unit.COUNT, note)
    for at in np.argsort(medians)[:_SHOWN]:
        each = table.ok[at]
        accuracy = "not judged" if each.accuracy is None else f"accuracy {each.accuracy:.3f}"
        label = f"... {each.candidate.label()}"
        report.show(label, float(medians[at]), Unit.SECONDS, accuracy)


def _of_engine(space: Space, engine: Engine) -> Iterator[Candidate]:
    """An engine in every precision that it offers, the model's own first."""
    precisions = (*space.kept_precisions(engine)[-1:], *space.precisions(engine))
    for precision in dict.fromkeys(precisions):
        candidate = Candidate(engine, precision)
        if space.offers(candidate):
            yield candidate


if __name__ == "__main__":
    sys.exit(main())
