"""How long the farm takes to begin: to say something, and to have loaded what it measures with.

The store is that of a short `farm tune` of the example model, made in a folder for this script
alone. Everything is a process of its own: `farm --help`, `farm results`, the modules that
`farm tune` and its children import, and `farm tune --trials 2` as a whole, with its children.
They run in turn; the figures are medians, of processor time and of time.

With `--against CHECKOUT` the same is done with another version of the farm, each time before this
one, and the median ratio of the pairs is shown.

Targets: `farm results` takes at most twice as long as `farm --help`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROOT, Report, Unit, options
from farm.units import format_seconds

_ROUNDS, _QUICK_ROUNDS = 21, 3
_TUNES, _QUICK_TUNES = 3, 1
_TRIALS, _BUDGET = "8", "10s"
_TARGET = 2.0
_HELP, _RESULTS, _WHOLE = "farm --help", "farm results", "farm tune --trials 2"
_ENGINE = "workers.engines.onnxruntime.session"
_IMPORTED = {
    "what farm tune imports": "tuner.tune, db.store, reports.progress, workers.executor",
    "what a child imports that measures": f"workers.child.main, {_ENGINE}",
    "what the child imports that compiles": "workers.child.main, workers.child.compiling",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """By one process and all that it started: seconds, and seconds of processors."""

    seconds: float
    processor_seconds: float


Round = tuple[Spent, ...]
"""Of one command with each version of the farm, this one last."""


def main() -> int:
    """Print the figures; the exit code says whether the target is reached."""
    parser = options(__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another version's files")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    checkouts = [path.resolve() for path in (arguments.against, ROOT) if path]
    rounds, tunes = (_QUICK_ROUNDS, _QUICK_TUNES) if arguments.quick else (_ROUNDS, _TUNES)
    commands = {_HELP: ["cli.py", "--help"], _RESULTS: ["cli.py", "results"]}
    commands |= {name: ["-c", f"import {modules}"] for name, modules in _IMPORTED.items()}
    with tempfile.TemporaryDirectory() as folder:
        stores = {checkout: Path(folder) / str(at) for at, checkout in enumerate(checkouts)}
        _in_turn(stores, {"": _tune(_TRIALS)}, 1)  # compilers have built what they keep, too
        found = _in_turn(stores, commands, rounds) | _in_turn(stores, {_WHOLE: _tune("2")}, tunes)
    for name, times in found.items():
        _show(report, name, times)
    pairs = zip(found[_HELP], found[_RESULTS], strict=True)
    ratio = statistics.median(
        results[-1].seconds / helped[-1].seconds for helped, results in pairs
    )
    report.at_most("farm results over farm --help, in pairs", ratio, _TARGET, Unit.TIMES)
    return report.close()


def _show(report: Report, name: str, times: Sequence[Round]) -> None:
    report.show(f"{name}, processor time", _median(times, -1), Unit.SECONDS)
    elapsed = statistics.median(each[-1].seconds for each in times)
    report.show(f"{name}, time", elapsed, Unit.SECONDS)
    if len(times[0]) > 1:
        ratio = statistics.median(
            new.processor_seconds / old.processor_seconds for old, new in times
        )
        note = f"{format_seconds(_median(times, 0))} there"
        report.show(f"{name}, processor time over the other's", ratio, Unit.TIMES, note)


def _median(times: Sequence[Round], at: int) -> float:
    return statistics.median(each[at].processor_seconds for each in times)


def _in_turn(
    stores: Mapping[Path, Path], commands: Mapping[str, Sequence[str]], rounds: int
) -> dict[str, list[Round]]:
    """So many rounds of all commands, each with every checkout. stores: their folders."""
    found: dict[str, list[Round]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(tuple(_spent(*place, command) for place in stores.items()))
    return found


def _tune(trials: str) -> list[str]:
    examples = ROOT / "examples"
    given = [str(examples / "digits.onnx"), "--data", str(examples / "digits.npz")]
    return ["cli.py", "tune", *given, "--local", "--trials", trials, "--budget", _BUDGET]


def _spent(checkout: Path, folder: Path, command: Sequence[str]) -> Spent:
    """By Python with a script of a checkout, or with ``-c``. Raises RuntimeError: it fails."""
    folder.mkdir(exist_ok=True)
    places = {
        "FARM_STORE": str(folder / "farm.db"),
        "PYTHONPATH": str(checkout),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    first = "-c" if command[0] == "-c" else str(checkout / command[0])
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, first, *command[1:]],
        cwd=folder,
        env={**os.environ, **places},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)  # tells of its children, too
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode}.")
    return Spent(seconds, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    sys.exit(main())
