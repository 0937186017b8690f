"""Whether recorded cuts lie within the intervals that placement states by learnt costs.

Tables of ``record_cuts.py`` have the seconds of plans. Here no plan is priced by a profile of its
own kernels: they are those that the kernels of all other models taught, in the store that
``record_corpus.py`` made on the same machine, with that store's calibration of one thread. Target:
85 to 96 % of all plans are inside, those of one piece among them.

    python benchmarks/learnt_cuts.py benchmarks/tables/some_cuts_*.json.gz --models FOLDER [...]
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import Report, Unit, options
from cut_basis import THREADS
from cut_observed import solution_of
from cut_plans import plan_of
from numpy.typing import NDArray
from recorded import Table, TableError, read_table, steady
from recorded_store import DEVICE, PACKED, machine_of_recording, opened

from db.questions.operators.costs import all_calibrations, profiled_trials
from db.reader import StoreReader
from farm.candidate import Engine, Pipeline, PipelinePart
from farm.costs.calibration import Calibration, CostPlace
from farm.costs.model import MeasuredThenRoofline
from farm.costs.operators import costed_operators
from farm.costs.roofline import cache_limits
from farm.devices.profile import load_profiles
from farm.errors import FarmError
from farm.model.graph import build_graph
from farm.model.model import Model, load_model
from farm.prediction import Prediction
from tuner.learning.kernels.costs import learn_kernels
from tuner.learning.kernels.rows import KernelRow, rows_of, rows_of_trials
from tuner.learning.kernels.stored import by_threads
from tuner.placing.from_store import problem_at
from tuner.placing.support import DevicePlace

LEAST, MOST = 0.85, 0.96


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a store has of kernels. caches: bytes of each level. calibrations: by their threads."""

    rows: tuple[KernelRow, ...]
    caches: tuple[float, ...]
    calibrations: dict[int, Calibration]

    @classmethod
    def of(cls, store: StoreReader) -> Learnt:
        """What a store has."""
        machine, profile = store.machine(machine_of_recording(store)), load_profiles()[DEVICE]
        records = all_calibrations(store, DEVICE, machine.id)
        trials = profiled_trials(store, [DEVICE], machine.id)
        probes = [row for record in records for row in rows_of(DEVICE, record.details)]
        return cls(
            (*probes, *rows_of_trials(trials, [profile], machine.cores)),
            tuple(cache_limits(json.loads(machine.details).get("caches", ""))),
            by_threads(DEVICE, records),
        )

    def costs(self, model: Model, calibration: Calibration) -> MeasuredThenRoofline:
        """Of the kernels of a model, which others taught."""
        others = (row for row in self.rows if row.model != model.sha256)
        kernels = learn_kernels(DEVICE, others, self.caches, self.calibrations)
        operators = costed_operators(model.proto, build_graph(model))
        own = kernels.at(calibration, THREADS).of_model(operators)
        return MeasuredThenRoofline({DEVICE: calibration}, learned={DEVICE: own})


def main() -> int:
    """Print the figures; the exit code."""
    parser = options(__doc__)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", type=Path, required=True, help="folders of them")
    parser.add_argument("--packed", type=Path, default=PACKED, help="a store, compressed")
    given = parser.parse_args()
    report = Report(__file__, given.json)
    with opened(given.packed) as store:
        learnt = Learnt.of(store)
    try:
        tables = [read_table(path, "cuts") for path in given.tables]
        inside = [figures(report, table, given.models, learnt) for table in tables]
    except FarmError as error:
        parser.error(str(error))
    share = float(np.mean(np.concatenate(inside)))
    note = f"of {sum(map(len, inside))} plans"
    report.at_least("inside the stated interval, at least", share, LEAST, note=note)
    report.at_most("inside the stated interval, at most", share, MOST)
    return report.close()


def figures(
    report: Report, table: Table, folders: Sequence[Path], learnt: Learnt
) -> NDArray[np.bool_]:
    """Print those of one model; whether each plan is inside. Raises FarmError."""
    model = _model(table, folders)
    found = list(predicted(table, model, learnt))
    seconds = np.median(steady(table.seconds()), axis=1)
    values, low, high = np.array([[p.value, p.low, p.high] for p in found]).T
    inside: NDArray[np.bool_] = (low <= seconds) & (seconds <= high)
    width = f"half width {np.median((high - low) / (2 * values)):.0%}, median"
    report.show(f"{table.model}: inside", float(np.mean(inside)), note=f"{len(found)} plans")
    off = float(np.median(values / seconds))
    report.show(f"{table.model}: predicted over recorded, median", off, Unit.TIMES, width)
    return inside


def predicted(table: Table, model: Model, learnt: Learnt) -> Iterator[Prediction]:
    """Seconds of the plans of a table, in their order. Raises FarmError."""
    calibration = learnt.calibrations[THREADS]
    graph, profile = build_graph(model), load_profiles()[DEVICE]
    names = {part.place for row in table.ok for part in _parts(row.candidate.engine)}
    places = [
        DevicePlace(CostPlace(DEVICE, name.partition("/")[2]), profile) for name in sorted(names)
    ]
    priced = problem_at(model, graph, tuple(places), learnt.costs(model, calibration))
    for row in table.ok:
        plan = plan_of([(p.place, p.operators) for p in _parts(row.candidate.engine)], graph)
        yield priced.total(solution_of(graph, plan))


def _parts(engine: Engine) -> tuple[PipelinePart, ...]:
    if not isinstance(engine, Pipeline):
        raise TableError("A table of cuts has a row that is no pipeline.")
    return engine.parts


def _model(table: Table, folders: Sequence[Path]) -> Model:
    for folder in folders:
        path = folder / f"{table.model}.onnx"
        if path.is_file() and (model := load_model(path)).sha256 == table.sha256:
            return model
    raise TableError(f"None of the folders has the model {table.model}.onnx that was recorded.")


if __name__ == "__main__":
    sys.exit(main())
