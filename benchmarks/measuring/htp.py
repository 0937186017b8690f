"""int8 on Qualcomm's HTP, by its emulator, beside the same graph on ONNX Runtime's CPU provider.

Needs ``pip install 'onnxruntime-qnn>=2.7'``. What it prints is a table for a document, below the
names of machine and packages: accuracy of the same quantised graph by both, on the same samples,
and the size of the context binary with the model that names it. The example's and kws's accuracy
is that of real labels; ic and ultraface are given noise, and what is told is agreement with the
float model. How long anything takes is not told: the emulator's time says nothing about a chip.

    python -m benchmarks.measuring.htp --models DIR --data DIR
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.common import ONE_THREAD, digits_request
from farm.candidate import CHIPS, Candidate, FloatType, OnnxRuntimeQnn, Precision, StaticInt8
from farm.devices.profile import load_profiles
from farm.measurement import Metric
from farm.units import format_bytes
from tuner.request import TuneRequest
from tuner.runs.subject import load_subject
from workers.discovery import engine_availability
from workers.executor import LocalExecutor
from workers.fingerprint import fingerprint, software_versions
from workers.jobs import TrialJob, TrialReport

_MODELS = {
    "kws": ("mlperf_tiny_kws_dscnn.onnx", "kws_600.npz"),
    "ic": ("mlperf_tiny_ic_resnet8.onnx", ""),
    "ultraface": ("ultraface_rfb320.onnx", ""),
}
_CPU = replace(ONE_THREAD, precision=Precision(quantization=StaticInt8()))
_HTP = Precision(FloatType.FLOAT16, StaticInt8())
_CHIPS = ("SM8450", "SM8650")


def main() -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, metavar="DIR", help="of further models")
    parser.add_argument("--data", type=Path, metavar="DIR", help="kws_600.npz")
    parser.add_argument("--chips", default=",".join(_CHIPS), help=f"of {', '.join(CHIPS)}")
    arguments = parser.parse_args()
    found = engine_availability(OnnxRuntimeQnn().kind)
    if not found.available:
        print(f"{found.reason}; {found.remedy}")
        return 2
    versions = software_versions()
    told = ", ".join(f"{p} {versions[p]}" for p in ("onnxruntime", "onnxruntime-qnn"))
    print(f"machine: {fingerprint().describe()}\npackages: {told}\n")
    chips = arguments.chips.split(",")
    print(f"| model | samples | CPU | {' | '.join(f'{chip} | size' for chip in chips)} |")
    print("|---|---|---|" + "---|---|" * len(chips))
    with tempfile.TemporaryDirectory(prefix="farm-htp-") as folder:
        for name, request in _requests(arguments.models, arguments.data):
            print(_row(name, request, chips, Path(folder)), flush=True)
    return 0


def _requests(models: Path | None, data: Path | None) -> Iterator[tuple[str, TuneRequest]]:
    yield "example", digits_request("dsp")
    if models is None:
        return
    for name, (file, samples) in _MODELS.items():
        path = str(data.absolute() / samples) if samples and data else ""
        yield name, TuneRequest(str(models.absolute() / file), ("dsp",), data=path)


def _row(name: str, request: TuneRequest, chips: list[str], folder: Path) -> str:
    subject, profiles = load_subject(request), load_profiles()
    with LocalExecutor([profiles["cpu"], profiles["dsp"]], folder / "cache") as executor:

        def report(device: str, candidate: Candidate) -> TrialReport:
            executor.prepare(device, subject.workload)
            job = TrialJob(candidate.id, subject.workload.key, candidate)
            (told,) = executor.run_trials(device, [job])
            executor.release(device, [job.trial_id])
            return told

        on_cpu = report("cpu", _CPU)
        samples = on_cpu.accuracy.samples if on_cpu.accuracy else 0
        cells = [name, str(samples), _value(on_cpu)]
        for chip in chips:
            engine = OnnxRuntimeQnn(chip=chip)  # type: ignore[arg-type]
            told = report("dsp", Candidate(engine, _HTP))
            cells += [_value(told), _size(told)]
    return f"| {' | '.join(cells)} |"


def _value(report: TrialReport) -> str:
    if report.accuracy is None or report.accuracy.value is None:
        return f"{report.outcome}: {report.message}"
    return f"{report.accuracy.value:.4f}"


def _size(report: TrialReport) -> str:
    found = {m.metric: m.value for m in report.measurements}.get(Metric.MODEL_SIZE)
    return "none" if found is None else format_bytes(int(found))


if __name__ == "__main__":
    sys.exit(main())
