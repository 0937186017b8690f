"""Models on a GPU in software: that all of a model runs there, and that its answers are right.

Needs SwiftShader and ``farm devices install webgpu``. Times on such a device say nothing of a GPU,
and none is printed. For each model that is given, on made-up inputs:

- ``farm tune`` on the device; what it delivered is run as it lies there, by a Python that has the
  engine. The largest difference of its outputs from those of ONNX Runtime's CPU provider, of an
  output's largest value. Operators by provider, as the winner's trial was told.
- the same of two splits, the first half of the operators on the processor and the rest on the
  device: as a pipeline, and in one session of ONNX Runtime.

Target of each difference: 1e-3.

    python -m benchmarks.races.gpu_software MODEL...
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import ROOT, Report, Unit, options
from benchmarks.inputs.devices import measurable
from benchmarks.inputs.models import save_arrays
from commands import api
from db.store import Store
from farm.artifact.folder import MODEL_FILE, PIPELINE_FILE
from farm.candidate import (
    Candidate,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    Pipeline,
    PipelinePart,
)
from farm.dataset import MIN_SAMPLES
from farm.delivery.pipeline import sessions_of, write_pipeline
from farm.delivery.winner import write_delivery
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import DeviceError
from farm.measurement import Outcome
from farm.model.graph import build_graph
from farm.model.model import Model, load_model
from farm.session.of_candidate import onnxruntime_spec, session_spec
from tuner.placing.candidates import in_one_session
from tuner.request import TuneRequest
from tuner.runs.subject import load_subject
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.environments.interpreters import Interpreters
from workers.executor import LocalExecutor
from workers.jobs import Limits, TrialJob

_TARGET = 1e-3
_PROCESSOR = "cpu"
_LIMITS = Limits(load_seconds=600.0, measure_seconds=600.0, evaluate_seconds=600.0)
_RUN_SECONDS = 600.0
# Runs a delivered program as its user would, and keeps what it computes.
_KEEPING = """
import runpy, sys
import numpy as np
folder, kept = sys.argv[1:3]
sys.argv = [folder + "/run.py", sys.argv[3]]
found = runpy.run_path(sys.argv[0])
np.savez(kept, **dict(found["run"](found["feeds"])))
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of a model. Operators by provider; differences as the module says."""

    model: str
    operators: Mapping[str, int]
    delivered: float
    pipeline: float
    one_session: float

    def __str__(self) -> str:
        """A line of the table."""
        counts = ", ".join(f"{count} {name}" for name, count in self.operators.items())
        differences = (self.delivered, self.pipeline, self.one_session)
        return f"| {self.model} | {counts} | {' | '.join(f'{d:.1e}' for d in differences)} |"


def main() -> int:
    """Print the figures and the table; 1 where a target was missed, 2 without the device."""
    parser = options(__doc__)
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL", help="default: digits")
    parser.add_argument("--device", default="gpu-software", metavar="NAME")
    parser.add_argument("--budget", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--quick", action="store_true", help="as short a search as there is")
    arguments = parser.parse_args()
    try:
        profile = measurable(arguments.device, OnnxRuntimeWebGpu().kind, load_profiles())
    except DeviceError as error:
        print(error)
        return 2
    report = Report(__file__, arguments.json)
    rows = []
    for path in arguments.models or [ROOT / "examples" / "digits.onnx"]:
        with tempfile.TemporaryDirectory(prefix="farm-gpu-") as name:
            seconds = 1.0 if arguments.quick else arguments.budget
            rows.append(_measured(path, profile, seconds, Path(name), report))
    print("\nLargest difference from the processor's outputs, of an output's largest value:\n")
    print(f"| model | operators on {profile.name} | delivered | pipeline | one session |")
    print("|---|---|---|---|---|")
    print("\n".join(map(str, rows)))
    return report.close()


def _measured(
    path: Path, profile: DeviceProfile, seconds: float, folder: Path, report: Report
) -> Row:
    case = _Case(path, profile, folder)
    operators, delivered = case.tuned(seconds)
    differences = [case.difference(delivered)]
    named = {"what was delivered": differences[0]}
    for title, made in case.splits():
        differences.append(case.difference(made))
        named[f"first half on the processor, {title}"] = differences[-1]
    for title, found in named.items():
        name = f"{path.stem}, {title}: of the largest value"
        report.at_most(name, found, _TARGET, Unit.SHARE, f"{found:.1e}")
    return Row(path.stem, operators, *differences)


class _Case:
    """A model with made-up inputs, and what the processor answers to one of them."""

    def __init__(self, path: Path, profile: DeviceProfile, folder: Path) -> None:
        self._path, self._profile, self._folder = path, profile, folder
        self._model: Model = load_model(path)
        random = np.random.default_rng(0)
        samples = {
            spec.name: random.standard_normal((MIN_SAMPLES, *spec.shape)).astype(spec.dtype)
            for spec in self._model.inputs
        }
        self._data = folder / "samples.npz"
        save_arrays(self._data, samples)
        feeds = {name: values[0] for name, values in samples.items()}
        save_arrays(folder / "given.npz", feeds)
        session = OnnxRuntimeSession(path, onnxruntime_spec(OnnxRuntimeCpu()))
        names = [output.name for output in self._model.proto.graph.output]
        self._wanted = dict(zip(names, session.run(feeds), strict=True))

    def tuned(self, seconds: float) -> tuple[Mapping[str, int], Path]:
        """Operators by provider of the winner, and its folder."""
        store, device = str(self._folder / "farm.db"), self._profile.name
        result = api.tune(
            self._path,
            devices=[device],
            data=self._data,
            budget=seconds,
            output=self._folder / "tuned",
            store=store,
            local=True,
        )
        (found,) = result.devices
        if found.winner is None:
            raise SystemExit(f"{self._path.stem} was not tuned on {device}: {found.reason}")
        with Store.open(store) as opened:
            details = json.loads(opened.trial(found.winner.trial_id).details)
        return details["assignment"], Path(found.output)

    def splits(self) -> Iterator[tuple[str, Path]]:
        """Both ways to split the model, run once as trials, and their folders."""
        names = [op.name for op in build_graph(self._model).operators if not op.folded]
        middle, device = len(names) // 2, self._profile.name
        parts = (
            PipelinePart(_PROCESSOR, OnnxRuntimeCpu(), tuple(names[:middle])),
            PipelinePart(device, OnnxRuntimeWebGpu(), tuple(names[middle:])),
        )
        split = Candidate(Pipeline(parts))
        shared = in_one_session(split, device)
        assert shared is not None
        subject = load_subject(TuneRequest(str(self._path), (device,), data=str(self._data)))
        with LocalExecutor([self._profile], self._folder / "cache", load_profiles()) as executor:
            executor.prepare(device, subject.workload)
            for title, candidate in (("as a pipeline", split), ("in one session", shared)):
                job = TrialJob(title, subject.workload.key, candidate, limits=_LIMITS)
                (report,) = executor.run_trials(device, [job])
                executor.release(device, [job.trial_id])
                if report.outcome is not Outcome.OK:
                    raise SystemExit(f"{self._path.stem}, {title}: {report.message}")
                folder = self._folder / title.replace(" ", "-")
                self._deliver(folder, candidate, executor.artifact_files(device, job))
                yield title, folder

    def _deliver(self, folder: Path, candidate: Candidate, files: Mapping[str, bytes]) -> None:
        inputs, variables = self._model.inputs, self._profile.variables
        if PIPELINE_FILE in files:
            sessions = sessions_of(candidate, files[PIPELINE_FILE])
            write_pipeline(
                folder, files, sessions, inputs, "{}", {}, confirmed=False, variables=variables
            )
        else:
            session = session_spec(candidate)
            write_delivery(
                folder,
                files[MODEL_FILE],
                session,
                inputs,
                "{}",
                confirmed=False,
                variables=variables,
            )

    def difference(self, folder: Path) -> float:
        """What a delivered folder computes, off the processor's outputs, of their largest value.

        The largest difference of all outputs; infinite where one is missing.
        """
        kept = folder.parent / f"{folder.name}.npz"
        command = [
            _python(self._profile),
            "-c",
            _KEEPING,
            folder,
            kept,
            self._folder / "given.npz",
        ]
        subprocess.run(
            list(map(str, command)), check=True, timeout=_RUN_SECONDS, stdout=subprocess.DEVNULL
        )
        found = np.load(kept)
        return max(
            float(np.abs(found[name] - wanted).max() / np.abs(wanted).max())
            if name in found
            else np.inf
            for name, wanted in self._wanted.items()
        )


def _python(profile: DeviceProfile) -> str:
    """The Python that has the device's engine."""
    interpreters = Interpreters(profile)
    try:
        return interpreters.of(OnnxRuntimeWebGpu().kind)
    finally:
        interpreters.close()


if __name__ == "__main__":
    sys.exit(main())
