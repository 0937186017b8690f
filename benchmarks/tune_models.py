"""What ``farm tune`` finds on real models, in two minutes each.

Each model is tuned by ``farm tune --json`` in a process of its own. Targets, baseline latency over
the winner's as the confirmation measured it:

- ``kws``: MLPerf Tiny keyword spotting on real data, at least 2.8 (the stretch is 3.2), accuracy
  drop at most 0.01 on the confirmation part;
- ``ultraface``: face detector, synthetic data, at least 1.2;
- ``resnet50``: from the onnx package's own test data, at least 3.5;
- ``transformer``: four-layer encoder of ``models.py``, at least 2.5;
- ``silero``: voice activity detector, tuned, or every failed engine explained.

On every model: never slower than the baseline. Files that are not in ``--models`` and ``--data``
are skipped with a note.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from common import ROOT, Report, Unit, options
from models import resnet50_path, transformer_encoder
from pydantic import BaseModel

from db.records import Trial
from db.store import Store
from farm.candidate import from_json
from farm.measurement import Outcome

MAX_DROP = 0.01
QUICK_BUDGET = "20s"


@dataclass(frozen=True, slots=True)
class Case:
    """One model to tune. target: least ratio; 1.0 where it only must not be slower.

    model, data: file names in the folders that the user gave, or absolute paths.
    """

    name: str
    model: Path
    target: float
    data: Path | None = None
    stretch: float | None = None
    shapes: tuple[str, ...] = ()

    def missing(self) -> list[Path]:
        """Files that are not there."""
        return [path for path in (self.model, self.data) if path and not path.is_file()]


class Ratio(BaseModel):
    """Baseline latency over winner latency."""

    estimate: float
    ci: tuple[float, float] | None


class Accuracy(BaseModel):
    """Accuracy on the confirmation part."""

    metric: str
    baseline: float
    winner: float
    samples: int


class Latency(BaseModel):
    """Seconds."""

    value: float


class Measured(BaseModel):
    """A candidate as the confirmation measured it."""

    label: str
    latency: Latency


class Device(BaseModel):
    """What ``farm tune --json`` says of one device; what this script does not use is ignored."""

    status: str
    reason: str
    verdict: str | None
    baseline: Measured | None
    winner: Measured | None
    ratio: Ratio | None
    accuracy: Accuracy | None
    trials: dict[Outcome, int]


class Tuned(BaseModel):
    """The object that ``farm tune --json`` prints."""

    run: str
    devices: list[Device]


def main() -> int:
    """Tune every model; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--models", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--data", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--budget", default="2m")
    parser.add_argument("--only", metavar="NAME", action="append", help="repeatable")
    parser.add_argument("--quick", action="store_true", help=f"a budget of {QUICK_BUDGET} each")
    arguments = parser.parse_args()
    budget = QUICK_BUDGET if arguments.quick else arguments.budget
    with tempfile.TemporaryDirectory(prefix="farm-tune-models-") as name:
        known = {case.name: case for case in cases(arguments.models, arguments.data, Path(name))}
        wanted = arguments.only or list(known)
        if unknown := [each for each in wanted if each not in known]:
            parser.error(f"unknown model {', '.join(unknown)}; known are {', '.join(known)}")
        report = Report(__file__, arguments.json)
        for each in wanted:
            examine(report, known[each], Path(name), budget)
    return report.close()


def cases(models: Path, data: Path, folder: Path) -> Iterator[Case]:
    """All models; those that are made here are written to ``folder``."""
    kws = models / "mlperf_tiny_kws_dscnn.onnx"
    yield Case("kws", kws, 2.8, data / "kws_600.npz", stretch=3.2)
    yield Case("ultraface", models / "ultraface_rfb320.onnx", 1.2)
    yield Case("resnet50", resnet50_path(), 3.5)
    encoder = folder / "transformer_encoder.onnx"
    onnx.save(transformer_encoder(), encoder)
    yield Case("transformer", encoder, 2.5)
    yield Case("silero", models / "silero_vad_16k.onnx", 1.0, shapes=("sequence=512",))


