"""Packages of models with tensors that 8 bits are too few for: float where it is needed."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.candidate import CalibrationMethod
from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.build.toolchain import build_runner
from farm.codegen.generate import Generation, generate, tensors_to_calibrate
from farm.codegen.package.write import write_sources
from farm.codegen.program import Program, Step
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import Range, calibrate
from tests.farm.compile.graphs import (
    causal_mask,
    detector_head,
    feeds,
    masked_attention,
    regression_far_from_zero,
)
from tests.models import build, value, weights
from workers.engines.runner import RunnerProcess

LOWEST = float(np.finfo(np.float32).min)


def integer(model: onnx.ModelProto, samples: list) -> Generation:
    ready = prepare(onnx.shape_inference.infer_shapes(model)).model
    names = tensors_to_calibrate(ready)
    ranges = calibrate(ready, names, samples, CalibrationMethod.MIN_MAX).ranges
    return generate(ready, "test", ranges)


def answers(model: onnx.ModelProto, program: Program, samples: list) -> tuple[np.ndarray, ...]:
    """What ONNX Runtime computes and what the program does, [samples, ...]."""
    session = ort.InferenceSession(model.SerializeToString())
    wanted = np.stack([session.run(None, feed)[0] for feed in samples])
    return wanted, np.stack([next(iter(program.run(feed).values())) for feed in samples])


def explained(wanted: np.ndarray, found: np.ndarray) -> float:
    """R2: the share of the variance of what is wanted that is found."""
    return float(1 - ((wanted - found) ** 2).mean() / wanted.var())


def test_scores_keep_their_scale_beside_boxes():
    model, samples = detector_head(), feeds(detector_head())

    program = integer(model, samples).program

    wanted, found = answers(model, program, samples)
    assert explained(wanted[..., 4:], found[..., 4:]) > 0.98
    (note,) = program.notes
    assert note.startswith(
        "Operator join is computed in float: in 8 bits for all that it joins, 's3' would have 0.4"
    )
    steps = zip(program.steps, program.operators, strict=True)
    floats = {name for step, name in steps if not _has_integers(step)}
    assert floats <= {"join", "flat", "y"}, "y is the transposed output"


def _has_integers(step: Step) -> bool:
    return any(tensor.quantization for tensor in (*step.inputs, *step.outputs))


def test_results_far_from_zero_are_computed_in_float():
    model, samples = regression_far_from_zero(), feeds(regression_far_from_zero(), 64)

    program = integer(model, samples).program

    assert explained(*answers(model, program, samples)) > 0.98
    (note,) = program.notes
    assert note.startswith("Operator last is computed in float: its results lie between 99")


def test_a_bias_far_from_zero_leaves_the_product_in_integers():
    nodes = [
        make_node("MatMul", ["x", "w"], ["p"], name="product"),
        make_node("Add", ["p", "b"], ["y"], name="bias"),
    ]
    stored = weights(w=(16, 4)) | {"b": np.full(4, 1000, np.float32)}
    model = build(nodes, [value("x", [1, 16])], [value("y", [1, 4])], stored)
    samples = feeds(model, 64)

    program = integer(model, samples).program

    assert explained(*answers(model, program, samples)) > 0.98
    assert [note.split(":")[0] for note in program.notes] == ["Operator bias is computed in float"]


def test_operators_without_float_code_stay_in_integers_and_say_so():
    nodes = [
        make_node("Mul", ["x", "many"], ["b"], name="boxes"),
        make_node("Concat", ["b", "x"], ["j"], name="join", axis=1),
        make_node("Elu", ["j"], ["y"], name="elu"),
    ]
    model = build(
        nodes, [value("x", [1, 8])], [value("y", [1, 16])], {"many": np.array(640, np.float32)}
    )

    program = integer(model, feeds(model)).program

    assert len(program.notes) == 1
    assert program.notes[0].startswith(
        "Tensor 'j' has 8 bits, because an operator beside it has no float code, although in 8"
    )


@pytest.mark.parametrize("lowest", [LOWEST, -1e9, -1e4, -100.0])
@pytest.mark.parametrize("op_type", ["Add", "Sub"])
def test_masked_logits_keep_their_scale(lowest: float, op_type: str):
    sign = 1 if op_type == "Add" else -1
    model = masked_attention(sign * causal_mask(lowest), op_type)
    samples = feeds(model)

    program = integer(model, samples).program

    wanted, found = answers(model, program, samples)
    assert explained(wanted, found) > 0.98
    assert found[..., 0, 8:].max() == 0
    assert all(tensor.quantization is not None for tensor in program.steps[-1].inputs)
    assert any(note.startswith("Results of operator mask below -") for note in program.notes)


def test_masked_logits_that_are_an_output_stay_in_float():
    model = masked_attention(causal_mask(-1e9))
    model.graph.output.append(value("masked", [4, 16]))
    samples = feeds(model)

    program = integer(model, samples).program

    found = np.stack([program.run(sample)["y"] for sample in samples])
    assert found[..., 0, 8:].max() == 0
    assert np.abs(found.sum(axis=-1) - 1).max() < 1e-2
    assert any(
        "mask is computed in float: it adds the mask of a softmax" in n for n in program.notes
    )


def with_mask_as_input(lowest: float) -> tuple[onnx.ModelProto, list]:
    """The mask comes from a second input: 1 where a key counts."""
    nodes = [
        make_node("Gemm", ["x", "w"], ["logits"], name="scores"),
        make_node("Sub", ["one", "keys"], ["off"], name="off"),
        make_node("Mul", ["off", "lowest"], ["mask"], name="lowest"),
        make_node("Add", ["logits", "mask"], ["masked"], name="mask"),
        make_node("Softmax", ["masked"], ["y"], name="softmax", axis=-1),
    ]
    stored = {"w": 2 * weights(w=(8, 16))["w"], "one": np.array(1, np.float32)}
    stored |= {"lowest": np.array(lowest, np.float32)}
    inputs = [value("x", [4, 8]), value("keys", [1, 16])]
    model = build(nodes, inputs, [value("y", [4, 16])], stored)
    samples = feeds(model)
    for count, sample in enumerate(samples):
        sample["keys"] = (np.arange(16) < 8 + count).astype(np.float32)[None]
    return model, samples


@pytest.mark.parametrize("lowest", [LOWEST, -1e9, -1e4])
def test_a_mask_that_is_computed_is_limited_as_well(lowest: float):
    model, samples = with_mask_as_input(lowest)

    program = integer(model, samples).program

    wanted, found = answers(model, program, samples)
    assert explained(wanted, found) > 0.98
    assert found[0, :, 8:].max() == 0
    assert not any("in float" in note for note in program.notes)


def test_compiled_code_limits_masks_as_the_reference_does(tmp_path):
    model, samples = with_mask_as_input(LOWEST)
    generation = integer(model, samples)
    write_sources(tmp_path, generation)
    library = build_runner(tmp_path, host_targets()[0], tmp_path / "runner")
    runner = RunnerProcess(library.path, library.target)
    try:
        for sample in samples:
            (wanted,) = generation.program.run(sample).values()
            (answer,) = runner.run([sample[t.name] for t in generation.program.inputs])
            assert answer.tobytes() == wanted.tobytes()
    finally:
        runner.close()


@pytest.mark.parametrize("weight", [1e-3, -1e-3])
def test_the_largest_sums_that_fit_have_the_same_bits_in_c(tmp_path, weight: float):
    inputs = (2**31 - 1) // (255 * 127) - 9
    stored = {"w": np.full((inputs, 2), weight, np.float32)}
    node = make_node("Gemm", ["x", "w"], ["y"], name="product")
    model = build([node], [value("x", [1, inputs])], [value("y", [1, 2])], stored)
    ranges = {"x": Range(0.0, 1.0), "y": Range.of(*sorted((0.0, 8000 * weight)))}
    generation = generate(model, "test", ranges)
    write_sources(tmp_path, generation)

    library = build_runner(tmp_path, Target.PORTABLE, tmp_path / "runner")

    ones = np.ones((1, inputs), np.float32)
    runner = RunnerProcess(library.path, library.target)
    try:
        (answer,) = runner.run([ones])
    finally:
        runner.close()
    (wanted,) = generation.program.run({"x": ones}).values()
    assert answer.tobytes() == wanted.tobytes()
    assert wanted == pytest.approx(np.full((1, 2), np.sign(weight) * 8), abs=0.1)
    assert not generation.program.notes
