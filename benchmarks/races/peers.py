"""The farm's winner against the best of every engine, each by its own documented way.

For each model ``farm tune`` looks for a winner. Then the baseline, the winner as it was delivered,
and the rivals run in the same blocks, three races of them: ONNX Runtime as its documentation says,
in float and in int8 by its own tool, and OpenVINO as ``benchmark_app -hint latency`` runs it, in
its default arithmetic, in float32, and in int8 by NNCF. Every one has the same number of threads,
and one thread, too; a rival whose accuracy does not hold the farm's own limit takes no part. The
race whose ratio is the median of the three counts. Targets: no rival is faster than the winner for
certain; the winner is at least 1.3 times as fast as the best rival on half of the models; over the
baseline 2.0 on the transformer, 3.0 on ResNet-50 and 2.0 on ultraface (on AMD's processors).

    python -m benchmarks.races.peers --models DIR --data DIR --nncf INTERPRETER
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from benchmarks.common import ROOT, Report, Unit, options
from benchmarks.inputs.models import LIGHT, save_arrays, write_models
from benchmarks.races.rivals.quantise import by_nncf, by_onnxruntime
from benchmarks.races.rivals.race import RivalError, answers, race
from benchmarks.races.rivals.sessions import Kind, Rival
from benchmarks.races.tune_models import Device, Tuned
from farm.accuracy.evaluate import accuracy
from farm.accuracy.metric import choose_metric, default_limit, own_accuracy
from farm.accuracy.outputs import Outputs, Reference, stacked
from farm.dataset import Part, Splits, load_dataset, split, synthetic_dataset
from farm.measurement import Estimate
from farm.model.model import load_model
from farm.units import format_seconds
from tuner.racing.statistics import FloatArray, compare
from workers.fingerprint import fingerprint

_RACES = 3
_CLEARLY = 1.3
_SAMPLES = 100  # that are made up where there is no data


@dataclass(frozen=True, slots=True)
class Case:
    """One model. goal: of baseline over winner on AMD's processors, 0.0 for none."""

    name: str
    model: Path
    data: Path | None = None
    goal: float = 0.0
    shapes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """Ratios of one model: baseline and best rival over the winner, of the median race."""

    case: Case
    over_baseline: Estimate
    over_rival: Estimate
    rival: str


