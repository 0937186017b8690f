"""ONNX Runtime's plug-in for OpenVINO against OpenVINO's own package, side by side in one race.

Both run the same kernels on Intel's processors; the plug-in's session stands between. With every
number of threads and in all arithmetic that the processor has, float and int8, the two run in the
same blocks. The ratio is the plug-in's latency over the package's, both best by their medians in
this very race: above 1 the package wins. Where the plug-in finds no device there is no race.

    python -m benchmarks.races.openvino_ways MODEL.onnx[,DATA.npz] ...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common import Report, Unit, options
from benchmarks.measuring.aa import Bench
from db.records import Phase
from farm.candidate import Candidate, OpenVino, OpenVinoRuntime, Precision, StaticInt8
from farm.units import format_seconds
from tuner.racing.statistics import FloatArray, compare
from tuner.request import TuneRequest
from tuner.search.space import Space
from workers.discovery import engine_availability

_PLUGIN, _PACKAGE = OpenVino().kind, OpenVinoRuntime().kind
_BLOCKS = 24
_PATIENCE = 120.0


def main() -> int:
    """Run the races; the exit code."""
    parser = options(__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL[,DATA]")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=SIZE")
    arguments = parser.parse_args()
    shapes = {name: int(size) for name, _, size in (s.partition("=") for s in arguments.shape)}
    report = Report(__file__, arguments.json)
    for text in arguments.models:
        model, _, data = text.partition(",")
        request = TuneRequest(model, ("cpu",), data=data, shapes=shapes)
        with ExitStack() as stack:
            bench = Bench(stack, request, _PATIENCE)
            if not _available(_PLUGIN) or not _available(_PACKAGE):
                report.say("no race: there are not both of them here")
                break
            entries = bench.trials(_entrants(bench.space()), Phase.SEARCH)
            candidates = [entry.candidate for entry in entries]
            _show(report, Path(model).stem, candidates, bench.race_everybody(candidates, _BLOCKS))
    return report.close()


def _available(kind: str) -> bool:
    return engine_availability(kind).available


def _entrants(space: Space) -> list[Candidate]:
    """Both in all arithmetic, with every number of threads."""
    engines = [kind(threads=t) for kind in (OpenVino, OpenVinoRuntime) for t in space.threads()]
    floats = [Candidate(e).with_float(t) for e in engines for t in space.float_types(e)]
    int8 = Precision(quantization=StaticInt8())
    quantised = (
        [replace(c, precision=replace(int8, float_type=c.precision.float_type)) for c in floats]
        if space.quantizable.get("static-int8")
        else []
    )
    return [*floats, *quantised]


def _show(report: Report, name: str, candidates: Sequence[Candidate], seconds: FloatArray) -> None:
    medians = np.median(seconds, axis=0)
    groups: dict[str, dict[str, int]] = {}
    for index in np.argsort(medians):
        candidate = candidates[index]
        kind = "int8" if candidate.precision.quantization else "float"
        groups.setdefault(kind, {}).setdefault(candidate.engine.kind, int(index))
    for kind, best in groups.items():
        if len(best) == 2:
            plugin, package = best[_PLUGIN], best[_PACKAGE]
            found = compare(seconds[:, package], seconds[:, plugin])
            times = ", ".join(
                f"{candidates[i].label()} {format_seconds(medians[i])}" for i in (plugin, package)
            )
            interval = f"95 % {found.ratio.low:.2f} to {found.ratio.high:.2f}"
            label = f"{name} {kind}: plug-in over package"
            report.show(label, found.ratio.value, Unit.TIMES, f"{interval}; {times}")


if __name__ == "__main__":
    sys.exit(main())
