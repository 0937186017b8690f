"""Records what every cut of a model over the engines of one processor takes.

The model is cut at points where one tensor crosses, at most 16 of them, even over its work. Every
partition into at most three consecutive pieces over the engines, each with one thread, is a
pipeline. In each block every plan is sampled once, in random order; what one engine runs alone is
among them. A sample is the least of five windows of about 1 ms: another process that takes the
processor away keeps it for longer, and makes runs slower, never faster.

All pieces are loaded in this process, see ``cut_pieces``; for some plans that is compared with the
farm's own session of the same pipeline. Target: they differ by 5 % in the median.

Where the budget does not suffice for all plans, all of at most two pieces and a random choice of
the others are recorded. Calibrate the device first, so that the table keeps what predictions rest
on:

    farm devices calibrate cpu --threads 1 --store farm.db
    python -m benchmarks.placement.cuts.record MODEL.onnx --devices cpu --store farm.db -o
        TABLE.json.gz
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import gc
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Report, Unit, options
from benchmarks.placement.cuts.basis import basis_of, one_thread
from benchmarks.placement.cuts.pieces import Once, Pieces, Subject, graphs, survivors, timed
from benchmarks.placement.cuts.plans import (
    Piece,
    Plan,
    cut_points,
    distinct,
    evenly,
    plans,
    running,
    sampled,
)
from benchmarks.search.recorded import (
    Matrix,
    Row,
    Table,
    TableError,
    read_table,
    steady,
    write_table,
)
from farm.candidate import Candidate
from farm.dataset import Part, synthetic_dataset
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import FarmError
from farm.measurement import Outcome
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.units import parse_seconds
from tuner.runs.clock import Budget
from workers.engines.pipelines.pipeline import PipelineSession
from workers.engines.session import Array
from workers.executor import LocalExecutor
from workers.fingerprint import software_versions
from workers.trials.stored.cache import default_folder

MOST_CUTS, MOST_PIECES = 16, 3
FEWEST_BLOCKS, MOST_BLOCKS = 10, 24
WINDOWS, WINDOW_SECONDS = 5, 1e-3
COMPARED, ROUNDS, AGREEMENT = 6, 15, 0.05
ACCURACY = "1 less the largest difference from ONNX Runtime on the whole, of the largest value"
_LOADING, _SHARE = 0.65, 0.9  # of the budget: until loading ends, until recording does
_SLOWER = 1.3  # than a single place is a plan with borders
_SAMPLES = 12  # the fewest that a data set has


@dataclass(frozen=True, slots=True)
class Settings:
    """budget: of time. cuts: points at most. seed: of which plans, and in which order.

    windows: of a sample.
    """

    budget: Budget
    cuts: int
    seed: int
    windows: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """Plans with their seconds [plans, blocks] and outputs' accuracy; possible: of all plans."""

    plans: tuple[Plan, ...]
    seconds: Matrix
    accuracy: tuple[float, ...]
    possible: int


def main() -> int:
    """Record one model; 1 when the recording does not agree with the farm's own session."""
    parser = options(__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--devices", default="cpu", help="one profile of this processor")
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="TABLE")
    parser.add_argument("--store", help="that has the calibration of the device")
    parser.add_argument(
        "--basis-only",
        action="store_true",
        help="measure anew what predictions rest on, for the plans that the table has",
    )
    parser.add_argument("--budget", default="10m", help="of time, about")
    parser.add_argument("--cuts", type=int, default=MOST_CUTS, help="points at most")
    parser.add_argument(
        "--windows",
        type=int,
        default=WINDOWS,
        help="of a sample: more for a slow model on a busy machine",
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report = Report(__file__, given.json)
    profiles = load_profiles()
    if given.devices not in profiles:
        parser.error(f"there is no device profile {given.devices!r}")
    try:
        if given.basis_only:
            refresh(given.model, profiles[given.devices], given.store, given.output)
            return report.close()
        settings = Settings(
            Budget(parse_seconds(given.budget)), given.cuts, given.seed, given.windows
        )
        table = recorded(report, given.model, profiles[given.devices], given.store, settings)
        write_table(table, given.output)
    except FarmError as error:
        parser.error(str(error))
    report.say(f"{len(table.rows)} plans written to {given.output}")
    return report.close()


def recorded(
    report: Report, path: Path, profile: DeviceProfile, store: str | None, settings: Settings
) -> Table:
    """Record a model and show how it went. Raises FarmError."""
    model = load_model(path)
    graph = build_graph(model)
    with ExitStack() as stack:
        executor = stack.enter_context(LocalExecutor([profile], default_folder()))
        facts = executor.describe(profile.name)
        engines = dict(one_thread(profile, facts))
        subject = Subject(model, graph, profile, engines)
        basis = basis_of(executor, subject, facts, store)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="farm-cuts-"))
        wholes = graphs(subject)
        points = distinct(cut_points(graph), survivors(subject, wholes))
        work = [float(op.flops) for op in running(graph)]
        bounds = (0, *evenly(points, work, settings.cuts), len(work))
        pieces = Pieces(subject, wholes, Path(folder), bounds)
        pieces.write(sample(subject))
        found = measured(pieces, settings)
        show(report, path.stem, found, len(points), len(bounds) - 2)
        agreement(report, pieces, found, settings)
    refused = tuple(f"{_named(made.piece)}: {why}" for made, why in sorted(pieces.refused.items()))
    for note in refused[:5]:
        report.say(note)
    return Table(
        "cuts",
        path.stem,
        model.sha256,
        asdict(facts.machine),
        software_versions(),
        ACCURACY,
        found.possible,
        tuple(rows(subject, found)),
        refused,
        basis,
    )


