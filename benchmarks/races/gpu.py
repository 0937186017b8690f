"""ResNet-50 on an NVIDIA GPU: latency, memory and energy, at batch 1 and 32, float32 and float16.

Needs the GPU with its driver, and ``farm devices install gpu``; TensorRT's rows come along where
TensorRT 10 is installed, too. What it prints is a table for a document, below the names of
machine, GPU, driver and packages. Latency is the median of single runs, with the data in the GPU's
memory; beside it that of runs from and to the host's. Memory is that of the process on the GPU, as
the driver tells it; in a container that hides process ids it is what was in use more than before.
Energy is that of the board by its own counter, without what it draws idle, over 5 s at least,
divided by the images. What fails has its reason in its row.

    python -m benchmarks.races.gpu
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import onnx

from benchmarks.common import digits_request, options
from benchmarks.inputs.models import random_images, save_arrays
from benchmarks.inputs.resnet import resnet50
from farm.candidate import (
    Candidate,
    Engine,
    FloatType,
    OnnxRuntimeCuda,
    OnnxRuntimeTensorRt,
    Precision,
)
from farm.devices.profile import load_profiles
from farm.measurement import Measurement, Metric
from farm.units import format_bytes, format_joules, format_seconds
from tuner.request import TuneRequest
from tuner.runs.subject import load_subject
from workers.discovery import device_availability
from workers.executor import LocalExecutor
from workers.fingerprint import fingerprint
from workers.jobs import DetailJob, DeviceFacts, Limits, TrialJob
from workers.nvidia.devices import PATTERN, with_gpus

_IMAGES = 64  # two runs of the largest batch
_BATCHES = (1, 32)
_LIMITS = Limits(load_seconds=300.0, compile_seconds=300.0)
_DETAIL_SECONDS, _RUNS = 5.0, 1000
_ENGINES: tuple[Engine, ...] = (
    OnnxRuntimeCuda(),
    OnnxRuntimeCuda(layout="nhwc"),
    OnnxRuntimeCuda(layout="nhwc", cuda_graph=True),
    OnnxRuntimeCuda(layout="nhwc", cuda_graph=True, tf32=True),
    OnnxRuntimeTensorRt(),
    OnnxRuntimeTensorRt(cuda_graph=True),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. failed: why there are no values."""

    candidate: Candidate
    found: dict[Metric, Measurement]
    failed: str = ""

    def __str__(self) -> str:
        if self.failed:
            return f"| {self.candidate.label()} | {self.failed} | | | | |"
        batch = self.candidate.batch
        median = self.found[Metric.LATENCY_P50].value
        cells = [
            format_seconds(median),
            _cell(self.found.get(Metric.WITH_TRANSFERS), format_seconds),
            f"{batch / median:,.0f}",
            _cell(self.found.get(Metric.DEVICE_MEMORY), format_bytes),
            _cell(self.found.get(Metric.ENERGY), lambda joules: format_joules(joules / batch)),
        ]
        return f"| {self.candidate.label()} | {' | '.join(cells)} |"


def main() -> int:
    """Print the table; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--device", default=PATTERN, metavar="NAME", help="of several GPUs")
    parser.add_argument("--quick", action="store_true", help="a small model instead")
    arguments = parser.parse_args()
    profile = with_gpus(load_profiles())[arguments.device]
    found = device_availability(profile)
    if not found.available:
        print(f"{profile.name} cannot be measured: {found.reason}; {found.remedy}")
        return 2
    with tempfile.TemporaryDirectory(prefix="farm-gpu-") as name:
        folder = Path(name)
        request = digits_request(profile.name) if arguments.quick else _request(folder)
        subject = load_subject(request)
        with LocalExecutor([profile], folder / "cache") as executor:
            executor.prepare(profile.name, subject.workload)
            facts = executor.describe(profile.name)
            print(f"machine: {fingerprint().describe()}; GPU: {profile.description}")
            print(f"packages: {_packages(facts)}\n")
            print("| candidate | latency | from and to the host | images/s | memory | energy |")
            print("|---|---|---|---|---|---|")
            for candidate in _candidates(facts):
                key = subject.workload.key
                job = TrialJob(candidate.id, key, candidate, limits=_LIMITS)
                print(_row(executor, profile.name, job), flush=True)
                executor.release(profile.name, [job.trial_id])
    return 0


def _request(folder: Path) -> TuneRequest:
    """ResNet-50, and images that it was not made with."""
    onnx.save(resnet50(), folder / "resnet50.onnx")
    save_arrays(folder / "resnet50.npz", {"image": random_images(_IMAGES)})
    return TuneRequest(
        str(folder / "resnet50.onnx"), (PATTERN,), data=str(folder / "resnet50.npz")
    )


def _candidates(facts: DeviceFacts) -> Iterator[Candidate]:
    engines = [engine for engine in _ENGINES if engine.kind in facts.engines]
    for batch, float_type, engine in product(
        _BATCHES, (FloatType.FLOAT32, FloatType.FLOAT16), engines
    ):
        yield Candidate(engine, Precision(float_type), batch=batch)


def _row(executor: LocalExecutor, device: str, job: TrialJob) -> Row:
    (report,) = executor.run_trials(device, [job])
    if report.measurements == ():
        return Row(job.candidate, {}, f"{report.outcome}: {report.message}")
    detail = executor.run_detail(device, DetailJob(job, _RUNS, _DETAIL_SECONDS))
    return Row(job.candidate, {each.metric: each for each in (*report.measurements, *detail)})


def _packages(facts: DeviceFacts) -> str:
    """What the GPU's engines ran with."""
    prefix = f"{OnnxRuntimeCuda().kind}: "
    told = (each for each in facts.software.items() if each[0].startswith(prefix))
    return ", ".join(f"{name.removeprefix(prefix)} {version}" for name, version in told)


def _cell(found: Measurement | None, show: Callable[[float], str]) -> str:
    return "not told" if found is None else show(found.value)


if __name__ == "__main__":
    sys.exit(main())
