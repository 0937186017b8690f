"""A fresh clone with nothing installed: how long ``make demo`` and ``make test`` take.

Clones the repository's HEAD to a temporary folder and runs them there with an empty home folder:
no caches, no earlier store, no virtual environment. Targets: ``make demo`` at most 4 minutes, the
tuning part of it at most 2; with ``--test``, ``make test`` at most 10 minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROOT, Report, Unit, options

DEMO_SECONDS = 4 * 60.0
TUNING_SECONDS = 2 * 60.0
TEST_SECONDS = 10 * 60.0
_TUNING_BEGINS = ".venv/bin/farm tune"  # make prints the command before it runs it
_LAST_LINES = 20


@dataclass(frozen=True, slots=True)
class Made:
    """What one make target did. tuning_seconds: since the farm was started; 0 if it never was."""

    succeeded: bool
    seconds: float
    tuning_seconds: float
    lines: tuple[str, ...]


def main() -> int:
    """Clone, make, print; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--test", action="store_true", help="run make test, too")
    parser.add_argument("--quick", action="store_true", help="make demo with a budget of 20 s")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    with tempfile.TemporaryDirectory(prefix="farm-demo-") as name:
        folder = Path(name)
        clone(folder / "farm")
        budget = ["BUDGET=20s"] if arguments.quick else []
        demo = make(folder, "demo", *budget)
        judge(report, "make demo", demo, DEMO_SECONDS)
        report.at_most("  its tuning part", demo.tuning_seconds, TUNING_SECONDS, Unit.SECONDS)
        if arguments.test:
            judge(report, "make test", make(folder, "test"), TEST_SECONDS)
    return report.close()


def clone(target: Path) -> None:
    """The repository's HEAD, without anything that is not committed."""
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, target], check=True)


def make(folder: Path, *arguments: str) -> Made:
    """Run make in the clone, and watch what it prints."""
    started = time.monotonic()
    tuning = 0.0
    lines = []
    with subprocess.Popen(
        ["make", *arguments],
        cwd=folder / "farm",
        env=clean_environment(os.environ, folder / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None  # it is a pipe
        for line in process.stdout:
            if line.startswith(_TUNING_BEGINS):
                tuning = time.monotonic()
            lines.append(line.rstrip())
    ended = time.monotonic()
    since = ended - tuning if tuning else 0.0
    return Made(process.returncode == 0, ended - started, since, tuple(lines))


def clean_environment(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """An environment whose home is empty and in which no virtual environment is active."""
    home.mkdir(exist_ok=True)
    active = environment.get("VIRTUAL_ENV", sys.prefix)
    paths = environment.get("PATH", os.defpath).split(os.pathsep)
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("XDG_", "FARM_", "PYTHON")) and name != "VIRTUAL_ENV"
    }
    outside = [path for path in paths if not Path(path).is_relative_to(active)]
    return kept | {"HOME": str(home), "PATH": os.pathsep.join(outside)}


def judge(report: Report, name: str, made: Made, target: float) -> None:
    """How long it took, and that it succeeded; the end of what it printed where it did not."""
    report.at_most(name, made.seconds, target, Unit.SECONDS)
    report.at_least(f"  {name} succeeded", float(made.succeeded), 1, Unit.COUNT)
    if not made.succeeded:
        for line in made.lines[-_LAST_LINES:]:
            report.say(line)


if __name__ == "__main__":
    sys.exit(main())
