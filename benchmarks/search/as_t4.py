"""Writes recorded tables in the T4 format, in which auto-tuners exchange what they measured.

T4 is the results format of Kernel Tuner and of the autotuning methodology: one object for each
configuration, with its parameters, its run times, and whether it is valid (schema versions 1.0.0,
``kernel_tuner/schema/T4`` and ``autotuning_methodology/schemas/T4.json``). Times are in
milliseconds, as Kernel Tuner's are; the recorded seconds of all blocks are the run times. The
time that compiling took was not recorded.

    python -m benchmarks.search.as_t4 benchmarks/tables/configurations_*.json.gz --output FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Report, Unit, options
from benchmarks.search.landscape import Landscape
from benchmarks.search.recorded import Row, Table, TableError, read_table
from farm.measurement import Outcome
from tuner.search.regression.flat import flat
from workers.fingerprint import software_versions

VERSION = "1.0.0"
_MILLISECONDS = 1e3
_INVALID = {
    Outcome.REJECTED: "constraints",
    Outcome.COMPILE_ERROR: "compile",
    Outcome.RUN_ERROR: "runtime",
    Outcome.OUT_OF_MEMORY: "runtime",
    Outcome.TIMEOUT: "timeout",
}


def main() -> int:
    """Write one file for each table; the exit code."""
    parser = options(__doc__)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="FOLDER")
    given = parser.parse_args()
    report = Report(__file__, given.json)
    try:
        tables = [read_table(path, "configurations") for path in given.tables]
        given.output.mkdir(parents=True, exist_ok=True)
        for table in tables:
            content = as_t4(table)
            path = given.output / f"{table.model}.t4.json"
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            report.show(f"{path}: results", len(content["results"]), Unit.COUNT)
    except (TableError, OSError) as error:
        parser.error(str(error))
    return report.close()


def as_t4(table: Table) -> dict[str, Any]:
    """A table as plain values of the format. Raises TableError."""
    land = Landscape.of(table)
    rows = zip(table.rows, land.feasible, strict=True)
    return {
        "schema_version": VERSION,
        "metadata": {
            "platform": f"{table.machine['system']}",
            "device": str(table.machine["cpu"]),
            "autotuner": "farm",
            "autotuner_version": str(software_versions().get("farm", "")),
            "timeunit": "milliseconds",
            "model": table.model,
            "model_sha256": table.sha256,
            "accuracy": table.accuracy,
        },
        "results": [_result(row, bool(feasible)) for row, feasible in rows],
    }


def _result(row: Row, feasible: bool) -> dict[str, Any]:  # noqa: FBT001  (of the table)
    valid = _INVALID.get(row.outcome, "correct" if feasible else "correctness")
    return {
        "configuration": dict(flat(row.candidate)),
        "objectives": ["time"],
        "times": {"runtimes": [float(f"{_MILLISECONDS * each:.5g}") for each in row.seconds]},
        "invalidity": valid,
        "correctness": int(valid == "correct"),
        "measurements": list(_measurements(row)),
    }


def _measurements(row: Row) -> Iterator[dict[str, Any]]:
    if row.seconds:
        milliseconds = _MILLISECONDS * float(np.median(row.seconds))
        yield {"name": "time", "value": milliseconds, "unit": "ms"}
    if row.accuracy is not None:
        yield {"name": "accuracy", "value": row.accuracy, "unit": ""}


if __name__ == "__main__":
    sys.exit(main())
