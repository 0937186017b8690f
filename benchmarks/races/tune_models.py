"""What ``farm tune`` finds on real models, in two or three minutes each.

Each model is tuned by ``farm tune --json`` in a process of its own. Targets, baseline latency over
the winner's as the confirmation measured it:

- ``kws``: MLPerf Tiny keyword spotting on real data, for ``cpu,dsp`` with 3 minutes each: at
  least 6 on cpu, on dsp a package with its packets and arena; accuracy drop at most 0.01 on both;
- ``ultraface``: face detector, synthetic data, at least 1.2;
- ``resnet50``: of ``inputs/models.py``, on random images, at least 3.5;
- ``transformer``: four-layer encoder of ``inputs/models.py``, at least 2.5;
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

import numpy as np
import onnx
from pydantic import BaseModel

from benchmarks.common import ROOT, Report, Unit, options
from benchmarks.inputs.models import random_images, transformer_encoder
from benchmarks.inputs.resnet import resnet50
from db.records import Trial
from db.store import Store
from farm.candidate import from_json
from farm.measurement import Outcome

MAX_DROP = 0.01
QUICK_BUDGET = "20s"


@dataclass(frozen=True, slots=True)
class Case:
    """One model to tune. target: least ratio on cpu; 1.0 where it only must not be slower.

    model, data: file names in the folders that the user gave, or absolute paths. budget: empty
    for the script's.
    """

    name: str
    model: Path
    target: float
    data: Path | None = None
    budget: str = ""
    devices: tuple[str, ...] = ("cpu",)
    shapes: tuple[str, ...] = ()

    def missing(self) -> list[Path]:
        """Files that are not there."""
        return [path for path in (self.model, self.data) if path and not path.is_file()]


class Ratio(BaseModel):
    """Baseline latency over winner latency."""

    estimate: float
    ci: tuple[float, float] | None


class Accuracy(BaseModel):
    """Accuracy on the confirmation part; None where it cannot be judged."""

    metric: str
    baseline: float | None
    winner: float | None
    samples: int


class Value(BaseModel):
    """A metric, in its unit."""

    value: float


class Measured(BaseModel):
    """A candidate as the confirmation measured it. packets, arena: of packages."""

    label: str
    latency: Value
    packets: Value | None = None
    arena: Value | None = None


class Device(BaseModel):
    """What ``farm tune --json`` says of one device; what this script does not use is ignored."""

    device: str
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
            examine(report, known[each], Path(name), budget, quick=arguments.quick)
    return report.close()


def cases(models: Path, data: Path, folder: Path) -> Iterator[Case]:
    """All models; those that are made here are written to ``folder``."""
    kws = models / "mlperf_tiny_kws_dscnn.onnx"
    yield Case("kws", kws, 6.0, data / "kws_600.npz", "3m", ("cpu", "dsp"))
    yield Case("ultraface", models / "ultraface_rfb320.onnx", 1.2)
    resnet, images = folder / "resnet50.onnx", folder / "resnet50.npz"
    onnx.save(resnet50(), resnet)
    np.savez(images, image=random_images())
    yield Case("resnet50", resnet, 3.5, images)
    encoder = folder / "transformer_encoder.onnx"
    onnx.save(transformer_encoder(), encoder)
    yield Case("transformer", encoder, 2.5)
    yield Case("silero", models / "silero_vad_16k.onnx", 1.0, shapes=("sequence=512",))


def examine(report: Report, case: Case, folder: Path, budget: str, *, quick: bool) -> None:
    """Tune one model and judge what came out."""
    if missing := case.missing():
        report.say(f"{case.name}: skipped, there is no {missing[0]}")
        return
    store = folder / f"{case.name}.db"
    time = budget if quick else case.budget or budget
    done = tune(case, store, folder / case.name, time)
    report.at_most(f"{case.name}: exit code", abs(done.returncode), 0, Unit.COUNT)
    if done.returncode != 0:
        report.say(done.stderr.strip()[-1000:])
        return
    tuned = Tuned.model_validate_json(done.stdout)
    for device in tuned.devices:
        judge(report, case, device)
    explain(report, case, store)


def tune(case: Case, store: Path, output: Path, budget: str) -> subprocess.CompletedProcess[str]:
    """Run ``farm tune`` like a user would."""
    command: list[str | Path] = [sys.executable, "-m", "cli", "tune", case.model, "--json"]
    command += ["--devices", ",".join(case.devices)]
    command += ["--budget", budget, "--store", store, "--output", output]
    command += ["--data", case.data] if case.data else []
    for shape in case.shapes:
        command += ["--shape", shape]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def judge(report: Report, case: Case, device: Device) -> None:
    """Ratio, accuracy and outcomes."""
    name = case.name if len(case.devices) == 1 else f"{case.name} on {device.device}"
    target = case.target if device.device == "cpu" else 1.0
    if device.baseline is None or device.winner is None:
        report.at_least(f"{name}: tuned", 0, 1, Unit.COUNT, f"{device.status}: {device.reason}")
        return
    ratio = device.ratio.estimate if device.ratio else 1.0  # without one, the baseline has won
    interval = ""
    if device.ratio and device.ratio.ci:
        interval = "95 % interval {:.3f} to {:.3f}".format(*device.ratio.ci)
    report.at_least(f"{name}: baseline over winner", ratio, target, Unit.TIMES, interval)
    if target > 1.0:
        report.at_least(f"{name}: not slower than the baseline", ratio, 1.0, Unit.TIMES)
    report.show(f"{name}: baseline", device.baseline.latency.value, Unit.SECONDS)
    report.show(f"{name}: winner", device.winner.latency.value, Unit.SECONDS, device.winner.label)
    for metric, found in (("packets", device.winner.packets), ("arena", device.winner.arena)):
        if found is not None:
            report.show(f"{name}: {metric}", found.value, Unit.COUNT)
    if device.accuracy:
        judge_accuracy(report, name, device.accuracy)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in device.trials.items())
    report.show(f"{name}: trials", sum(device.trials.values()), Unit.COUNT, outcomes)
    report.say(f"{name}: {device.verdict}")


def judge_accuracy(report: Report, name: str, accuracy: Accuracy) -> None:
    """The drop that the winner costs."""
    if accuracy.baseline is None or accuracy.winner is None:
        report.say(f"{name}: accuracy by {accuracy.metric} cannot be judged")
        return
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
