"""Biases that take the mean error of quantisation out of every channel."""

import numpy as np
import pytest
from onnx.helper import make_node
from onnx.numpy_helper import to_array

from farm.artifact.compiler import Compiler
from farm.candidate import CalibrationMethod, Candidate, CPackage, Precision, StaticInt8
from farm.codegen.build.compilers import host_targets
from farm.codegen.build.toolchain import build_runner
from farm.codegen.package.write import write_sources
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import calibrate
from farm.compile.quantization.correct_biases import CorrectBiases, certain_mean
from farm.compile.quantization.quantize import QuantizeStatic, tensors_to_calibrate
from farm.compile.quantization.walk import Walk
from tests.farm.compile.graphs import residual_net, run
from tests.models import build, value, weights
from workers.engines.runner import RunnerProcess

PLAIN = StaticInt8(calibration=CalibrationMethod.PERCENTILE)
CORRECTED = StaticInt8(calibration=CalibrationMethod.PERCENTILE, bias_correction=True)


def images(count=12, seed=0):
    random = np.random.default_rng(seed)
    return [
        {"image": random.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(count)
    ]


def deep_net(bias=True, **attributes):
    """Three convolutions whose weights are small beside the one that decides their scale."""
    stored = weights(w1=(8, 3, 3, 3), w2=(8, 8, 3, 3), w3=(4, 8, 3, 3), b1=(8,), b2=(8,), b3=(4,))
    for name in ("w2", "w3"):
        stored[name] = stored[name] * 0.02 + 0.011  # rounded in one direction, mostly
        stored[name][:, 0, 0, 0] = 2.0
    nodes = []
    for at, given in enumerate(("image", "r1", "r2"), start=1):
        inputs = [given, f"w{at}", *([f"b{at}"] if bias else [])]
        nodes.append(make_node("Conv", inputs, [f"c{at}"], name=f"conv{at}", **attributes))
        nodes.append(
            make_node("Relu", [f"c{at}"], [f"r{at}" if at < 3 else "y"], name=f"relu{at}")
        )
    if not bias:
        stored = {name: each for name, each in stored.items() if name[0] == "w"}
    return build(nodes, [value("image", [1, 3, 8, 8])], [value("y", [1, 4, 2, 2])], stored)


def graph(compiler, quantization):
    return compiler.graph(Candidate(precision=Precision(quantization=quantization)))


def mean_error(exact, found):
    """The largest mean of a channel's errors."""
    return np.abs(np.subtract(found, exact).mean(axis=(0, -2, -1))).max()


@pytest.mark.parametrize("bias", [True, False])
def test_the_mean_error_of_a_net_goes(bias):
    model, samples = deep_net(bias), images()
    compiler = Compiler(model, samples)
    before, after = (graph(compiler, choice).model for choice in (PLAIN, CORRECTED))
    exact = [run(model, each) for each in samples]
    first, second = ([run(made, each) for each in samples] for made in (before, after))
    assert mean_error(exact, second) < 0.3 * mean_error(exact, first)


def test_weights_and_other_biases_stay():
    model, samples = prepare(deep_net()).model, images()
    ranges = calibrate(model, tensors_to_calibrate(model), samples, PLAIN.calibration)
    found = CorrectBiases(PLAIN, ranges, samples)(model)
    assert found.notes == ("Biases of 3 operators corrected on 12 calibration samples.",)
    given, moved = (
        {t.name: to_array(t) for t in m.graph.initializer} for m in (model, found.model)
    )
    assert set(moved) == {"w1", "w2", "w3", *(f"conv{at}/corrected_bias" for at in (1, 2, 3))}
    assert all(np.array_equal(given[name], moved[name]) for name in ("w1", "w2", "w3"))
    assert {t.name for t in model.graph.initializer} == set(given), "the model is left alone"


def test_the_right_correction_of_one_product():
    """y = x w: its weight 0.011 of a scale of 2/127 is rounded to one step of 0.01575."""
    stored = {"w": np.array([[[[2.0]], [[0.011]]]], np.float32)}
    node = make_node("Conv", ["x", "w"], ["y"], name="conv")
    model = build([node], [value("x", [1, 2, 1, 1])], [value("y", [1, 1, 1, 1])], stored)
    samples = [{"x": np.array([[[[0.0]], [[each]]]], np.float32)} for each in (0.9, 1.0, 1.1, 1.0)]
    model = prepare(model).model
    ranges = calibrate(model, tensors_to_calibrate(model), samples, CalibrationMethod.MIN_MAX)
    corrected = CorrectBiases(StaticInt8(), ranges, samples)(model).model
    (bias,) = (to_array(t) for t in corrected.graph.initializer if t.name != "w")
    assert bias.shape == (1,)
    assert bias[0] == pytest.approx(0.011 - 2 / 127, abs=2e-4)


def test_only_what_is_more_than_chance_is_taken_out():
    random = np.random.default_rng(0)
    errors = random.standard_normal((16, 64))
    assert (certain_mean(errors) ** 2).sum() < 0.2 * (errors.mean(axis=0) ** 2).sum()
    certain = certain_mean(errors + 10.0)
    np.testing.assert_allclose(certain, (errors + 10.0).mean(axis=0), rtol=2e-3)
    assert (certain_mean(np.zeros((4, 3))) == 0).all()
    assert (certain_mean(np.full((4, 3), 0.5)) == 0.5).all()


def test_one_sample_corrects_nothing():
    samples = images(1)
    done = graph(Compiler(deep_net(), samples), CORRECTED)
    assert "correct-biases" not in done.passes
    assert "No bias is corrected: one sample does not tell a mean." in done.notes


def test_kept_operators_keep_their_biases():
    samples = images()
    choice = StaticInt8(keep_float=("conv1",), bias_correction=True)
    done = graph(Compiler(deep_net(), samples), choice)
    assert "Biases of 2 operators corrected on 12 calibration samples." in done.notes


def test_a_residual_net_has_all_its_biases_corrected():
    done = graph(Compiler(residual_net(), images()), CORRECTED)
    assert done.passes.index("correct-biases") < done.passes.index("quantize-static")
    assert "Biases of 3 operators corrected on 12 calibration samples." in done.notes


def test_packages_are_corrected_and_have_their_reference_s_bits(tmp_path):
    model, samples = deep_net(), images()
    compiler = Compiler(model, samples)
    before, after = (
        compiler.generation(
            Candidate(CPackage(str(host_targets()[0])), Precision(quantization=choice))
        )
        for choice in (PLAIN, CORRECTED)
    )
    wanted = [after.program.run(each)["y"] for each in samples]
    exact = [run(model, each) for each in samples]
    first = mean_error(exact, [before.program.run(each)["y"] for each in samples])
    assert mean_error(exact, wanted) < 0.5 * first
    write_sources(tmp_path, after)
    library = build_runner(tmp_path, host_targets()[0], tmp_path / "runner")
    runner = RunnerProcess(library.path, library.target)
    try:
        for each, values in zip(samples, wanted, strict=True):
            assert runner.run(list(each.values()))[0].tobytes() == values.tobytes()
    finally:
        runner.close()


def test_a_walk_gives_what_the_graph_gives():
    model, samples = residual_net(), images(3)
    model = prepare(model).model
    ranges = calibrate(model, tensors_to_calibrate(model), samples, PLAIN.calibration)
    quantised = QuantizeStatic(PLAIN, ranges)(model).model
    walk, results = Walk(quantised, samples), {}
    for node in quantised.graph.node:
        made = walk.run(node)
        results |= made
        walk.keep(node, made)
    for index, sample in enumerate(samples):
        np.testing.assert_allclose(results["y"][index], run(quantised, sample), atol=0.05)
