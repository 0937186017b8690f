"""How long the farm takes to say something: `farm results` on a small store over `farm --help`.

The store is that of a short `farm tune` of the example model, made in a folder for this script
alone. Both commands run in turn, each a process of its own; the figures are medians.

Targets: `farm results` takes at most twice as long as `farm --help`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, Report, Unit, options

_ROUNDS, _QUICK_ROUNDS = 21, 3
_TRIALS, _BUDGET = "8", "10s"
_TARGET = 2.0


def main() -> int:
    """Print the figures; the exit code says whether the target is reached."""
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    with tempfile.TemporaryDirectory() as folder:
        _tune(Path(folder))
        rounds = _QUICK_ROUNDS if arguments.quick else _ROUNDS
        times = [(_seconds(folder, "--help"), _seconds(folder, "results")) for _ in range(rounds)]
    shown, found = (statistics.median(column) for column in zip(*times, strict=True))
    report.show("farm --help", shown, Unit.SECONDS)
    report.show("farm results", found, Unit.SECONDS)
    ratio = statistics.median(result / helped for helped, result in times)
    report.at_most("farm results over farm --help, in pairs", ratio, _TARGET, Unit.TIMES)
    return report.close()


def _tune(folder: Path) -> None:
    examples = ROOT / "examples"
    _farm(
        str(folder),
        *("tune", str(examples / "digits.onnx"), "--data", str(examples / "digits.npz")),
        *("--local", "--trials", _TRIALS, "--budget", _BUDGET),
    )


def _seconds(folder: str, *arguments: str) -> float:
    begin = time.perf_counter()
    _farm(folder, *arguments)
    return time.perf_counter() - begin


def _farm(folder: str, *arguments: str) -> None:
    places = {"FARM_STORE": f"{folder}/farm.db", "XDG_CACHE_HOME": f"{folder}/cache"}
    subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *arguments],
        cwd=folder,
        env={**os.environ, **places},
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    sys.exit(main())
