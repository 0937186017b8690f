"""Other engines against ONNX Runtime and OpenVINO, interleaved in blocks, one child per engine.

Each model runs in float32, and in int8 (QDQ, per channel) where an engine reads that, by every
number of threads. An engine with wrong outputs is refused: they are off ONNX Runtime's by more
than 0.1 % in float32, or off the float model's by more than twice as much as ONNX Runtime's are in
int8. A ratio is the latency of the best of ONNX Runtime and OpenVINO (by its median in these
blocks) over the engine's: above 1 the engine is faster. Blocks in which the machine was disturbed
are repeated while patience lasts. Float arithmetic is float32 everywhere; TVM is not tuned, which
takes hours per model.

`--processor-time` compares processor time in one thread instead, for a first look on a machine
that others use.

An engine is named with the interpreter that has it (ENGINE=PYTHON), or an environment that gives
it is installed. tract, mnn, ncnn and tvm are known. What each needs, in a virtual environment:
numpy and tract; numpy and MNN; numpy, ncnn and (with --no-deps) pnnx; numpy, apache-tvm and onnx.
ai-edge-litert reads .tflite only, and is left out.

    python -m benchmarks.races.engines --engine ncnn=VENV/bin/python kws=MODEL.onnx,DATA.npz
"""

from __future__ import annotations

import io
import json
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Report, options
from benchmarks.races.other_engines.sessions import ENGINES
from farm.artifact.folder import MODEL_FILE
from farm.candidate import Candidate, OnnxRuntimeCpu, OpenVinoRuntime, Precision, StaticInt8
from farm.devices.profile import load_profiles
from farm.errors import CompileError, FarmError
from farm.session.of_candidate import session_spec
from tuner.racing.statistics import FloatArray, compare
from tuner.request import TuneRequest
from tuner.runs.subject import Subject, load_subject
from workers.environments.installed import environments_of
from workers.executor import LocalExecutor
from workers.jobs import Part, TrialJob
from workers.meters.disturbance import MachineReading

_BLOCKS, _QUICK_BLOCKS = 30, 6
_SAMPLE_SECONDS = 0.02
_LOAD_SECONDS = 300.0
_SHOWN = 80  # letters of why an engine is refused
_TOLERANCE = 1e-3  # of outputs in float32
_INT8_SLACK = 2.0  # times as far off as ONNX Runtime's int8
_INT8 = Candidate(OnnxRuntimeCpu(threads=1), Precision(quantization=StaticInt8(per_channel=True)))
_OWN = ("onnxruntime", "openvino")


class RefusedError(Exception):
    """An engine cannot take part; the message says why."""


class Child:
    """A process of ``other_engines/child.py``."""

    def __init__(self, interpreter: str, log: Path) -> None:
        script = Path(__file__).parent / "other_engines" / "child.py"
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [interpreter, "-P", str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def ask(self, command: str, seconds: float = 120.0, **arguments: Any) -> Any:  # noqa: ANN401
        """Its reply. Raises RefusedError when it reports an error, dies or hangs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = json.dumps({"command": command, **arguments}).encode() + b"\n"
        with suppress(BrokenPipeError):
            self._process.stdin.write(request)
            self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready:
            raise RefusedError(f"no answer to '{command}' within {seconds:g} s")
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            raise RefusedError(f"its process ended {how} in '{command}'")
        reply = json.loads(line)
        if "error" in reply:
            raise RefusedError(reply["error"])
        return reply["ok"]

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True, slots=True)
class Case:
    """One model in one precision. model, inputs: files. outputs: names in the model's order."""

    name: str
    precision: str
    model: Path
    inputs: Path
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """How long a race is. patience: seconds. processor_time: measured in place of latency."""

    blocks: int
    patience: float
    processor_time: bool


@dataclass(frozen=True, slots=True)
class Entrant:
    """An engine that takes part, calibrated. loops: runs per sample."""

    child: Child
    loops: int

    def seconds(self, rules: Rules) -> float:
        """Of one run, from one sample."""
        wall, processor = self.child.ask("sample", loops=self.loops)
        return float(processor if rules.processor_time else wall)


def main() -> int:
    """Run all cases and print the table; the exit code."""
    parser = options(__doc__)
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL[,DATA][,DIMENSION=SIZE]")
    parser.add_argument("--engine", action="append", default=[], metavar="ENGINE=PYTHON")
    parser.add_argument("--threads", default="1,2", help="numbers of threads")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds per case")
    parser.add_argument("--processor-time", action="store_true", help="not latency; one thread")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_BLOCKS} blocks")
    arguments = parser.parse_args()
    pythons = _interpreters(arguments.engine)
    if unknown := pythons.keys() - ENGINES.keys() - set(_OWN):
        parser.error(f"unknown engine {', '.join(sorted(unknown))}")
    blocks = _QUICK_BLOCKS if arguments.quick else _BLOCKS
    rules = Rules(blocks, arguments.patience, processor_time=arguments.processor_time)
    threads_tried = [1] if rules.processor_time else list(map(int, arguments.threads.split(",")))
    report = Report(__file__, arguments.json)
    print(f"| model | precision | threads | {' | '.join(pythons)} |")
    print(f"|---|---|---|{'---|' * len(pythons)}", flush=True)
    for text in arguments.models:
        name, _, paths = text.partition("=")
        judge = Judge()
        with tempfile.TemporaryDirectory(prefix="engines-") as place:
            for case in _cases(name, paths, Path(place)):
                for threads in threads_tried:
                    cells = _race(case, threads, pythons, rules, judge)
                    row = " | ".join(cells[engine] for engine in pythons)
                    print(f"| {name} | {case.precision} | {threads} | {row} |", flush=True)
    return report.close()


