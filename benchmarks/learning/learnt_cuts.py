"""Whether recorded cuts lie within the intervals that placement states by learnt costs.

Tables of ``placement/cuts/record.py`` have the seconds of plans. Here no plan is priced by a
profile of its own kernels: they are those that the kernels of all other models taught, in the
store that ``record_corpus.py`` made on the same machine, with that store's calibration of one
thread. Target: 85 to 96 % of all plans are inside, those of one piece among them.

    python -m benchmarks.learning.learnt_cuts benchmarks/tables/some_cuts_*.json.gz \
        --models FOLDER [...]
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Report, Unit, options
from benchmarks.learning.recorded_kernels import RecordedKernels
from benchmarks.learning.recorded_store import DEVICE, PACKED, machine_of_recording, opened
from benchmarks.placement.cuts.basis import THREADS
from benchmarks.placement.cuts.observed import solution_of
from benchmarks.placement.cuts.plans import plan_of
from benchmarks.search.recorded import Table, TableError, read_table, steady
from farm.candidate import Engine, Pipeline, PipelinePart
from farm.costs.calibration import Calibration, CostPlace
from farm.costs.model import MeasuredThenRoofline
from farm.costs.operators import costed_operators
from farm.devices.profile import load_profiles
from farm.errors import FarmError
from farm.model.graph import build_graph
from farm.model.model import Model, load_model
from farm.prediction import Prediction
from tuner.placing.from_store import problem_at
from tuner.placing.support import DevicePlace

LEAST, MOST = 0.85, 0.96


def main() -> int:
    """Print the figures; the exit code."""
    parser = options(__doc__)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", type=Path, required=True, help="folders of them")
    parser.add_argument("--packed", type=Path, default=PACKED, help="a store, compressed")
    given = parser.parse_args()
    report = Report(__file__, given.json)
    with opened(given.packed) as store:
        recorded = RecordedKernels.of(store, machine_of_recording(store))
    try:
        tables = [read_table(path, "cuts") for path in given.tables]
        inside = [figures(report, table, given.models, recorded) for table in tables]
    except FarmError as error:
        parser.error(str(error))
    share = float(np.mean(np.concatenate(inside)))
    note = f"of {sum(map(len, inside))} plans"
    report.at_least("inside the stated interval, at least", share, LEAST, note=note)
    report.at_most("inside the stated interval, at most", share, MOST)
    return report.close()


def figures(
    report: Report, table: Table, folders: Sequence[Path], recorded: RecordedKernels
) -> NDArray[np.bool_]:
    """Print those of one model; whether each plan is inside. Raises FarmError."""
    model = _model(table, folders)
    found = list(predicted(table, model, recorded))
    seconds = np.median(steady(table.seconds()), axis=1)
    values, low, high = np.array([[p.value, p.low, p.high] for p in found]).T
    inside: NDArray[np.bool_] = (low <= seconds) & (seconds <= high)
    width = f"half width {np.median((high - low) / (2 * values)):.0%}, median"
    report.show(f"{table.model}: inside", float(np.mean(inside)), note=f"{len(found)} plans")
    off = float(np.median(values / seconds))
    report.show(f"{table.model}: predicted over recorded, median", off, Unit.TIMES, width)
    return inside


def predicted(table: Table, model: Model, recorded: RecordedKernels) -> Iterator[Prediction]:
    """Seconds of the plans of a table, in their order. Raises FarmError."""
    calibration = recorded.calibrations[THREADS]
    graph, profile = build_graph(model), load_profiles()[DEVICE]
    names = {part.place for row in table.ok for part in _parts(row.candidate.engine)}
    places = [
        DevicePlace(CostPlace(DEVICE, name.partition("/")[2]), profile) for name in sorted(names)
    ]
    priced = problem_at(model, graph, tuple(places), costs_of(model, recorded, calibration))
    for row in table.ok:
        plan = plan_of([(p.place, p.operators) for p in _parts(row.candidate.engine)], graph)
        yield priced.total(solution_of(graph, plan))


def costs_of(
    model: Model, recorded: RecordedKernels, calibration: Calibration
) -> MeasuredThenRoofline:
    """Of the kernels of a model, which others taught."""
    others = (row for row in recorded.of_models if row.model != model.sha256)
    operators = costed_operators(model.proto, build_graph(model))
    kernels = recorded.learned(others).at(calibration, THREADS).of_model(operators)
    return MeasuredThenRoofline({DEVICE: calibration}, learned={DEVICE: kernels})


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
