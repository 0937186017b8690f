"""What the benchmark scripts share: figures with their targets, and the report of a script."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from farm.candidate import Candidate, OnnxRuntimeCpu
from farm.units import format_seconds
from tuner.request import TuneRequest
from workers.fingerprint import fingerprint, software_versions

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = Candidate(OnnxRuntimeCpu(threads=1))
"""The candidate that is measured where no other is asked for: nothing waits for a second core."""


class Unit(StrEnum):
    """How a figure is written. Shares are kept as 0.05 and written as 5.0 %."""

    SHARE = "share"
    SECONDS = "seconds"
    TIMES = "times"
    COUNT = "count"


class Bound(StrEnum):
    """Which side of the target is the good one."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. target: None where the figure is only shown, and cannot fail."""

    name: str
    value: float
    unit: Unit
    bound: Bound | None = None
    target: float | None = None
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether the target is kept."""
        if self.target is None:
            return True
        at_most = self.bound is Bound.AT_MOST
        return self.value <= self.target if at_most else self.value >= self.target

    def __str__(self) -> str:
        """One line of the report."""
        show = _FORMATS[self.unit]
        verdict, target = "    ", ""
        if self.target is not None:
            verdict = "PASS" if self.reached else "FAIL"
            target = f"{self.bound} {show(self.target)}"
        note = f"  ({self.note})" if self.note else ""
        return f"{verdict}  {self.name:<66}{show(self.value):>10}   {target}{note}".rstrip()


class Report:
    """The figures of one script, printed as they come.

    The first line names the machine. json_file: takes all figures at the end.
    """

    def __init__(self, script: str, json_file: Path | None = None) -> None:
        self._script = Path(script).name
        self._json_file = json_file
        self._figures: list[Figure] = []
        print(f"machine: {fingerprint().describe()}", flush=True)

    def at_most(
        self, name: str, value: float, target: float, unit: Unit = Unit.SHARE, note: str = ""
    ) -> None:
        """A figure that must not be above its target."""
        self._take(Figure(name, value, unit, Bound.AT_MOST, target, note))

    def at_least(
        self, name: str, value: float, target: float, unit: Unit = Unit.SHARE, note: str = ""
    ) -> None:
        """A figure that must not be below its target."""
        self._take(Figure(name, value, unit, Bound.AT_LEAST, target, note))

    def show(self, name: str, value: float, unit: Unit = Unit.SHARE, note: str = "") -> None:
        """A figure without a target."""
        self._take(Figure(name, value, unit, note=note))

    def say(self, text: str) -> None:
        """A line that explains the figures around it."""
        print(f"      {text}", flush=True)

    def close(self) -> int:
        """Write the JSON file if one was asked for; the script's exit code: 1 if one failed."""
        if self._json_file is not None:
            machine = asdict(fingerprint()) | {"software": software_versions()}
            figures = [asdict(figure) | {"reached": figure.reached} for figure in self._figures]
            content = {"script": self._script, "machine": machine, "figures": figures}
            self._json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return 0 if all(figure.reached for figure in self._figures) else 1

    def _take(self, figure: Figure) -> None:
        self._figures.append(figure)
        print(figure, flush=True)


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every script has. description: the script's docstring."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    return parser


def digits_request(device: str) -> TuneRequest:
    """A request for the example model of the repository."""
    examples = ROOT / "examples"
    model, data = examples / "digits.onnx", examples / "digits.npz"
    return TuneRequest(str(model), (device,), data=str(data))


_FORMATS: dict[Unit, Callable[[float], str]] = {
    Unit.SHARE: "{:.1%}".format,
    Unit.SECONDS: format_seconds,
    Unit.TIMES: "{:.3f}".format,
    Unit.COUNT: "{:.0f}".format,
}
