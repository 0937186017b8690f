"""Nights with real engines: what is there must be found, and nothing else.

``python -m benchmarks.nights.nightly_real --models DIR``, in three parts (``--part``):

- ``quiet``: fourteen nights back to back of two models, nothing changed in between: no regression
  and no improvement may be reported.
- ``spin``: after three nights ONNX Runtime spends 3 % more on each run, in a loop of its own: the
  first night after must report it, confirmed.
- ``versions``: two versions of ONNX Runtime in the same blocks, on six models at least: every
  difference above 3 % is reported with its interval, as confirmed or as inconclusive, and
  ``farm nightly bisect`` names version and operator of the largest.

Packages are installed from the index that pip knows. Everything is kept in a folder of its own.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.common import ROOT, Report, Unit, options
from benchmarks.inputs.models import write_models
from workers.environments.install import install
from workers.environments.resolve import resolve

_NIGHTS = 14
_PARTS = ("quiet", "spin", "versions")
_SLOWER = 0.03
_WORTH_SAYING = 0.03

_SPIN = """
import sys, time
from importlib.abc import MetaPathFinder

class _Spin(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "onnxruntime":
            return None
        sys.meta_path.remove(self)
        import onnxruntime
        run = onnxruntime.InferenceSession.run
        def slower(self, *arguments, **named):
            begin = time.perf_counter()
            found = run(self, *arguments, **named)
            end = time.perf_counter()
            end += (end - begin) * SLOWER
            while time.perf_counter() < end:
                pass
            return found
        onnxruntime.InferenceSession.run = slower
        return onnxruntime.__spec__

sys.meta_path.insert(0, _Spin())
"""


@dataclass(frozen=True, slots=True)
class Night:
    """One invocation of ``farm nightly run``: its exit code and report."""

    code: int
    report: Mapping[str, Any]

    @property
    def cases(self) -> Sequence[Mapping[str, Any]]:
        """The series that it reports."""
        return self.report["cases"]  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Place:
    """Where nights of a benchmark are kept: a home, a store and suites."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make this place the farm's home."""
        home = self.folder / "home"
        return {"XDG_DATA_HOME": str(home / "data"), "XDG_CACHE_HOME": str(home / "cache")}

    def farm(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the farm with this place for its home."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )

    def suite(
        self,
        name: str,
        models: Mapping[str, Path],
        budget: float,
        environments: Mapping[str, Sequence[str]] | None = None,
    ) -> Path:
        """Write a suite of one case per model."""
        lines = [f'name = "{name}"', f'budget = "{budget:g}s"']
        for case, model in models.items():
            lines += ["[[case]]", f'name = "{case}"', f"model = {json.dumps(str(model))}"]
            lines += ["threads = 1"]  # one core's noise is enough
        for environment, packages in (environments or {}).items():
            lines += [f"[environment.{environment}]", f"packages = {json.dumps(list(packages))}"]
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def night(self, suite: Path) -> Night:
        """Run one night."""
        done = self.farm("nightly", "run", suite, "--json")
        if not done.stdout:
            raise SystemExit(f"farm nightly run ended with {done.returncode} and said nothing")
        return Night(done.returncode, json.loads(done.stdout))


def main() -> int:
    """Run the benchmark; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--models", type=Path, required=True, metavar="DIR")
    parser.add_argument("--part", choices=_PARTS, action="append", help="repeatable")
    parser.add_argument("--budget", type=float, default=15.0, help="seconds of a case and night")
    parser.add_argument("--only", action="append", metavar="NAME", help="model; repeatable")
    parser.add_argument("--old", default="onnxruntime==1.24.1", metavar="PACKAGE==VERSION")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    with tempfile.TemporaryDirectory(prefix="farm-nights-") as name:
        folder = Path(name)
        models = _models(arguments.models, folder)
        if arguments.only:
            models = {name: path for name, path in models.items() if name in arguments.only}
        for part in arguments.part or _PARTS:
            place = Place(folder / part)
            place.folder.mkdir()
            match part:
                case "quiet":
                    _quiet(report, place, _few(models), arguments.budget)
                case "spin":
                    _spin(report, place, _few(models), arguments.budget)
                case _:
                    _versions(report, place, models, arguments.budget, arguments.old)
    return report.close()


def _models(given: Path, folder: Path) -> dict[str, Path]:
    """Models by name: those that are given, and those that are made."""
    made = folder / "models"
    made.mkdir()
    write_models(made)
    paths = (*sorted(given.glob("*.onnx")), *sorted(made.glob("*.onnx")))
    return {path.stem: path for path in paths}


def _few(models: Mapping[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in models.items() if "kws" in name or "ic_" in name}


def _quiet(report: Report, place: Place, models: Mapping[str, Path], budget: float) -> None:
    suite = place.suite("quiet", models, budget)
    raised, looked = 0, 0
    for number in range(1, _NIGHTS + 1):
        night = place.night(suite)
        for case in night.cases:
            raised += case["verdict"] in ("regression", "improvement")
            looked += case["change"] is not None
            report.say(f"night {number}: {case['case']}: {case['verdict']}: {case['sentence']}")
    report.show("quiet: nights", _NIGHTS, Unit.COUNT)
    report.show("quiet: changes looked at again and refuted", looked - raised, Unit.COUNT)
    report.at_most("quiet: alarms", raised, 0, Unit.COUNT)


def _spin(report: Report, place: Place, models: Mapping[str, Path], budget: float) -> None:
    suite = place.suite("spin", models, budget)
    for _ in range(3):
        before = place.night(suite)
    report.at_most("spin: exit code of the last night before", before.code, 0, Unit.COUNT)
    _slow_down(place)
    night = place.night(suite)
    for case in night.cases:
        report.say(f"{case['case']}: {case['verdict']}: {case['sentence']}")
    found = [case["verdict"] == "regression" for case in night.cases]
    report.at_least("spin: cases found on the first night", sum(found), len(models), Unit.COUNT)
    report.at_least("spin: exit code of that night", night.code, 1, Unit.COUNT)


def _slow_down(place: Place) -> None:
    """Let ONNX Runtime run in an environment of the same version, with a loop after each run."""
    with patch.dict(os.environ, place.environment):
        packages = [f"onnxruntime=={version('onnxruntime')}"]
        resolved = resolve("spin", ("onnxruntime-cpu",), packages, _print)
        made = install(replace(resolved, name="spin", by_name_only=False), _print)
    (packages_folder,) = made.place.glob("lib/python*/site-packages")
    (packages_folder / "spin.py").write_text(_SPIN.replace("SLOWER", str(_SLOWER)))
    (packages_folder / "spin.pth").write_text("import spin\n")


def _print(text: str) -> None:
    print(text, file=sys.stderr)


def _versions(
    report: Report, place: Place, models: Mapping[str, Path], budget: float, old: str
) -> None:
    suite = place.suite("versions", models, budget, {"old": [old]})
    night = place.night(suite)
    compared = [case for case in night.cases if case["environment"] == "old"]
    report.at_least("versions: models compared", len(compared), 6, Unit.COUNT)
    for case in compared:
        ratio = case["ratio"]
        report.say(
            f"{case['case']}: {old} over {version('onnxruntime')}: {ratio['value']:.3f} "
            f"[{ratio['low']:.3f}, {ratio['high']:.3f}], {case['verdict']}"
        )
    large = [c for c in compared if abs(c["ratio"]["value"] - 1) > _WORTH_SAYING]
    said = [c for c in large if c["verdict"] in ("regression", "improvement", "inconclusive")]
    confirmed = [c for c in said if c["verdict"] != "inconclusive"]
    report.show("versions: differences above 3 %", len(large), Unit.COUNT)
    report.at_least("versions: of these, said to be one", len(said), len(large), Unit.COUNT)
    report.show("versions: of these, confirmed by the second run", len(confirmed), Unit.COUNT)
    if large:
        largest = max(large, key=lambda case: abs(math.log(case["ratio"]["value"])))
        today = f"onnxruntime=={version('onnxruntime')}"
        # What became worse is looked for, in whichever direction of time.
        good, bad = (today, old) if largest["ratio"]["value"] > 1 else (old, today)
        _bisect(report, place, suite, largest["case"], good, bad)


def _bisect(report: Report, place: Place, suite: Path, case: str, good: str, bad: str) -> None:
    """Say which version and which operator the largest difference is of."""
    ends = ("--good", good, "--bad", bad)
    done = place.farm("nightly", "bisect", case, "--suite", suite, *ends, "--json")
    found = json.loads(done.stdout)
    report.say(f"bisect {case}: {found['sentence']}")
    report.at_least("bisect: a version is named", bool(found["first_bad"]), 1, Unit.COUNT)
    report.at_least("bisect: operators are named", len(found["operators"]), 1, Unit.COUNT)


if __name__ == "__main__":
    sys.exit(main())
