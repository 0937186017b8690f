"""Generated packages against ONNX Runtime and OpenVINO, side by side in one race.

Every engine in float and in int8 and with its thread counts, and packages of generated C by every
compiler that is here (they have one thread), run in the same blocks, from which nobody is dropped.
The ratio is the best other candidate's latency over the best package's, both best by their median
in this very race. Targets: at least 2.0 for the keyword-spotting network (the stretch is 4), at
least 1.3 for the image classifier. OpenVINO's plugin takes part where it has a device.

    python -m benchmarks.races.package_race kws=MODEL.onnx,DATA.npz ic=MODEL.onnx
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from benchmarks.common import Report, Unit, options
from benchmarks.measuring.aa import Bench
from farm.artifact.engines import package_engines
from farm.candidate import (
    CalibrationMethod,
    Candidate,
    CPackage,
    OnnxRuntimeCpu,
    Precision,
    StaticInt8,
)
from farm.devices.profile import load_profiles
from farm.units import format_seconds
from tuner.racing.statistics import FloatArray, compare
from tuner.request import TuneRequest
from tuner.search.space import Space

_TARGETS = {"kws": 2.0, "ic": 1.3}
_BLOCKS, _QUICK_BLOCKS = 40, 6
_PATIENCE = 300.0


def main() -> int:
    """Run the races; the exit code."""
    parser = options(__doc__)
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL[,DATA]", help="kws or ic")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_BLOCKS} blocks")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    for text in arguments.models:
        name, _, paths = text.partition("=")
        if name not in _TARGETS:
            parser.error(f"{name!r} is not one of {', '.join(_TARGETS)}")
        model, _, data = paths.partition(",")
        request = TuneRequest(model, ("cpu",), data=data)
        with ExitStack() as stack:
            bench = Bench(stack, request, _PATIENCE)
            candidates = _entrants(bench.space())
            blocks = _QUICK_BLOCKS if arguments.quick else _BLOCKS
            seconds = bench.race_everybody(candidates, blocks)
        _show(report, name, candidates, seconds)
    return report.close()


def _entrants(space: Space) -> list[Candidate]:
    """Every engine with its thread counts in all precisions, and packages by every compiler."""
    static = [
        Precision(quantization=StaticInt8(per_channel=channels, calibration=method))
        for channels in (True, False)
        for method in (CalibrationMethod.MIN_MAX, CalibrationMethod.ENTROPY)
    ]
    engines = [e for e in space.float_engines() if not isinstance(e, CPackage)]
    floats = [Candidate(e).with_float(t) for e in engines for t in space.float_types(e)]
    int8 = [Candidate(e, precision) for e in engines for precision in static]
    saved = [
        replace(c, engine=replace(c.engine, saved_graph=True))
        for c in int8
        if isinstance(c.engine, OnnxRuntimeCpu) and c.engine.threads == 1
    ]
    packages = [Candidate(e, static[0]) for e in package_engines(load_profiles()["cpu"])]
    return list(dict.fromkeys([*floats, *int8, *saved, *packages]))


def _show(report: Report, name: str, candidates: list[Candidate], seconds: FloatArray) -> None:
    medians = np.median(seconds, axis=0)
    package = [isinstance(c.engine, CPackage) for c in candidates]
    best = {
        kind: min((i for i, p in enumerate(package) if p is kind), key=medians.__getitem__)
        for kind in (True, False)
    }
    for index in np.argsort(medians)[:12]:
        report.say(f"{format_seconds(medians[index]):>10}  {candidates[index].label()}")
    found = compare(seconds[:, best[True]], seconds[:, best[False]])
    interval = f"95 % {found.ratio.low:.2f} to {found.ratio.high:.2f}, {found.pairs} blocks"
    label = f"{name}: best other engine's latency over the package's"
    report.at_least(label, found.ratio.value, _TARGETS[name], Unit.TIMES, interval)


if __name__ == "__main__":
    sys.exit(main())
