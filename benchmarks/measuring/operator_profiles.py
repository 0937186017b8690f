"""Profiles of operators: whether kernels are mapped, and together take what a run takes.

    benchmarks/measuring/operator_profiles.py MODEL.onnx[:NAME=SIZE,...] ...

Every model, in float32 and in int8, on ONNX Runtime, OpenVINO, and as a compiled package for this
processor and for the Hexagon, each with one thread. What an engine cannot run is said. Prints for
each: the share of the profiled time in kernels that are mapped to operators of the model; how far
all kernels together are off the latency without a profiler, in either direction, with a target
where that is above 500 us; the share of time in kernels that multiply for more than one operator
of the model, which fused attention does and nothing else should; and what the profiler takes in
each kernel.

On a busy machine run it with a high priority (chrt -r 10): OpenVINO waits for threads otherwise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.common import Report, Unit, options
from farm.artifact.compiler import Compiler
from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    OnnxRuntimeCpu,
    OpenVinoRuntime,
    PackageEngine,
    Precision,
    StaticInt8,
)
from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.package.compiled import port_of
from farm.dataset import split, synthetic_dataset
from farm.errors import FarmError
from farm.model.model import Model, load_model
from farm.model.walk import all_nodes
from farm.profile.kernels import MODEL_FILE, EngineProfile, OperatorProfile, unmapped_share
from farm.session.of_candidate import session_spec
from farm.session.spec import OpenVinoSpec, SessionSpec
from workers.child.package_profile import package_profile
from workers.child.profiling import map_kernels, write_named
from workers.engines.cpackage import CPackageSession
from workers.engines.onnxruntime.profile import profile as onnxruntime_profile
from workers.engines.openvino.profile import profile as openvino_profile
from workers.engines.runner import RunnerProcess
from workers.engines.session import EngineError, Feeds

SAMPLES = 24
SECONDS = 1.0
SHORT = 500e-6  # seconds; of shorter runs what is between kernels is too large a part
MAPPED, OFF = 0.95, 0.15
PRECISIONS = {"float32": Precision(), "int8": Precision(quantization=StaticInt8())}
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU"})

_ROWS: TypeAdapter[tuple[OperatorProfile, ...]] = TypeAdapter(tuple[OperatorProfile, ...])


@dataclass(frozen=True, slots=True)
class Profiled:
    """Kernels, what a run takes without a profiler in their unit, and a kernel's own overhead."""

    rows: tuple[OperatorProfile, ...]
    whole: float
    overhead: float = 0.0


def main() -> int:
    """Print all figures."""
    parser = options(__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL[:NAME=SIZE,...]")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    for text in arguments.models:
        path, _, sizes = text.partition(":")
        pairs = (each.partition("=") for each in sizes.split(",") if each)
        model = load_model(Path(path), {name: int(size) for name, _, size in pairs})
        report_model(report, model)
    return report.close()


def report_model(report: Report, model: Model) -> None:
    """All engines and precisions."""
    parts = split(synthetic_dataset(model, SAMPLES, 0), 0)
    compiler = Compiler(model.proto, list(parts.calibration.samples()))
    sample = next(parts.confirmation.samples())
    for candidate in candidates():
        name = f"{model.name}, {candidate.engine.kind}, {candidate.precision.label()}"
        try:
            with tempfile.TemporaryDirectory(prefix="farm-profiles-") as folder:
                found = profiled(compiler, candidate, sample, Path(folder))
        except (EngineError, FarmError) as error:
            report.say(f"{name}: {error}")
            continue
        report_profile(report, name, model, found)


def candidates() -> Iterator[Candidate]:
    """One of each engine and precision."""
    target = host_targets()[0]
    engines = (
        OnnxRuntimeCpu(threads=1),
        OpenVinoRuntime(threads=1),
        CPackage(target=target.value),  # type: ignore[arg-type]  # a host's
        CPackageEmulated(),
    )
    for engine in engines:
        for precision in PRECISIONS.values():
            yield Candidate(engine, precision)


def profiled(compiler: Compiler, candidate: Candidate, sample: Feeds, folder: Path) -> Profiled:
    """One candidate's profile. Raises EngineError, FarmError."""
    artifact, place = folder / "artifact", folder / "profile"
    artifact.mkdir()
    place.mkdir()
    compiler.compile(candidate, artifact)
    if isinstance(candidate.engine, PackageEngine):
        rows = package_profile(compiler, candidate, sample, place, SECONDS)
        return Profiled(rows, whole_package(compiler, candidate, artifact, sample))
    write_named(artifact / MODEL_FILE, place)
    told = engine_profile(session_spec(candidate), sample, place)
    (folder / MODEL_FILE).write_bytes(compiler.model.SerializeToString())
    text = TypeAdapter(EngineProfile).dump_json(told).decode()
    rows = _ROWS.validate_python(map_kernels(folder, artifact / MODEL_FILE, place, text))
    return Profiled(rows, told.latency, told.overhead)


def engine_profile(spec: SessionSpec | OpenVinoSpec, sample: Feeds, place: Path) -> EngineProfile:
    """What the engine tells of its kernels."""
    if isinstance(spec, OpenVinoSpec):
        return openvino_profile(place / MODEL_FILE, spec, sample, SECONDS)
    return onnxruntime_profile(place / MODEL_FILE, spec, sample, place, SECONDS)


def whole_package(
    compiler: Compiler, candidate: Candidate, artifact: Path, sample: Feeds
) -> float:
    """Seconds or packets of a run of the package as it is."""
    if isinstance(candidate.engine, CPackageEmulated):
        given = compiler.generation(candidate).program.inputs
        inputs = [port_of(tensor).elements(sample[tensor.label]) for tensor in given]
        with RunnerProcess(artifact / "model.elf", Target(candidate.engine.target)) as runner:
            runner.run(inputs)
            return float(runner.count(1).packets)
    session = CPackageSession(artifact / "runner")
    try:
        session.set_feeds(sample)
        loops = max(1, int(0.05e9 / max(1, session.timed(1))))
        return min(session.timed(loops) * 1e-9 / loops for _ in range(10))
    finally:
        session.close()


def report_profile(report: Report, name: str, model: Model, found: Profiled) -> None:
    """The figures of one profile."""
    together = sum(row.cost for row in found.rows)
    report.at_least(f"{name}: mapped", 1.0 - unmapped_share(found.rows), MAPPED)
    counts = found.rows[0].packets is not None
    off = abs(together / found.whole - 1.0)
    note = f"{together:.4g} of {found.whole:.4g} {'packets' if counts else 's'}"
    if counts or found.whole > SHORT:
        report.at_most(f"{name}: all kernels off a run by", off, OFF, note=note)
    else:
        report.show(f"{name}: all kernels off a run by", off, note=note)
    report.show(f"{name}: multiply for several operators", several(found.rows, model))
    if found.overhead:
        report.show(f"{name}: the profiler, in each kernel", found.overhead, Unit.SECONDS)


def several(rows: Sequence[OperatorProfile], model: Model) -> float:
    """The share of kernels that stand for more than one product."""
    products = {node.name for node in all_nodes(model.proto) if node.op_type in PRODUCTS}
    merged = sum(row.cost for row in rows if len(products.intersection(row.operators)) > 1)
    return merged / (sum(row.cost for row in rows) or 1.0)


if __name__ == "__main__":
    raise SystemExit(main())
