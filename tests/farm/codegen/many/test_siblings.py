"""Convolutions that read one tensor in the same way become one kernel call."""

from dataclasses import replace

import numpy as np
from onnx.helper import make_node

from farm.candidate import CalibrationMethod
from farm.codegen.build.compilers import host_targets
from farm.codegen.build.toolchain import build_runner
from farm.codegen.emit import emit
from farm.codegen.front.annotate import annotate_ranges
from farm.codegen.front.source import read_source
from farm.codegen.generate import Generation, generate, tensors_to_calibrate
from farm.codegen.lower.graph import lower
from farm.codegen.ops.integer.convolution import Convolution
from farm.codegen.package.write import write_sources
from farm.codegen.siblings import Parts, merge_siblings
from farm.codegen.storage import store
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import calibrate
from tests.models import build, value, weights
from workers.engines.runner import RunnerProcess


def branches(second=(8, 8, 3, 3), shift=0.0):
    """Two convolutions on one tensor, their results joined.

    shift: bias of the second one's channels, with alternating sign.
    """
    nodes = [
        make_node("Conv", ["image", "w0"], ["s"], name="stem", pads=[1, 1, 1, 1]),
        make_node("Relu", ["s"], ["x"], name="stem_relu"),
        make_node("Conv", ["x", "w1", "b1"], ["a"], name="left", pads=[1, 1, 1, 1]),
        make_node("Relu", ["a"], ["ra"], name="left_relu"),
        make_node("Conv", ["x", "w2", "b2"], ["b"], name="right", pads=[second[2] // 2] * 4),
        make_node("Relu", ["b"], ["rb"], name="right_relu"),
        make_node("Concat", ["ra", "rb"], ["j"], name="join", axis=1),
        make_node("GlobalAveragePool", ["j"], ["p"], name="pool"),
        make_node("Flatten", ["p"], ["y"], name="flat"),
    ]
    stored = weights(w0=(8, 3, 3, 3), w1=(4, 8, 3, 3), b1=(4,), w2=second)
    stored["b2"] = (shift * (-1.0) ** np.arange(second[0])).astype(np.float32)
    return prepare(
        build(nodes, [value("image", [1, 3, 7, 5])], [value("y", [1, 12])], stored)
    ).model


def ranges(model):
    random = np.random.default_rng(0)
    feeds = [{"image": random.standard_normal((1, 3, 7, 5)).astype(np.float32)} for _ in range(8)]
    found = calibrate(model, tensors_to_calibrate(model), feeds, CalibrationMethod.MIN_MAX)
    return found.ranges, feeds


def programs(model):
    """Plain and merged."""
    found, feeds = ranges(model)
    plain = lower(annotate_ranges(read_source(model), found))
    return plain, merge_siblings(plain), feeds


def count(program, kind):
    return sum(isinstance(step, kind) for step in program.steps)


def test_siblings_are_one_call_with_nearly_the_same_results():
    plain, merged, feeds = programs(branches())

    assert (count(plain, Convolution), count(merged, Convolution)) == (3, 2)
    for feed in feeds:
        (before,), (after,) = plain.run(feed).values(), merged.run(feed).values()
        assert np.abs(before - after).max() <= 0.05 * np.abs(before).max()


def test_other_windows_stay_alone():
    _, merged, _ = programs(branches(second=(8, 8, 1, 1)))

    assert count(merged, Convolution) == 3


def test_factors_that_lie_too_far_apart_stay_alone():
    # One's results are large by their bias alone: its weights' part in them is small.
    _, merged, _ = programs(branches(shift=1000.0))

    assert count(merged, Convolution) == 3


def test_generated_c_has_the_reference_s_bits(tmp_path):
    model = branches()
    found, feeds = ranges(model)
    program = merge_siblings(lower(annotate_ranges(read_source(model), found)))
    storage = store(program)
    generation = Generation(program, storage, emit(program, storage, "test"))
    assert count(program, Parts) == 1
    write_sources(tmp_path, generation)
    library = build_runner(tmp_path, host_targets()[0], tmp_path / "runner")
    runner = RunnerProcess(library.path, library.target)
    try:
        for feed in feeds:
            (wanted,) = generation.program.run(feed).values()
            (answer,) = runner.run(list(feed.values()))
            assert answer.tobytes() == wanted.tobytes()
    finally:
        runner.close()


def test_a_higher_arena_is_no_price_for_it():
    model = branches()
    found, _ = ranges(model)
    plain = lower(annotate_ranges(read_source(model), found))

    arena = generate(model, "test", found).storage.arena_bytes

    assert arena == min(store(plain).arena_bytes, store(merge_siblings(plain)).arena_bytes)


def test_a_result_that_the_caller_gets_stays_alone():
    plain, _, _ = programs(branches())
    results = tuple(s.outputs[0] for s in plain.steps if isinstance(s, Convolution))
    given = replace(plain, outputs=(*plain.outputs, *results))
    assert merge_siblings(given) is given


def test_a_program_without_siblings_is_the_same():
    plain, _, _ = programs(branches(second=(8, 8, 1, 1)))
    alone = merge_siblings(merge_siblings(plain))

    assert merge_siblings(alone) is alone


def test_parts_are_runs():
    _, merged, _ = programs(branches())
    (parts,) = (step for step in merged.steps if isinstance(step, Parts))

    assert parts.offsets() == (0, parts.outputs[0].bytes)
    assert parts.inputs[0].bytes == sum(tensor.bytes for tensor in parts.outputs)
