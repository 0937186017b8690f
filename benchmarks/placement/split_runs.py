"""Models split over places: what parts in a row compute, beside the model that was not cut.

Three models of a folder, each cut into two and into three parts of about as many operators:

- at one place, by ONNX Runtime with one thread: outputs that differ in a single bit from those of
  the whole model. With all graph optimisations a sum may be computed within a convolution, in
  another order than where it is cut off; hence the level below that. Target: none.
- over cpu and dsp in float32: the largest difference, of an output's largest value. Target: 1e-4.
- over cpu and dsp in int8, calibrated on the whole model: the largest difference from the whole
  model in int8 by ONNX Runtime, in steps of the last quantiser before an output. Target: one.
  Packages quantise the weights of some operators anew: where channels of one have very different
  scales, the small ones get a larger one, so that one shift serves all.

And what each part takes of a run: measured, or modelled from packets.

    python -m benchmarks.placement.split_runs --models FOLDER
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx.numpy_helper import to_array

from benchmarks.common import Report, Unit, options
from farm.artifact.compiler import Compiler
from farm.artifact.folder import MODEL_FILE, PIPELINE_FILE, read_manifest
from farm.candidate import (
    Candidate,
    CPackageEmulated,
    GraphLevel,
    OnnxRuntimeCpu,
    PartEngine,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.dataset import Part, synthetic_dataset
from farm.devices.profile import load_profiles
from farm.model.graph import build_graph
from farm.model.model import Model, load_model
from farm.session.of_candidate import onnxruntime_spec
from farm.session.pipeline import parse_pipeline
from tuner.runs.record.details import split_sentence
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.engines.pipelines.pipeline import PipelineSession, pipeline_session
from workers.engines.session import Array, Feeds
from workers.environments.interpreters import Interpreters
from workers.trials.artifacts import Artifact
from workers.trials.places import Places

MODELS = {
    "kws": "mlperf_tiny_kws_dscnn.onnx",
    "ic": "mlperf_tiny_ic_resnet8.onnx",
    "ultraface": "ultraface_rfb320.onnx",
}
CPU, DSP = OnnxRuntimeCpu(threads=1, graph_level=GraphLevel.EXTENDED), CPackageEmulated()
FLOAT32, INT8 = Precision(), Precision(quantization=StaticInt8())
RUNS = 20  # that are split
_PROFILES = load_profiles()


@dataclass(frozen=True, slots=True)
class Case:
    """A model with samples that are run and samples for calibration."""

    name: str
    model: Model
    compiler: Compiler
    samples: Sequence[Feeds]


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the models")
    parser.add_argument("--only", choices=MODELS, help="one of the models")
    parser.add_argument("--samples", type=int, default=8, help="that are run")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    for name, file in MODELS.items():
        if arguments.only in (None, name):
            measure(report, case(name, arguments.models / file, arguments.samples))
    return report.close()


def case(name: str, path: Path, count: int) -> Case:
    """A model with made-up data."""
    model = load_model(path)
    data = synthetic_dataset(model, 2 * count, 0)
    run, calibration = (
        list(Part(data, np.arange(start, start + count)).samples()) for start in (0, count)
    )
    return Case(name, model, Compiler(model.proto, calibration), run)


def measure(report: Report, given: Case) -> None:
    """All figures of one model."""
    for count in (2, 3):
        one_place = pipeline(given.model, (CPU,) * count)
        several = pipeline(given.model, (CPU, DSP, CPU)[:count])
        for precision, label in ((FLOAT32, "float32"), (INT8, "int8")):
            wanted = list(whole(given, precision))
            name = f"{given.name}, {label}, {count} parts"
            found = parts(given, Candidate(one_place, precision))[0]
            differing = sum(a.tobytes() != b.tobytes() for a, b in pairs(found, wanted))
            title = f"{name} at one place: outputs that differ in a bit"
            report.at_most(title, differing, 0, Unit.COUNT)
            found, told = parts(given, Candidate(several, precision))
            over(report, f"{name} over cpu and dsp", scales(given, precision), found, wanted)
            report.say(told)


def over(
    report: Report,
    name: str,
    steps: Sequence[float],
    found: Sequence[Sequence[Array]],
    wanted: Sequence[Sequence[Array]],
) -> None:
    """How far outputs of several engines lie apart. steps: of each output; () in float32."""
    outputs = [
        (np.abs(np.stack(ours) - np.stack(theirs)).max(), np.abs(np.stack(theirs)).max())
        for ours, theirs in zip(zip(*found, strict=True), zip(*wanted, strict=True), strict=True)
    ]
    if steps:
        worst = max(apart / step for (apart, _), step in zip(outputs, steps, strict=True))
        report.at_most(f"{name}: most steps apart", float(worst), 1.0, Unit.TIMES)
    else:
        worst = max(apart / largest for apart, largest in outputs)
        title = f"{name}: most of the largest value"
        report.at_most(title, float(worst), 1e-4, Unit.SHARE, f"{worst:.2g}")


def scales(given: Case, precision: Precision) -> tuple[float, ...]:
    """The step of the last quantiser before each output, the largest if there are several."""
    if precision.quantization is None:
        return ()
    graph = given.compiler.graph(Candidate(CPU, precision)).model.graph
    writers = {tensor: node for node in graph.node for tensor in node.output}
    stored = {tensor.name: to_array(tensor) for tensor in graph.initializer}

    def last(tensor: str) -> float:
        node = writers.get(tensor)
        if node is None:
            return 0.0
        if node.op_type == "QuantizeLinear":
            return float(stored[node.input[1]])
        return max((last(name) for name in node.input), default=0.0)

    return tuple(last(output.name) for output in graph.output)


def pairs(
    found: Sequence[Sequence[Array]], wanted: Sequence[Sequence[Array]]
) -> Iterator[tuple[Array, Array]]:
    """The outputs of both, one by one."""
    for ours, theirs in zip(found, wanted, strict=True):
        yield from zip(ours, theirs, strict=True)


def pipeline(model: Model, engines: Sequence[PartEngine]) -> Pipeline:
    """As many parts as engines, of about as many operators each."""
    names = [op.name for op in build_graph(model).operators if not op.folded]
    ends = np.linspace(0, len(names), len(engines) + 1).round().astype(int)
    return Pipeline(
        tuple(
            PipelinePart("dsp" if engine is DSP else "cpu", engine, tuple(names[start:end]))
            for engine, (start, end) in zip(engines, pairwise(ends), strict=True)
        )
    )


def whole(given: Case, precision: Precision) -> Iterator[list[Array]]:
    """The outputs of the model that is not cut."""
    with tempfile.TemporaryDirectory() as place:
        given.compiler.compile(Candidate(CPU, precision), Path(place))
        session = OnnxRuntimeSession(Path(place) / MODEL_FILE, onnxruntime_spec(CPU))
    for sample in given.samples:
        yield session.run(sample)


def parts(given: Case, candidate: Candidate) -> tuple[list[list[Array]], str]:
    """The outputs of a pipeline, and a sentence on what each part takes."""
    with tempfile.TemporaryDirectory() as place:
        session = loaded(given.compiler, candidate, Path(place))
        try:
            found = [session.run(sample) for sample in given.samples]
            session.set_feeds(given.samples[0])
            told = split_sentence(session.split(RUNS))
            anew = sum("quantised anew" in note for note in read_manifest(Path(place)).notes)
            return found, f"{told} Operators whose weights packages quantise anew: {anew}."
        finally:
            session.close()


def loaded(compiler: Compiler, candidate: Candidate, folder: Path) -> PipelineSession:
    """A pipeline, compiled into an empty folder and loaded in this process."""
    engine = candidate.engine
    assert isinstance(engine, Pipeline)
    compiler.compile(candidate, folder)
    path, own = folder / PIPELINE_FILE, _PROFILES["cpu"]
    record, size = parse_pipeline(path.read_bytes()), read_manifest(folder).size
    places = Places(own, Interpreters(own), _PROFILES)
    artifact = Artifact("", path, size, (), pipeline=record)
    return pipeline_session(path, places.description(candidate, engine, artifact))


if __name__ == "__main__":
    sys.exit(main())