def _interpreters(given: Sequence[str]) -> dict[str, str]:
    """By engine: the farm's own for its own, then those of environments, then those named."""
    installed = environments_of(ENGINES)
    named = dict(text.split("=", 1) for text in given)
    return (
        dict.fromkeys(_OWN, sys.executable)
        | {engine: str(found.interpreter) for engine, found in installed.items()}
        | named
    )


def _cases(name: str, paths: str, place: Path) -> Iterator[Case]:
    """The model in float32 and, where it can be quantised, in int8."""
    model, *others = paths.split(",")
    data = "".join(text for text in others if "=" not in text)
    sizes = dict(text.split("=") for text in others if "=" in text)
    shapes = {dimension: int(size) for dimension, size in sizes.items()}
    subject = load_subject(TuneRequest(model, ("cpu",), data=data, shapes=shapes))
    inputs = place / "inputs.npz"
    inputs.write_bytes(_without_labels(subject))
    outputs = tuple(subject.workload.outputs)
    contents = {"float32": subject.workload.model}
    with suppress(FarmError):
        contents["int8"] = _quantised(subject, place)
    for precision, content in contents.items():
        folder = place / precision
        folder.mkdir()
        (folder / MODEL_FILE).write_bytes(content)
        yield Case(name, precision, folder / MODEL_FILE, inputs, outputs)


def _without_labels(subject: Subject) -> bytes:
    with np.load(io.BytesIO(subject.workload.parts[Part.SEARCH])) as archive:
        buffer = io.BytesIO()
        np.savez(buffer, **{name: archive[name][:16] for name in archive.files})
    return buffer.getvalue()


def _quantised(subject: Subject, place: Path) -> bytes:
    """The QDQ file that the farm itself would run. Raises FarmError."""
    profile = load_profiles()["cpu"]
    with LocalExecutor([profile], place / "cache") as executor:
        executor.prepare(profile.name, subject.workload)
        job = TrialJob("quantised", subject.workload.key, _INT8)
        return executor.artifact_files(profile.name, job)[MODEL_FILE]


def _race(
    case: Case, threads: int, pythons: Mapping[str, str], rules: Rules, judge: Judge
) -> dict[str, str]:
    """A cell of the table for every engine."""
    cells: dict[str, str] = {}
    entrants: dict[str, Entrant] = {}
    with ExitStack() as stack:
        for engine, python in pythons.items():
            child = Child(python, case.model.with_name(f"{engine}.log"))
            stack.callback(child.end)
            try:
                outputs = _evaluated(child, engine, case, threads)
                judge.check(engine, case.precision, outputs)
                child.ask("warm_up")
                loops = child.ask("calibrate", target=_SAMPLE_SECONDS)
                entrants[engine] = Entrant(child, loops)
            except (RefusedError, CompileError) as error:
                child.end()
                cells[engine] = f"refused: {_shortened(str(error))}"
        seconds = _blocks(entrants, rules)
    return cells | _compared(seconds)