def examine(report: Report, case: Case, folder: Path, budget: str) -> None:
    """Tune one model and judge what came out."""
    if missing := case.missing():
        report.say(f"{case.name}: skipped, there is no {missing[0]}")
        return
    store = folder / f"{case.name}.db"
    done = tune(case, store, folder / case.name, budget)
    report.at_most(f"{case.name}: exit code", abs(done.returncode), 0, Unit.COUNT)
    if done.returncode != 0:
        report.say(done.stderr.strip()[-1000:])
        return
    tuned = Tuned.model_validate_json(done.stdout)
    (device,) = tuned.devices
    judge(report, case, device)
    explain(report, case, store)


def tune(case: Case, store: Path, output: Path, budget: str) -> subprocess.CompletedProcess[str]:
    """Run ``farm tune`` like a user would."""
    command: list[str | Path] = [sys.executable, "-m", "cli", "tune", case.model, "--json"]
    command += ["--budget", budget, "--store", store, "--output", output]
    command += ["--data", case.data] if case.data else []
    for shape in case.shapes:
        command += ["--shape", shape]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def judge(report: Report, case: Case, device: Device) -> None:
    """Ratio, accuracy and outcomes."""
    name = case.name
    if device.baseline is None or device.winner is None:
        report.at_least(f"{name}: tuned", 0, 1, Unit.COUNT, f"{device.status}: {device.reason}")
        return
    ratio = device.ratio.estimate if device.ratio else 1.0  # without one, the baseline has won
    interval = ""
    if device.ratio and device.ratio.ci:
        interval = "95 % interval {:.3f} to {:.3f}".format(*device.ratio.ci)
    report.at_least(f"{name}: baseline over winner", ratio, case.target, Unit.TIMES, interval)
    if case.target > 1.0:
        report.at_least(f"{name}: not slower than the baseline", ratio, 1.0, Unit.TIMES)
    if case.stretch:
        reached = "reached" if ratio >= case.stretch else "not reached"
        report.say(f"{name}: stretch of {case.stretch} {reached}")
    report.show(f"{name}: baseline", device.baseline.latency.value, Unit.SECONDS)
    report.show(f"{name}: winner", device.winner.latency.value, Unit.SECONDS, device.winner.label)
    if device.accuracy:
        judge_accuracy(report, name, device.accuracy)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in device.trials.items())
    report.show(f"{name}: trials", sum(device.trials.values()), Unit.COUNT, outcomes)
    report.say(f"{name}: {device.verdict}")


def judge_accuracy(report: Report, name: str, accuracy: Accuracy) -> None:
    """The drop that the winner costs."""
    note = (
        f"{accuracy.metric}: {accuracy.baseline:.4f} to {accuracy.winner:.4f} on "
        f"{accuracy.samples} samples"
    )
    drop = accuracy.baseline - accuracy.winner
    report.at_most(f"{name}: accuracy drop", drop, MAX_DROP, Unit.SHARE, note)


def explain(report: Report, case: Case, store_file: Path) -> None:
    """Every trial that failed has a message; engines of which none succeeded are named."""
    with Store.open(str(store_file)) as store:
        trials = store.trials()
        engines = {
            trial.candidate_id: from_json(store.candidate(trial.candidate_id).json).engine.kind
            for trial in trials
        }
    failed = [trial for trial in trials if trial.outcome is not Outcome.OK]
    silent = [trial for trial in failed if not trial.message.strip()]
    name = f"{case.name}: failed trials without an explanation"
    report.at_most(name, len(silent), 0, Unit.COUNT, f"{len(failed)} failed")
    for engine in dict.fromkeys(engines.values()):
        own = [trial for trial in trials if engines[trial.candidate_id] == engine]
        if not any(trial.outcome is Outcome.OK for trial in own):
            report.say(f"{case.name}: {engine} never ran: {first_message(own)}")


def first_message(trials: Sequence[Trial]) -> str:
    """Why the first of them failed."""
    return next((f"{trial.outcome}: {trial.message}" for trial in trials), "no trial")


if __name__ == "__main__":
    sys.exit(main())
