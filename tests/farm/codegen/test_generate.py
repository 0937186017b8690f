"""Whole models through the generator: what comes out computes what the model computes."""

import dataclasses

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.candidate import CalibrationMethod, StaticInt8
from farm.codegen.build.compilers import host_targets
from farm.codegen.build.toolchain import build_runner
from farm.codegen.front.source import UnsupportedOperator
from farm.codegen.generate import generate, tensors_to_calibrate
from farm.codegen.ops.integer.convolution import Convolution
from farm.codegen.ops.integer.elementwise import Table
from farm.codegen.package.write import write_sources
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import calibrate
from farm.compile.quantization.quantize import QuantizeStatic
from farm.compile.quantization.quantize import tensors_to_calibrate as qdq_tensors
from farm.errors import CompileError
from tests.farm.compile.graphs import residual_net
from tests.models import build, conv_net, value, weights
from workers.engines.runner import RunnerProcess


def mixed_net() -> onnx.ModelProto:
    """Operators of every family between an NHWC input and an NHWC output."""
    nodes = [
        make_node("Transpose", ["image"], ["t"], name="to_first", perm=[0, 3, 1, 2]),
        make_node("Conv", ["t", "w1"], ["c1"], name="stem", pads=[0, 1, 2, 1], strides=[2, 1]),
        make_node("LeakyRelu", ["c1"], ["a1"], name="leaky", alpha=0.1),
        make_node("MaxPool", ["a1"], ["m"], name="max", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        make_node("AveragePool", ["m"], ["v"], name="mean", kernel_shape=[2, 2]),
        make_node("Conv", ["v", "w2"], ["c2"], name="wide", dilations=[2, 1], pads=[2, 1, 2, 1]),
        make_node("Sigmoid", ["c2"], ["s"], name="gate"),
        make_node("Mul", ["c2", "s"], ["g"], name="gated"),
        make_node("Split", ["g"], ["g1", "g2"], name="split", axis=1),
        make_node("PRelu", ["g2", "slope"], ["p"], name="prelu"),
        make_node("Concat", ["p", "g1"], ["j"], name="join", axis=1),
        make_node("Sub", ["j", "shift"], ["d"], name="shifted"),
        make_node("Transpose", ["d"], ["image_out"], name="to_last", perm=[0, 2, 3, 1]),
    ]
    stored = weights(w1=(8, 3, 3, 3), w2=(8, 8, 3, 3), slope=(4, 1, 1), shift=(1, 8, 1, 1))
    return build(nodes, [value("image", [1, 9, 10, 3])], [value("image_out", None)], stored)


def samples(model, count=8):
    random = np.random.default_rng(3)
    shapes = {
        i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input
    }
    return [
        {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(count)
    ]


def prepared(model):
    return prepare(onnx.shape_inference.infer_shapes(model)).model


def integer(model, feeds, keep_float=()):
    ready = prepared(model)
    names = tensors_to_calibrate(ready)
    ranges = calibrate(ready, names, feeds, CalibrationMethod.MIN_MAX).ranges
    return generate(ready, "test", ranges, keep_float)


def expected(model, feeds):
    """By kernels for floats: those for integers saturate on processors without VNNI."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    return [session.run(None, feed)[0] for feed in feeds]


def noise(wanted, found) -> float:
    """Relative error of all outputs together."""
    difference = np.stack(wanted) - np.stack(found)
    return float(np.sqrt((difference**2).mean() / np.stack(wanted).var()))


MODELS = {"conv": conv_net, "residual": residual_net, "mixed": mixed_net}


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request):
    return MODELS[request.param]()


def test_integers_are_near_the_float_model(model):
    feeds = samples(model)
    program = integer(model, feeds).program

    found = [next(iter(program.run(feed).values())) for feed in feeds]

    assert noise(expected(model, feeds), found) < 0.1


def test_without_ranges_everything_is_float(model):
    feeds = samples(model, 2)
    program = generate(prepared(model), "test").program

    found = [next(iter(program.run(feed).values())) for feed in feeds]

    np.testing.assert_allclose(found, expected(model, feeds), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(step, Convolution) for step in program.steps)


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("second", [[0, 3, 1, 2], [0, 2, 3, 1]])
def test_channels_that_are_moved_twice(second, quantised):
    nodes = [
        make_node("Transpose", ["x"], ["a"], name="first", perm=[0, 2, 3, 1]),
        make_node("Transpose", ["a"], ["b"], name="second", perm=second),
        make_node("Relu", ["b"], ["y"], name="relu"),
    ]
    x = np.random.default_rng(1).standard_normal((1, 4, 5, 6)).astype(np.float32)
    wanted = np.maximum(x.transpose(0, 2, 3, 1).transpose(second), 0)
    model = build(nodes, [value("x", x.shape)], [value("y", wanted.shape)], {})
    ranges = None
    if quantised:
        names = tensors_to_calibrate(model)
        ranges = calibrate(model, names, [{"x": x}], CalibrationMethod.MIN_MAX).ranges

    found = generate(model, "test", ranges).program.run({"x": x})["y"]

    np.testing.assert_allclose(found, wanted, atol=0.02 if quantised else 0)


def test_generated_c_has_the_reference_s_bits(model, tmp_path):
    feeds = samples(model, 4)
    generation = integer(model, feeds)
    write_sources(tmp_path, generation)
    library = build_runner(tmp_path, host_targets()[0], tmp_path / "runner")
    runner = RunnerProcess(library.path, library.target)
    try:
        for feed in feeds:
            wanted = [array.tobytes() for array in generation.program.run(feed).values()]
            assert [array.tobytes() for array in runner.run(list(feed.values()))] == wanted
    finally:
        runner.close()


def test_a_quantised_model_keeps_its_integers():
    model = residual_net()
    feeds, ready = samples(model), prepared(model)
    ranges = calibrate(ready, qdq_tensors(ready), feeds, CalibrationMethod.MIN_MAX)
    quantised = QuantizeStatic(StaticInt8(), ranges)(ready).model

    program = generate(quantised, "test").program

    found = [next(iter(program.run(feed).values())) for feed in feeds]
    assert noise(expected(quantised, feeds), found) < 0.02
    assert sum(isinstance(step, Convolution) for step in program.steps) == 2


def test_a_residual_connection_is_one_step_with_its_convolution():
    model = residual_net()
    program = integer(model, samples(model)).program

    convolutions = [step for step in program.steps if isinstance(step, Convolution)]
    assert [len(step.inputs) for step in convolutions] == [1, 2]
    assert not any(isinstance(step, Table) for step in program.steps)


def test_operators_can_be_kept_in_float():
    model = residual_net()
    generation = integer(model, samples(model), ["body", "join", "join_relu"])

    convolutions = [s for s in generation.program.steps if isinstance(s, Convolution)]
    assert len(convolutions) == 1
    assert (
        noise(
            expected(model, samples(model)),
            [next(iter(generation.program.run(feed).values())) for feed in samples(model)],
        )
        < 0.1
    )


def test_files_are_the_same_when_repeated():
    model = residual_net()
    feeds = samples(model)
    first, second = integer(model, feeds), integer(model, feeds)

    assert first.generated == second.generated
    assert first is not second


def test_only_kernels_that_are_used_are_shipped():
    model = residual_net()
    kernels = integer(model, samples(model)).generated.kernels

    assert "conv.h" in kernels
    assert not any("resample" in name or "softmax" in name for name in kernels)


def test_names_what_is_not_supported():
    nodes = [make_node("Einsum", ["x", "x"], ["y"], name="odd", equation="i,i->i")]
    model = build(nodes, [value("x", [3])], [value("y", [3])], {})

    with pytest.raises(
        UnsupportedOperator, match=r"operator 'odd' \(Einsum\): it has no code for"
    ):
        generate(model, "test")


def test_names_a_type_that_is_not_supported():
    nodes = [make_node("Relu", ["x"], ["y"], name="relu")]
    double = onnx.TensorProto.DOUBLE
    model = build(nodes, [value("x", [3], double)], [value("y", [3], double)], {})

    with pytest.raises(CompileError, match="int64 and bool inputs, and 'x' is float64"):
        generate(model, "test")


def test_a_product_that_does_not_fit_the_arithmetic_is_computed_in_float():
    model = residual_net()
    ready, feeds = prepared(model), samples(model)
    ranges = dict(
        calibrate(ready, tensors_to_calibrate(ready), feeds, CalibrationMethod.MIN_MAX).ranges
    )
    tiny = dataclasses.replace(ranges["y"], lowest=-1e-9, highest=1e-9)

    program = generate(ready, "test", {**ranges, "y": tiny}).program

    assert any("head is computed in float" in note for note in program.notes)


def quantised_then(*nodes, outputs):
    """A QDQ model of a MatMul, with operators behind its last DequantizeLinear."""
    stored = {
        "s": np.float32(0.02),
        "z": np.uint8(128),
        "sw": np.float32(0.01),
        "zw": np.int8(0),
        "w": np.random.default_rng(0).integers(-127, 127, (8, 16)).astype(np.int8),
    }
    pairs = [
        make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        make_node("DequantizeLinear", ["w", "sw", "zw"], ["wd"]),
        make_node("MatMul", ["xd", "wd"], ["m"]),
        make_node("QuantizeLinear", ["m", "s", "z"], ["yq"]),
        make_node("DequantizeLinear", ["yq", "s", "z"], ["yd"]),
    ]
    model = build([*pairs, *nodes], [value("x", [2, 8])], outputs, stored)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        (make_node("Identity", ["yd"], ["y"]), [2, 16]),
        (make_node("Flatten", ["yd"], ["y"], axis=0), [1, 32]),
        (make_node("Transpose", ["yd"], ["y"], perm=[1, 0]), [16, 2]),
        (make_node("Concat", ["yd", "x"], ["y"], axis=1), [2, 24]),
    ],
    ids=lambda each: getattr(each, "op_type", ""),
)
def test_what_only_moves_floats_leaves_a_program_one_of_integers(node, shape):
    program = generate(quantised_then(node, outputs=[value("y", shape)]), "test").program
    assert program.is_integer
    assert not program.is_float


def test_what_computes_floats_does_not():
    node = make_node("Exp", ["yd"], ["y"])
    program = generate(quantised_then(node, outputs=[value("y", [2, 16])]), "test").program
    assert not program.is_integer
    assert not program.is_float
    assert generate(prepared(conv_net()), "test").program.is_float


def test_an_input_that_is_an_output_is_passed_on_as_it_is():
    outputs = [value("yd", [2, 16]), value("x", [2, 8])]
    program = generate(quantised_then(outputs=outputs), "test").program
    x = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    results = program.run({"x": x})
    assert [tensor.label for tensor in program.outputs] == ["yd", "x"]
    np.testing.assert_array_equal(results[program.outputs[1].name], x)


ENDINGS = ("", ".u8", ".blocked", ".exact", ".rounded", ".image", ".merged", ".0", ".copy", "_u8")


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("first", range(len(ENDINGS)))
def test_tensors_may_have_the_names_that_lowering_makes(first, quantised):
    innocent = residual_net()
    tensors = dict.fromkeys(name for node in innocent.graph.node for name in node.output)
    names = ["image", *(name for name in tensors if name not in ("image", "y")), "y"]
    endings = ENDINGS[first:] + ENDINGS[:first]
    called = {name: f"x{ending}" for name, ending in zip(names, endings, strict=True)}
    hostile = onnx.ModelProto()
    hostile.CopyFrom(innocent)
    for node in hostile.graph.node:
        node.input[:] = [called.get(name, name) for name in node.input]
        node.output[:] = [called.get(name, name) for name in node.output]
    for end in (*hostile.graph.input, *hostile.graph.output):
        end.name = called[end.name]
    programs = {}
    for model in (innocent, hostile):
        feeds = samples(model)
        made = integer(model, feeds) if quantised else generate(prepared(model), "test")
        programs[made.program.inputs[0].label] = made, feeds[0]

    (plain, given), (other, fed) = programs["image"], programs[called["image"]]
    np.testing.assert_array_equal(
        next(iter(other.program.run(fed).values())), next(iter(plain.program.run(given).values()))
    )
    assert [tensor.label for tensor in other.program.outputs] == [called["y"]]
    assert other.generated.memory_bytes == plain.generated.memory_bytes
    assert other.storage.arena_bytes == plain.storage.arena_bytes