def main() -> int:
    """Run the benchmark; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--models", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--data", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--nncf", type=Path, metavar="PYTHON", help="an interpreter with NNCF")
    parser.add_argument("--budget", default="2m", help="of `farm tune`, each")
    parser.add_argument("--threads", type=int, default=fingerprint().cores)
    parser.add_argument("--lives", type=int, default=1, help="of the processes in each race")
    parser.add_argument("--only", metavar="NAME", action="append", help="repeatable")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farm-peers-") as name:
        folder = Path(name)
        write_models(folder)
        known = {case.name: case for case in _cases(arguments.models, arguments.data, folder)}
        wanted = arguments.only or list(known)
        if unknown := [each for each in wanted if each not in known]:
            parser.error(f"unknown model {', '.join(unknown)}; known are {', '.join(known)}")
        report = Report(__file__, arguments.json)
        report.say(f"{arguments.threads} threads; each tuned for {arguments.budget}")
        results: list[Result] = []
        for each in wanted:
            case = known[each]
            if missing := [path for path in (case.model, case.data) if path and not path.exists()]:
                report.say(f"{each}: skipped, there is no {missing[0]}")
                continue
            place = folder / each
            place.mkdir()
            results += _Examination(report, case, place, arguments).run()
        _summarise(report, results)
    return report.close()


def _cases(models: Path, data: Path, folder: Path) -> Iterator[Case]:
    yield Case("kws", models / "mlperf_tiny_kws_dscnn.onnx", data / "kws_600.npz")
    yield Case("ic", models / "mlperf_tiny_ic_resnet8.onnx", folder / "ic_resnet8.npz")
    for name in ("ad_autoencoder", "vww_mobilenet"):
        yield Case(name, folder / f"{name}.onnx", folder / f"{name}.npz")
    yield Case("ultraface", models / "ultraface_rfb320.onnx", goal=2.0)
    yield Case("silero", models / "silero_vad_16k.onnx", shapes=("sequence=512",))
    yield Case("transformer", folder / "transformer_encoder.onnx", goal=2.0)
    yield Case("resnet50", folder / "resnet50.onnx", folder / "resnet50.npz", goal=3.0)
    for name in LIGHT:
        yield Case(name, folder / f"{name}.onnx", folder / "resnet50.npz")


class _Examination:
    """Of one model. place: an empty folder."""

    def __init__(self, report: Report, case: Case, place: Path, arguments: object) -> None:
        self._report = report
        self._case = case
        self._place = place
        self._threads: int = arguments.threads  # type: ignore[attr-defined]
        self._budget: str = arguments.budget  # type: ignore[attr-defined]
        self._lives: int = arguments.lives  # type: ignore[attr-defined]
        self._nncf: Path | None = arguments.nncf  # type: ignore[attr-defined]

    def run(self) -> Iterator[Result]:
        """The result, if there is one."""
        winner = self._tuned()
        if winner is None:
            return
        model, parts = self._prepared()
        rivals = self._within_limit(list(self._rivals(model)), parts)
        baseline = Rival("baseline", "", "onnxruntime", model)
        entrants = [baseline, Rival("winner", "", "winner", winner), *rivals]
        feeds = self._place / "feeds.npz"
        save_arrays(feeds, next(iter(parts.confirmation.samples())))
        races = [race(entrants, feeds, self._lives, seed) for seed in range(_RACES)]
        yield self._judged(entrants, races)

    def _tuned(self) -> Path | None:
        """The folder of the delivered winner."""
        case, output = self._case, self._place / "out"
        command: list[str | Path] = [sys.executable, "-m", "cli", "tune", case.model, "--json"]
        command += ["--devices", "cpu", "--threads", str(self._threads), "--budget", self._budget]
        command += ["--store", self._place / "store.db", "--output", output]
        command += ["--data", case.data] if case.data else []
        for shape in case.shapes:
            command += ["--shape", shape]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        self._report.at_most(f"{case.name}: exit code", done.returncode, 0, Unit.COUNT)
        if done.returncode != 0:
            self._report.say(done.stderr.strip()[-500:])
            return None
        (device,) = Tuned.model_validate_json(done.stdout).devices
        self._tell(device)
        return output / "cpu"

    def _tell(self, device: Device) -> None:
        label = device.winner.label if device.winner else "none"
        found = device.accuracy.winner if device.accuracy else None
        accurate = "" if found is None else f", accuracy {found:.4f}"
        self._report.say(f"{self._case.name}: the winner is {label}{accurate}")

    def _prepared(self) -> tuple[Path, Splits]:
        """The model with its shapes fixed, as all run it, and its data."""
        case = self._case
        shapes = dict(shape.split("=") for shape in case.shapes)
        model = load_model(case.model, {name: int(size) for name, size in shapes.items()})
        data = load_dataset(case.data, model) if case.data else None
        path = self._place / "model.onnx"
        onnx.save(model.proto, path)
        parts = split(data or synthetic_dataset(model, _SAMPLES, 0), 0)
        for name, part in (("calibration", parts.calibration), ("accuracy", parts.confirmation)):
            _save(part, self._place / f"{name}.npz")
        return path, parts

    def _rivals(self, model: Path) -> Iterator[Rival]:
        for threads in dict.fromkeys((self._threads, 1)):
            text = f"{threads} thread{'s' if threads > 1 else ''}"
            ort, openvino = f"onnxruntime {text}", f"openvino {text}"
            yield Rival(f"{ort} float32", "onnxruntime", "onnxruntime", model, threads)
            yield Rival(f"{openvino} default", "openvino", "openvino", model, threads)
            yield Rival(f"{openvino} float32", "openvino", "openvino-float32", model, threads)
            for name, kind, path in self._quantised(model):
                label = ort if kind == "onnxruntime" else openvino
                yield Rival(f"{label} {name}", kind, kind, path, threads)

    def _quantised(self, model: Path) -> Iterator[tuple[str, Kind, Path]]:
        """Int8 models by each engine's own tool, made once."""
        calibration = self._place / "calibration.npz"
        target = self._place / "onnxruntime-int8.onnx"
        try:
            if not target.exists():
                by_onnxruntime(model, calibration, target)
            yield "int8", "onnxruntime", target
        except Exception as error:  # noqa: BLE001  (whatever the tool raises is its result)
            self._report.say(f"{self._case.name}: ONNX Runtime's tool: {_line(error)}")
        if self._nncf is None:
            return
        target = self._place / "nncf.xml"
        why = "" if target.exists() else by_nncf(self._nncf, model, calibration, target)
        if why:
            self._report.say(f"{self._case.name}: NNCF: {why}")
        else:
            yield "int8 (NNCF)", "openvino", target

    def _within_limit(self, rivals: Sequence[Rival], parts: Splits) -> list[Rival]:
        """Rivals that run the model and lose no more than the farm allows itself.

        Where accuracy cannot be judged those in float32, which is all that the farm allows itself.
        """
        data = self._place / "accuracy.npz"
        reference = Reference(_outputs(rivals[0], data))
        metric = choose_metric(reference, parts.confirmation.labels)
        given = accuracy(metric, reference.outputs, reference, parts.confirmation.labels).value
        kept = []
        for rival in rivals:
            try:
                outputs = _outputs(rival, data)
                found = accuracy(metric, outputs, reference, parts.confirmation.labels).value
            except RivalError as error:
                self._report.say(f"{self._case.name}: {rival.name}: {error}")
                continue
            name = f"{self._case.name}: {rival.name} takes no part"
            own = own_accuracy(metric.name, given)
            if found is not None and own is not None and own - found > default_limit(metric.name):
                self._report.say(f"{name}: it loses {own - found:.3f} of {metric.name}")
            elif (found is None or given is None) and not rival.name.endswith("float32"):
                self._report.say(f"{name}: its accuracy cannot be judged")
            else:
                kept.append(rival)
        return kept

    def _judged(self, entrants: Sequence[Rival], races: Sequence[FloatArray]) -> Result:
        case, report = self._case, self._report
        together = np.median(np.concatenate(races), axis=0)
        report.show(f"{case.name}: baseline", together[0], Unit.SECONDS)
        report.show(f"{case.name}: winner", together[1], Unit.SECONDS)
        best: dict[str, int] = {}
        for index in sorted(range(2, len(entrants)), key=lambda i: together[i]):
            best.setdefault(entrants[index].engine, index)
        ratios = {index: _median_race(races, index) for index in (0, *best.values())}
        for index in best.values():
            ratio = ratios[index]
            note = f"{ratio.low:.3f} to {ratio.high:.3f}; {format_seconds(together[index])}"
            name = f"{case.name}: best of {entrants[index].engine} over winner"
            report.show(name, ratio.value, Unit.TIMES, f"{entrants[index].name}, {note}")
        first = min(best.values(), key=lambda i: together[i])
        over = ratios[0]
        note = f"95 % interval {over.low:.3f} to {over.high:.3f}"
        name = f"{case.name}: baseline over winner"
        report.show(name, over.value, Unit.TIMES, note)
        if case.goal and "AMD" in fingerprint().cpu:
            report.at_least(f"{name}, upper end", over.high, case.goal, Unit.TIMES)
        name = f"{case.name}: upper end of best rival over winner"
        report.at_least(name, ratios[first].high, 1.0, Unit.TIMES, entrants[first].name)
        return Result(case, over, ratios[first], entrants[first].name)


def _median_race(races: Sequence[FloatArray], index: int) -> Estimate:
    """An entrant over the winner, of the race whose ratio is the median."""
    found = [compare(seconds[:, 1], seconds[:, index]).ratio for seconds in races]
    return sorted(found, key=lambda ratio: ratio.value)[len(found) // 2]


def _summarise(report: Report, results: Sequence[Result]) -> None:
    report.show("models", len(results), Unit.COUNT)
    clearly = sum(result.over_rival.value >= _CLEARLY for result in results)
    half = (len(results) + 1) // 2
    name = f"models whose winner is {_CLEARLY} times as fast as the best rival"
    report.at_least(name, clearly, half, Unit.COUNT)


def _save(part: Part, path: Path) -> None:
    samples = list(part.samples())
    save_arrays(path, {name: np.stack([s[name] for s in samples]) for name in samples[0]})


def _outputs(rival: Rival, data: Path) -> Outputs:
    """By output, over all samples. Raises RivalError."""
    return [stacked(each) for each in zip(*answers(rival, data), strict=True)]


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


if __name__ == "__main__":
    sys.exit(main())
