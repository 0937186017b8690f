r"""Generated packages: agreement bit for bit, packets, memory, code size, and symbols.

Every model is generated as ``farm package`` does it (static int8, ranges from calibration data),
built for the host and for the Hexagon, and run on the same inputs in both and in numpy. Needs
Zig's compiler and qemu-hexagon. Without data the inputs are made up.

    python -m benchmarks.inputs.models FOLDER
    python -m benchmarks.packages.packages kws=MODEL.onnx,DATA.npz ic=MODEL.onnx \
        ad=FOLDER/ad_autoencoder.onnx,FOLDER/ad_autoencoder.npz \
        vww=FOLDER/vww_mobilenet.onnx,FOLDER/vww_mobilenet.npz \
        vww-uint8=FOLDER/vww_mobilenet.onnx,FOLDER/vww_mobilenet.npz

A name that ends in ``-uint8`` is the package that takes and gives bytes.
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.common import Report, Unit, options
from farm.accuracy.evaluate import accuracy
from farm.accuracy.metric import choose_metric, default_limit
from farm.accuracy.outputs import Reference
from farm.candidate import CalibrationMethod
from farm.codegen.arithmetic import dequantize
from farm.codegen.build.compilers import Target, default_compiler, find_emulator, host_targets
from farm.codegen.build.toolchain import ALLOWED_SYMBOLS, Library, build_runner
from farm.codegen.generate import Generation, generate, tensors_to_calibrate
from farm.codegen.package.compiled import port_of
from farm.codegen.package.write import write_sources
from farm.codegen.program import Array, PortType
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import calibrate
from farm.dataset import Dataset, Part, load_dataset, split, synthetic_dataset
from farm.model.model import Model, load_model
from workers.engines.runner import RunnerProcess

_SAMPLES = 64  # of made-up data


@dataclass(frozen=True, slots=True)
class Goal:
    """What a model's package is held to. packets: of one run. arena: bytes of tensors.

    trained: whether its accuracy is held to the farm's limit; weights drawn at random amplify the
    errors of rounding from layer to layer.
    """

    packets: int
    arena: int
    code: int = 32 * 1024
    trained: bool = True


_GOALS = {
    "kws": Goal(22_000, 16_000),
    "ic": Goal(75_000, 32_768),
    "ad": Goal(7_500, 3_200),
    "vww": Goal(120_000, 55_296, code=64 * 1024, trained=False),
    "vww-uint8": Goal(70_000, 55_296, code=64 * 1024, trained=False),
}
_UINT8 = "-uint8"  # the end of names of packages that take and give bytes


def main() -> int:
    """Run the benchmark; the exit code."""
    parser = options(__doc__)
    parser.add_argument(
        "models", nargs="+", metavar="NAME=MODEL[,DATA]", help=f"NAME: {', '.join(_GOALS)}"
    )
    parser.add_argument("--inputs", type=int, default=1000, help="inputs that must agree")
    arguments = parser.parse_args()
    if find_emulator() is None:
        parser.error("qemu-hexagon is not installed (Debian: apt-get install qemu-user)")
    report = Report(__file__, arguments.json)
    for text in arguments.models:
        name, _, paths = text.partition("=")
        if name not in _GOALS:
            parser.error(f"{name!r} is not one of {', '.join(_GOALS)}")
        _measure(report, name, paths, arguments.inputs)
    return report.close()


def _measure(report: Report, name: str, paths: str, count: int) -> None:
    model_path, _, data_path = paths.partition(",")
    model = load_model(Path(model_path))
    dataset = (
        load_dataset(Path(data_path), model)
        if data_path
        else synthetic_dataset(model, _SAMPLES, 0)
    )
    calibration = split(dataset, 0).calibration
    generation = _generated(name, model, calibration)
    inputs = _inputs(generation, dataset, count)
    goal, storage = _GOALS[name], generation.storage
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_sources(folder, generation)
        host = _built(folder, host_targets()[0])
        hexagon = _built(folder, Target.HEXAGON_HVX)
        packets = _compare(report, name, generation, (host, hexagon), inputs)
    report.at_most(f"{name}: packets of one run", packets, goal.packets, Unit.COUNT)
    report.at_most(f"{name}: arena, bytes", storage.arena_bytes, goal.arena, Unit.COUNT)
    report.show(f"{name}: scratch memory of kernels, bytes", storage.scratch_bytes, Unit.COUNT)
    weights = generation.generated.weight_bytes
    report.show(f"{name}: weights, bytes", weights, Unit.COUNT)
    for library in (host, hexagon):
        label = f"{name}: code for {library.target}, bytes"
        report.at_most(label, library.code_bytes, goal.code, Unit.COUNT)
        foreign = len(library.undefined - ALLOWED_SYMBOLS)
        label = f"{name}: symbols of {library.target} beside memcpy and memset"
        report.at_most(label, foreign, 0, Unit.COUNT)
    if data_path:
        _compare_with_float(report, name, model, generation, dataset)


def _generated(name: str, model: Model, calibration: Part) -> Generation:
    prepared = prepare(model.proto).model
    names = tensors_to_calibrate(prepared)
    found = calibrate(prepared, names, list(calibration.samples()), CalibrationMethod.MIN_MAX)
    ports = PortType.UINT8 if name.endswith(_UINT8) else PortType.FLOAT32
    return generate(prepared, f"{name}, int8", found.ranges, ports=ports)


def _inputs(generation: Generation, dataset: Dataset, count: int) -> list[Array]:
    """So many inputs: those of the data, then the same with noise."""
    (tensor,) = generation.program.inputs
    given = dataset.inputs[tensor.label]
    random = np.random.default_rng(0)
    chosen = given[np.arange(count) % len(given)].astype(np.float32)
    noise = random.normal(0.0, float(given.std()) * 0.1, chosen.shape).astype(np.float32)
    noise[: len(given)] = 0.0
    port = port_of(tensor)
    return [port.elements(array.reshape(tensor.shape)) for array in chosen + noise]


def _built(folder: Path, target: Target) -> Library:
    return build_runner(folder, target, folder / f"runner-{target}", default_compiler(target))


def _compare(
    report: Report,
    name: str,
    generation: Generation,
    libraries: Sequence[Library],
    inputs: Sequence[Array],
) -> int:
    """Compare both binaries with numpy on every input; packets of one run."""
    (tensor,) = generation.program.inputs
    runners = [RunnerProcess(library.path, library.target) for library in libraries]
    differing = 0
    try:
        for array in inputs:
            expected = [
                output.tobytes()
                for output in generation.program.run({tensor.label: array}).values()
            ]
            for runner in runners:
                answer = [output.tobytes() for output in runner.run([array])]
                differing += answer != expected
        packets = runners[-1].count(1).packets
    finally:
        for runner in runners:
            runner.close()
    text = f"{name}: outputs of {len(inputs)} inputs on host and Hexagon that differ from numpy"
    report.at_most(text, differing, 0, Unit.COUNT)
    return packets


def _compare_with_float(
    report: Report, name: str, model: Model, generation: Generation, dataset: Dataset
) -> None:
    """Accuracy of the package's arithmetic and of the float model, on all samples."""
    session = ort.InferenceSession(model.proto.SerializeToString())
    (tensor,) = generation.program.inputs
    arrays = dataset.inputs[tensor.label].astype(np.float32)
    reference = np.stack([session.run(None, {tensor.label: array})[0] for array in arrays])
    rows = [_answer(generation, port_of(tensor).elements(array)) for array in arrays]
    given_outputs = Reference([reference])
    metric = choose_metric(given_outputs, dataset.labels)
    outputs = ([np.stack(rows)], [reference])
    package, given = (accuracy(metric, o, given_outputs, dataset.labels).value for o in outputs)
    if package is None or given is None:
        report.say(f"{name}: its accuracy cannot be judged on this data")
        return
    report.show(f"{name}: {metric.name} of the float model", given)
    report.show(f"{name}: {metric.name} of the package", package)
    if _GOALS[name].trained:
        limit = default_limit(metric.name)
        report.at_most(f"{name}: loss of {metric.name}", given - package, limit)


def _answer(generation: Generation, given: Array) -> Array:
    """The first output of the reference, in real numbers."""
    (x,), y = generation.program.inputs, generation.program.outputs[0]
    answer = generation.program.run({x.label: given})[y.name]
    return answer if y.quantization is None else dequantize(answer, y.quantization)


if __name__ == "__main__":
    sys.exit(main())
