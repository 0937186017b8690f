"""How long `farm predict` takes for a model: for the baseline, and for the ranking of all.

A store in which the device cpu is calibrated is given; each run is a process of its own, and the
figures are medians. Processor seconds are those of the command and of all that it started.

Targets: either takes at most 3 s.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import ROOT, Report, Unit, options

_ROUNDS, _QUICK_ROUNDS = 11, 2
_TARGET = 3.0
_WAYS = {"the baseline": (), "--best 10": ("--best", "10")}


def main() -> int:
    """Print the figures; the exit code says whether the target is reached."""
    parser = options(__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--store", required=True, help="in which cpu is calibrated")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    rounds = _QUICK_ROUNDS if arguments.quick else _ROUNDS
    for name, more in _WAYS.items():
        found = [_asked(arguments.model, arguments.store, more) for _ in range(rounds)]
        wall, used = (statistics.median(each) for each in zip(*found, strict=True))
        report.at_most(f"farm predict, {name}", wall, _TARGET, Unit.SECONDS)
        report.show(f"farm predict, {name}: of processors", used, Unit.SECONDS)
    return report.close()


def _asked(model: Path, store: str, more: tuple[str, ...]) -> tuple[float, float]:
    """Wall and processor seconds of one run."""
    command = [sys.executable, str(ROOT / "cli.py"), "predict", str(model), "--store", store]
    begin, before = time.perf_counter(), _children()
    subprocess.run([*command, *more], check=True, capture_output=True)
    return time.perf_counter() - begin, _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