def refresh(path: Path, profile: DeviceProfile, store: str | None, output: Path) -> None:
    """Replace what the predictions of a table rest on. Raises FarmError."""
    table, model = read_table(output, "cuts"), load_model(path)
    if model.sha256 != table.sha256:
        raise TableError(f"{output} was recorded of another model than {path}.")
    with LocalExecutor([profile], default_folder()) as executor:
        facts = executor.describe(profile.name)
        engines = dict(one_thread(profile, facts))
        subject = Subject(model, build_graph(model), profile, engines)
        write_table(replace(table, basis=basis_of(executor, subject, facts, store)), output)


def sample(subject: Subject) -> dict[str, Array]:
    """One made-up input."""
    data = synthetic_dataset(subject.model, _SAMPLES, 0)
    return dict(next(iter(Part(data, np.arange(1)).samples())))


def measured(pieces: Pieces, settings: Settings) -> Recorded:
    """Load pieces, choose plans, and run them in blocks, within the budget."""
    wanted = tuple(plans(pieces.bounds, tuple(pieces.subject.engines), MOST_PIECES))
    load(pieces, wanted, settings)
    ready = tuple(plan for plan in wanted if pieces.is_loaded(plan))
    singles = [plan for plan in ready if len(plan) == 1]
    least = [sampled_seconds(pieces.steps(plan), 1, settings.windows) for plan in singles]
    loops = loops_of(float(np.median(least)))
    begin = settings.budget.used
    for plan in singles:
        sampled_seconds(pieces.steps(plan), loops, settings.windows)
    lasts = _SLOWER * (settings.budget.used - begin) / len(singles)
    left = _SHARE * settings.budget.total - settings.budget.used
    affordable = int(left / (FEWEST_BLOCKS * lasts))
    chosen = sampled(ready, affordable, settings.seed)
    accuracy = accuracies(pieces, chosen)
    return Recorded(chosen, blocks(pieces, chosen, loops, settings), accuracy, len(wanted))


def load(pieces: Pieces, wanted: Sequence[Plan], settings: Settings) -> None:
    """Load the pieces of plans of one and two pieces, then others until the time for it ends."""
    few = dict.fromkeys(made for plan in wanted if len(plan) <= 2 for made in pieces.of(plan))
    for made in few:
        pieces.load(made)
    others = (made for plan in wanted for made in pieces.of(plan) if made not in few)
    many = list(dict.fromkeys(others))
    Random(settings.seed).shuffle(many)
    for made in many:
        if settings.budget.used > _LOADING * settings.budget.total:
            break
        pieces.load(made)


def accuracies(pieces: Pieces, chosen: Sequence[Plan]) -> tuple[float, ...]:
    """Of the outputs of each plan, see ``ACCURACY``."""
    first = next(plan for plan in chosen if len(plan) == 1)
    wanted = outputs_of(pieces, first)
    found = []
    for plan in chosen:
        pairs = zip(outputs_of(pieces, plan), wanted, strict=True)
        apart = (np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-30) for a, b in pairs)
        found.append(1.0 - float(max(apart)))
    return tuple(found)


def outputs_of(pieces: Pieces, plan: Plan) -> list[Array]:
    """What a plan computes."""
    for step in pieces.steps(plan):
        step()
    return pieces.outputs()