def _shortened(sentence: str) -> str:
    """A sentence that fits a cell of a table."""
    words = " ".join(sentence.replace("|", "/").split())
    return words.rstrip(".") if len(words) <= _SHOWN else f"{words[:_SHOWN]} ..."


def _evaluated(child: Child, engine: str, case: Case, threads: int) -> list[FloatArray]:
    """Outputs of every sample. Raises RefusedError."""
    spec: dict[str, Any] = {"threads": threads, "outputs": case.outputs}
    if engine in _OWN:
        own = OnnxRuntimeCpu(threads=threads)
        chosen = own if engine == "onnxruntime" else OpenVinoRuntime(threads=threads)
        precision = _INT8.precision if case.precision == "int8" else Precision()
        spec = asdict(session_spec(Candidate(chosen, precision)))
    inputs = str(case.inputs)
    model = str(case.model)
    child.ask("load", _LOAD_SECONDS, engine=engine, spec=spec, model=model, inputs=inputs)
    file = case.model.with_name(f"{engine}.npz")
    child.ask("evaluate", _LOAD_SECONDS, outputs=str(file))
    with np.load(file) as archive:
        return [archive[name].astype(np.float64) for name in archive.files]


class Judge:
    """Says whose outputs are wrong, by ONNX Runtime's for the same model.

    The distance of outputs is the root of their mean squared deviation, relative to that of the
    float model's; of several outputs the farthest counts.
    """

    def __init__(self) -> None:
        self._float: list[FloatArray] = []
        self._allowed: dict[str, float] = {}

    def check(self, engine: str, precision: str, outputs: list[FloatArray]) -> None:
        """Raise RefusedError where outputs are wrong. ONNX Runtime comes first, in float32."""
        if engine == "onnxruntime":
            if precision == "float32":
                self._float = outputs
            allowed = max(_TOLERANCE, _INT8_SLACK * self._distance(outputs))
            self._allowed[precision] = allowed
        if precision not in self._allowed:
            raise RefusedError("ONNX Runtime gives nothing to compare it with")
        distance = self._distance(outputs)
        if not distance <= self._allowed[precision]:
            raise RefusedError(f"wrong outputs, off by {100 * distance:.2g} %")

    def _distance(self, outputs: list[FloatArray]) -> float:
        if [each.shape for each in outputs] != [each.shape for each in self._float]:
            raise RefusedError("it gives outputs of other shapes")
        pairs = zip(outputs, self._float, strict=True)
        return max(
            _rms(found - expected) / max(_rms(expected), 1e-30) for found, expected in pairs
        )


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _blocks(entrants: Mapping[str, Entrant], rules: Rules) -> dict[str, FloatArray]:
    """Seconds per block of each; disturbed blocks are kept once patience is spent."""
    rows: list[dict[str, float]] = []
    deadline = time.monotonic() + rules.patience
    shuffled = random.Random(0)
    while len(rows) < rules.blocks and entrants:
        before = MachineReading.now()
        order = shuffled.sample(sorted(entrants), len(entrants))
        row = {engine: entrants[engine].seconds(rules) for engine in order}
        disturbed = MachineReading.now().disturbed_since(before)
        if rules.processor_time or not disturbed or time.monotonic() > deadline:
            rows.append(row)
    return {engine: np.array([row[engine] for row in rows]) for engine in entrants}


def _compared(seconds: Mapping[str, FloatArray]) -> dict[str, str]:
    """Milliseconds of the farm's own engines; ratios of the others to the best of them."""
    medians = {engine: float(np.median(times)) for engine, times in seconds.items()}
    own = [engine for engine in _OWN if engine in medians]
    cells = {engine: f"{1e3 * medians[engine]:.3g} ms" for engine in own}
    if not own:
        return cells
    best = min(own, key=medians.__getitem__)
    for engine in medians.keys() - set(own):
        ratio = compare(seconds[engine], seconds[best]).ratio
        cells[engine] = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    return cells


if __name__ == "__main__":
    sys.exit(main())
