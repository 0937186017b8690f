"""What merging convolutions that read one tensor brings, by window and instruction set.

Each case has some convolutions of one 16 x 16 image; the ratio is the cost of separate calls over
that of the merged one: packets on the Hexagon, time on the host (median of rounds in which both
run in turn). Larger than 1: merging is faster. No targets: the figures are why pointwise
convolutions are left alone.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)

from benchmarks.common import Report, Unit, options
from farm.candidate import CalibrationMethod
from farm.codegen.build.compilers import Target, find_emulator, host_targets
from farm.codegen.build.toolchain import build_runner
from farm.codegen.emit import emit
from farm.codegen.front.annotate import annotate_ranges
from farm.codegen.front.source import read_source
from farm.codegen.generate import Generation, tensors_to_calibrate
from farm.codegen.lower.graph import lower
from farm.codegen.package.write import write_sources
from farm.codegen.program import Program
from farm.codegen.siblings import merge_siblings
from farm.codegen.storage import store
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import calibrate
from workers.engines.runner import RunnerProcess

# Window, input channels, output channels of each, number of convolutions.
_CASES = ((1, 64, 16, 3), (1, 32, 32, 2), (3, 16, 16, 2), (3, 32, 8, 3), (5, 16, 8, 2))
_SIZE, _ROUNDS, _LOOPS = 16, 25, 1000
_IMAGE = [1, 3, _SIZE, _SIZE]


def main() -> int:
    """Print all figures."""
    arguments = options(__doc__).parse_args()
    report = Report(__file__, arguments.json)
    targets = [host_targets()[0], *([Target.HEXAGON_HVX] if find_emulator() else [])]
    for window, channels, results, count in _CASES:
        model = prepare(_model(window, channels, results, count)).model
        feeds = {"image": np.random.default_rng(0).standard_normal(_IMAGE).astype(np.float32)}
        names = tensors_to_calibrate(model)
        ranges = calibrate(model, names, [feeds], CalibrationMethod.MIN_MAX).ranges
        plain = lower(annotate_ranges(read_source(model), ranges))
        for target in targets:
            ratio = _ratio((plain, merge_all(plain)), target, feeds["image"])
            name = f"{count} of {window}x{window}, {channels} to {results} channels, {target}"
            report.show(name, ratio, Unit.TIMES)
    return report.close()


def merge_all(program: Program) -> Program:
    """Merged, pointwise convolutions, too."""
    return merge_siblings(program, pointwise=True)


def _model(window: int, channels: int, results: int, count: int) -> ModelProto:
    """A convolution, ``count`` more of its result, and their product."""
    random = np.random.default_rng(1)
    shapes = [(channels, 3, 3, 3), *[(results, channels, window, window)] * count]
    weights = [random.standard_normal(s).astype(np.float32) / s[1] ** 0.5 for s in shapes]
    pads = [[1] * 4, *[[window // 2] * 4] * count]
    made = ["x", *(f"a{i}" for i in range(count))]
    read = ["image", *["x"] * count]
    nodes = [
        make_node("Conv", [r, f"w{i}"], [m], name=f"conv{i}", pads=p)
        for i, (r, m, p) in enumerate(zip(read, made, pads, strict=True))
    ]
    total = made[1]
    for i, other in enumerate(made[2:]):
        nodes.append(make_node("Mul", [total, other], [f"m{i}"], name=f"mul{i}"))
        total = f"m{i}"
    stored = [
        numpy_helper.from_array(w.astype(np.float32), f"w{i}") for i, w in enumerate(weights)
    ]
    image = make_tensor_value_info("image", TensorProto.FLOAT, _IMAGE)
    result = make_tensor_value_info(total, TensorProto.FLOAT, [1, results, _SIZE, _SIZE])
    graph = make_graph(nodes, "siblings", [image], [result], stored)
    return make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)


def _ratio(programs: Sequence[Program], target: Target, image: np.ndarray) -> float:
    """Cost of the first program over that of the second."""
    with ExitStack() as stack:
        runners = [_runner(stack, program, target, image) for program in programs]
        if target.is_hexagon:
            first, second = (runner.count(1).packets for runner in runners)
            return first / second
        rounds = [[r.count(_LOOPS).nanoseconds for r in runners] for _ in range(_ROUNDS)]
    times = np.array(rounds, np.float64)
    return float(np.median(times[:, 0] / times[:, 1]))


def _runner(
    stack: ExitStack, program: Program, target: Target, image: np.ndarray
) -> RunnerProcess:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    storage = store(program)
    write_sources(folder, Generation(program, storage, emit(program, storage, "siblings")))
    library = build_runner(folder, target, folder / "runner")
    runner = stack.enter_context(closing(RunnerProcess(library.path, target)))
    runner.run([image])
    return runner


if __name__ == "__main__":
    sys.exit(main())