def blocks(pieces: Pieces, chosen: Sequence[Plan], loops: int, settings: Settings) -> Matrix:
    """Seconds of plans [plans, blocks], each block in another order.

    At least ``FEWEST_BLOCKS``, and more while there is time for one more.
    """
    steps = [pieces.steps(plan) for plan in chosen]
    random = np.random.default_rng(settings.seed)
    columns: list[NDArray[np.float64]] = []
    last, end = 0.0, _SHARE * settings.budget.total
    gc.disable()
    while len(columns) < FEWEST_BLOCKS or (
        len(columns) < MOST_BLOCKS and settings.budget.used + last < end
    ):
        begin = settings.budget.used
        column = np.zeros(len(steps))
        for at in random.permutation(len(steps)):
            timed(steps[at], 1)  # what ran before has the caches
            column[at] = sampled_seconds(steps[at], loops, settings.windows)
        columns.append(column)
        last = settings.budget.used - begin
    gc.enable()
    return np.stack(columns, axis=1)


def show(report: Report, name: str, found: Recorded, points: int, cuts: int) -> None:
    """What was recorded, and the best of it."""
    medians = np.median(steady(found.seconds), axis=1)
    singles = [at for at, plan in enumerate(found.plans) if len(plan) == 1]
    best, single = int(np.argmin(medians)), min(singles, key=medians.__getitem__)
    report.say(f"{name}: cut at {cuts} of {points} points where one tensor crosses")
    count, of = len(found.plans), found.possible
    report.show(f"{name}: plans recorded", count, Unit.COUNT, f"of {of}")
    report.show("... blocks", found.seconds.shape[1], Unit.COUNT)
    report.show("... least accuracy of a plan", min(found.accuracy), Unit.TIMES)
    for at in singles:
        report.show(f"... {found.plans[at][0].place}", float(medians[at]), Unit.SECONDS)
    note = _named_plan(found.plans[best])
    report.show(
        "... best plan over best single place", medians[best] / medians[single], Unit.TIMES, note
    )
    noise = np.median(np.abs(np.log(steady(found.seconds) / medians[:, None])))
    report.show("... noise of a plan's samples, half within", float(noise))


def agreement(report: Report, pieces: Pieces, found: Recorded, settings: Settings) -> None:
    """Some plans beside the farm's own sessions of them, in turns."""
    several = [plan for plan in found.plans if len(plan) > 1]
    ratios = []
    for plan in Random(settings.seed).sample(several, min(COMPARED, len(several))):
        session = pieces.session(plan)
        try:
            session.set_feeds(sample(pieces.subject))
            ratios.append(_ratio(pieces, plan, session, settings.windows))
        finally:
            session.close()
        report.say(f"{ratios[-1]:.3f} times the farm's own session: {_named_plan(plan)}")
    off = [abs(ratio - 1.0) for ratio in ratios]
    name = f"pieces in a row off the farm's own session, {len(ratios)} plans"
    report.at_most(f"{name}, median", float(np.median(off)), AGREEMENT)


def _ratio(pieces: Pieces, plan: Plan, session: PipelineSession, windows: int) -> float:
    """Seconds of the pieces over those of the session, the median of rounds."""
    steps = pieces.steps(plan)
    loops = loops_of(sampled_seconds(steps, 1, windows))
    pairs = []
    for _ in range(ROUNDS):
        session.timed(1)
        theirs = min(session.timed(loops) for _ in range(windows)) * 1e-9 / loops
        timed(steps, 1)
        pairs.append(sampled_seconds(steps, loops, windows) / theirs)
    return float(np.median(pairs))


def loops_of(seconds: float) -> int:
    """Runs in a window, where one takes so long."""
    return max(1, round(WINDOW_SECONDS / seconds))


def sampled_seconds(steps: Sequence[Once], loops: int, windows: int) -> float:
    """Seconds of one run, the least of some windows of so many."""
    return min(timed(steps, loops) for _ in range(windows))


def rows(subject: Subject, found: Recorded) -> Iterator[Row]:
    """The plans as candidates."""
    for plan, accuracy, seconds in zip(found.plans, found.accuracy, found.seconds, strict=True):
        candidate = Candidate(subject.pipeline(plan))
        yield Row(candidate, Outcome.OK, accuracy, tuple(map(float, seconds)))


def _named(piece: Piece) -> str:
    return f"{piece.place} {piece.start}..{piece.end - 1}"


def _named_plan(plan: Plan) -> str:
    return " + ".join(map(_named, plan))


if __name__ == "__main__":
    sys.exit(main())
