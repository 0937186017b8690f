"""ResNet-50 on an NVIDIA GPU: latency, memory and energy, at batch 1 and 32, float32 and float16.

Needs the GPU with its driver, and ``farm devices install gpu``; TensorRT's rows come along where
TensorRT 10 is installed, too. What it prints is a table for a document, below the names of
machine, GPU, driver and packages.

Latency: the median of single runs with its 95 % interval, with the data in the GPU's memory and
waiting until it has done everything; beside it that of runs from and to the host's memory.
Memory: that of the process on the GPU, as the driver tells it; in a container that hides process
ids it is what was in use more than before.
Energy: of the board by its own counter, over 5 s at least, without what it draws while the loaded
process does nothing, divided by the images.
Clock: of the multiprocessors right after runs.
Accuracy: agreement of the answers with those of the model as it was given, on the processor; of
the small model the share of right ones.

A row is one process, after its warm-up; nothing is interleaved, so that later rows find a warmer
GPU. Where the driver says that the GPU was held below its clock, or the machine was not quiet, the
row says so. What fails has its reason in its row.

    python -m benchmarks.races.gpu
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnx

from benchmarks.common import digits_request, options
from benchmarks.inputs.devices import measurable
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
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import CompileError, DeviceError
from farm.measurement import Measurement, Metric
from farm.units import format_bytes, format_joules, format_seconds
from tuner.racing.statistics import median_interval
from tuner.request import TuneRequest
from tuner.runs.subject import load_subject
from workers.executor import LocalExecutor
from workers.fingerprint import fingerprint
from workers.jobs import DetailJob, DeviceFacts, Limits, TrialJob
from workers.meters.disturbance import Reading
from workers.nvidia.devices import PATTERN, opened, with_nvidia_gpus
from workers.nvidia.throttling import watched
from workers.trials.process import ChildError

_IMAGES = 64  # two runs of the largest batch
_BATCHES = (1, 32)
_LIMITS = Limits(load_seconds=300.0, compile_seconds=300.0)
_DETAIL_SECONDS, _RUNS = 5.0, 1000
_ENGINES: tuple[Engine, ...] = (
    OnnxRuntimeCuda(),
    OnnxRuntimeCuda(layout="nhwc"),
    OnnxRuntimeCuda(layout="nhwc", cuda_graph=True),
    OnnxRuntimeTensorRt(cuda_graph=True),
)
_ROUNDED = OnnxRuntimeCuda(layout="nhwc", cuda_graph=True, tf32=True)  # of float32 alone
_COLUMNS = (
    *("candidate", "latency", "from and to the host", "images/s", "memory"),
    *("energy per image", "clock", "accuracy"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. why: there are no values, or what they suffered from."""

    candidate: Candidate
    found: dict[Metric, Measurement]
    why: str = ""

    def __str__(self) -> str:
        label = self.candidate.label()
        if not self.found:
            return _line([label, _in_cell(self.why), *[""] * (len(_COLUMNS) - 2)])
        batch, latency = self.candidate.batch, self.found[Metric.LATENCY_P50]
        interval = median_interval(np.asarray(latency.samples))
        ends = (interval.low, interval.high) if interval else ()
        shown = format_seconds(latency.value)
        shown += f" [{', '.join(map(format_seconds, ends))}]" if ends else ""
        cells = [
            f"{label} ({self.why})" if self.why else label,
            shown,
            self._cell(Metric.WITH_TRANSFERS, format_seconds),
            f"{batch / latency.value:,.0f}",
            self._cell(Metric.DEVICE_MEMORY, format_bytes),
            self._cell(Metric.ENERGY, lambda joules: format_joules(joules / batch)),
            self._cell(Metric.DEVICE_CLOCK, lambda hertz: f"{hertz / 1e6:.0f} MHz"),
            self._cell(Metric.ACCURACY, lambda share: f"{share:.4f}"),
        ]
        return _line(cells)

    def _cell(self, metric: Metric, show: Callable[[float], str]) -> str:
        found = self.found.get(metric)
        return "not told" if found is None else show(found.value)


def main() -> int:
    """Print the table; 1 where no candidate could be measured, 2 without the GPU."""
    parser = options(__doc__)
    parser.add_argument("--device", default=PATTERN, metavar="NAME", help="of several GPUs")
    parser.add_argument("--quick", action="store_true", help="a small model instead")
    arguments = parser.parse_args()
    try:
        known = with_nvidia_gpus(load_profiles())
        profile = measurable(arguments.device, OnnxRuntimeCuda().kind, known)
    except DeviceError as error:
        print(error)
        return 2
    with tempfile.TemporaryDirectory(prefix="farm-gpu-") as name:
        folder = Path(name)
        is_quick = arguments.quick
        subject = load_subject(
            digits_request(profile.name) if is_quick else _request(folder, profile.name)
        )
        with LocalExecutor([profile], folder / "cache") as executor:
            executor.prepare(profile.name, subject.workload)
            facts = executor.describe(profile.name)
            print(f"machine: {fingerprint().describe()}; GPU: {profile.description}")
            print(f"packages: {_packages(facts)}\n")
            print(_line(_COLUMNS))
            print("|" + "---|" * len(_COLUMNS))
            measured = [
                _printed(executor, profile, candidate, subject.workload.key)
                for candidate in _candidates(facts)
            ]
    return 0 if any(measured) else 1


def _request(folder: Path, device: str) -> TuneRequest:
    """ResNet-50, and images that it was not made with."""
    onnx.save(resnet50(), folder / "resnet50.onnx")
    save_arrays(folder / "resnet50.npz", {"image": random_images(_IMAGES)})
    return TuneRequest(str(folder / "resnet50.onnx"), (device,), data=str(folder / "resnet50.npz"))


def _candidates(facts: DeviceFacts) -> Iterator[Candidate]:
    for batch, float_type in product(_BATCHES, (FloatType.FLOAT32, FloatType.FLOAT16)):
        rounded = [_ROUNDED] if float_type is FloatType.FLOAT32 else []
        for engine in (*_ENGINES, *rounded):
            if engine.kind in facts.engines:
                yield Candidate(engine, Precision(float_type), batch=batch)


def _printed(
    executor: LocalExecutor, profile: DeviceProfile, candidate: Candidate, workload: str
) -> bool:
    """Print a candidate's row; whether it has values."""
    job = TrialJob(candidate.id, workload, candidate, limits=_LIMITS)
    row = _row(executor, profile, job)
    print(row, flush=True)
    executor.release(profile.name, [job.trial_id])
    return bool(row.found)


def _row(executor: LocalExecutor, profile: DeviceProfile, job: TrialJob) -> Row:
    (report,) = executor.run_trials(profile.name, [job])
    if not report.measurements:
        return Row(job.candidate, {}, f"{report.outcome}: {report.message}")
    gpu = opened(profile)
    gpus = () if gpu is None else (gpu,)
    with watched(gpus) as watches:
        before = Reading.now(watches)
        try:
            detail = executor.run_detail(profile.name, DetailJob(job, _RUNS, _DETAIL_SECONDS))
        except (ChildError, CompileError) as error:
            return Row(job.candidate, {}, str(error))
        disturbed = Reading.now(watches).disturbed_since(before)
    found = {each.metric: each for each in (*report.measurements, *detail.measurements)}
    return Row(job.candidate, found, disturbed)


def _packages(facts: DeviceFacts) -> str:
    """What the GPU's engines ran with."""
    prefix = f"{OnnxRuntimeCuda().kind}: "
    inside = {n: v for n, v in facts.software.items() if n.startswith(prefix)}
    told = (inside or facts.software).items()  # its environment's, or the farm's own
    return ", ".join(f"{name.removeprefix(prefix)} {version}" for name, version in told)


def _in_cell(text: str) -> str:
    """Whatever an engine says, in one line and one cell."""
    return " ".join(text.split()).replace("|", "/")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
