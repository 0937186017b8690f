"""Inputs and outputs that are bytes for the caller: the same program behind other arrays."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from farm.candidate import CalibrationMethod
from farm.codegen.arithmetic import dequantize, quantize, quantize_port
from farm.codegen.build.compilers import Target
from farm.codegen.build.toolchain import build_runner
from farm.codegen.generate import Generation, generate, tensors_to_calibrate
from farm.codegen.ops.convert import Dequantize, Quantize
from farm.codegen.ops.integer.softmax import Softmax
from farm.codegen.ops.ports import Flip
from farm.codegen.package.write import write_sources
from farm.codegen.program import Copy, Element, PortType, Program, View
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import calibrate
from tests.farm.compile.graphs import residual_net
from tests.models import build, conv_net, value, weights
from workers.engines.runner import RunnerProcess

BYTES = [PortType.UINT8, PortType.INT8]


def samples(model: onnx.ModelProto, count: int = 6) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(3)
    shapes = {
        i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input
    }
    return [
        {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(count)
    ]


def made(model: onnx.ModelProto, ports: PortType, keep_float=()) -> Generation:
    ready = prepare(onnx.shape_inference.infer_shapes(model)).model
    names = tensors_to_calibrate(ready)
    ranges = calibrate(ready, names, samples(model), CalibrationMethod.MIN_MAX).ranges
    return generate(ready, "test", ranges, keep_float, ports=ports)


def feeds(program: Program, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        tensor.label: quantize_port(sample[tensor.label], tensor.quant, tensor.element)
        if tensor.quantization
        else sample[tensor.label]
        for tensor in program.inputs
    }


def answers(program: Program, sample: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs as the real numbers that they stand for."""
    found = program.run(feeds(program, sample))
    return [
        dequantize(found[tensor.name], tensor.quant) if tensor.quantization else found[tensor.name]
        for tensor in program.outputs
    ]


def images_net() -> onnx.ModelProto:
    """From and to channels last, three of them; nothing on the way is a product of its own."""
    nodes = [
        make_node("Transpose", ["image"], ["t"], name="to_first", perm=[0, 3, 1, 2]),
        make_node("Conv", ["t", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        make_node("Transpose", ["c"], ["y"], name="to_last", perm=[0, 2, 3, 1]),
    ]
    stored = weights(w=(5, 3, 3, 3))
    return build(nodes, [value("image", [1, 9, 7, 3])], [value("y", [1, 9, 7, 5])], stored)


def passing_net() -> onnx.ModelProto:
    """An input that is an output, one result that two outputs show, one that is read on."""
    nodes = [
        make_node("Relu", ["x"], ["r"], name="relu"),
        make_node("Identity", ["r"], ["again"], name="same"),
        make_node("MatMul", ["r", "w"], ["y"], name="product"),
    ]
    outputs = [value(name, [2, 8]) for name in ("x", "r", "again", "y")]
    return build(nodes, [value("x", [2, 8])], outputs, weights(w=(8, 8)))


NETS = {"conv": conv_net, "residual": residual_net, "images": images_net, "passing": passing_net}


@pytest.mark.parametrize("ports", BYTES)
@pytest.mark.parametrize("net", NETS)
def test_the_program_computes_what_it_does_behind_floats(net, ports):
    model = NETS[net]()
    floats, integers = (made(model, kind).program for kind in (PortType.FLOAT32, ports))
    assert {tensor.element for tensor in (*integers.inputs, *integers.outputs)} == {
        Element(ports.value)
    }
    assert not integers.notes
    for sample in samples(model):
        expected = floats.run(sample)
        for tensor, answer in zip(integers.outputs, answers(integers, sample), strict=True):
            real = expected.get(tensor.label)
            if real is None:  # an output that is an input
                real = sample[tensor.label]
            steps = quantize(real, made_quantization(tensor))
            np.testing.assert_array_equal(quantize(answer, made_quantization(tensor)), steps)


def made_quantization(tensor):
    """Of the u8 numbers that stand for the same as a port's."""
    moved = 128 if tensor.element is Element.S8 else 0
    return type(tensor.quant)(tensor.quant.scale, tensor.quant.zero_point + moved)


@pytest.mark.parametrize("ports", BYTES)
@pytest.mark.parametrize("net", NETS)
def test_nothing_is_converted_on_the_way(net, ports):
    steps = made(NETS[net](), ports).program.steps
    assert not [step for step in steps if isinstance(step, Quantize | Dequantize)]
    assert all(s.outputs[0].element is Element.U8 for s in steps if isinstance(s, Softmax))
    flips = sum(isinstance(step, Flip) for step in steps)
    ends = made(NETS[net](), ports).program
    assert flips == (len(ends.inputs) + len(ends.outputs) if ports is PortType.INT8 else 0)


def test_int8_is_uint8_with_the_other_first_bit():
    first, second = (made(residual_net(), kind).program for kind in BYTES)
    assert [t.quant.zero_point - 128 for t in first.inputs] == [
        t.quant.zero_point for t in second.inputs
    ]
    for sample in samples(residual_net()):
        (one,), (two,) = (
            program.run(feeds(program, sample)).values() for program in (first, second)
        )
        np.testing.assert_array_equal(one ^ 0x80, two.view(np.uint8))


def test_kernels_that_read_beyond_their_tensors_get_a_copy():
    """Here a table of results does; what brings channels to blocks does not."""
    nodes = [make_node("Sigmoid", ["x"], ["y"], name="s")]
    straight = build(nodes, [value("x", [3, 8])], [value("y", [3, 8])], {})
    copies = [s for s in made(straight, PortType.UINT8).program.steps if isinstance(s, Copy)]
    assert [step.inputs[0].label for step in copies] == ["x"]
    moved = made(images_net(), PortType.UINT8).program
    assert not [step for step in moved.steps if isinstance(step, Copy)]
    assert [step for step in moved.steps if isinstance(step, View)]


def test_what_is_not_quantised_stays_and_one_sentence_says_so():
    far = build(
        [
            make_node("Sigmoid", ["x"], ["s"], name="s"),
            make_node("Add", ["s", "far"], ["y"], name="add"),
        ],
        [value("x", [1, 8])],
        [value("s", [1, 8]), value("y", [1, 8])],
        {"far": np.full((1, 8), 1000, np.float32)},
    )
    program = made(far, PortType.UINT8).program
    assert [t.element for t in program.outputs] == [Element.U8, Element.F32]
    assert (
        program.notes[-1] == "Not quantised, so not uint8 as was asked for: output 'y' (float32)."
    )
    ready = prepare(far).model
    (note,) = generate(ready, "test", ports=PortType.INT8).program.notes
    assert note == (
        "Not quantised, so not int8 as was asked for: input 'x' (float32), output 's' (float32), "
        "output 'y' (float32)."
    )


def test_an_operator_in_float_reads_the_bytes_and_gives_bytes():
    program = made(passing_net(), PortType.UINT8, keep_float=["relu", "product"]).program
    assert all(t.element is Element.U8 for t in (*program.inputs, *program.outputs))
    for sample in samples(passing_net()):
        x, r, again, _ = answers(program, sample)
        np.testing.assert_array_equal(r, again)
        scale = program.outputs[1].quant.scale
        np.testing.assert_allclose(r, np.maximum(x, 0), rtol=0, atol=0.51 * scale)


def test_a_quantised_model_takes_the_integers_it_came_with():
    scale, zero = np.float32(0.05), np.int8(-20)
    stored = {"scale": np.asarray(scale), "zero": np.asarray(zero)}
    nodes = [
        make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="q"),
        make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="d"),
        make_node("Relu", ["d"], ["y"], name="relu"),
    ]
    model = build(nodes, [value("x", [1, 6])], [value("y", [1, 6])], stored)
    program = generate(prepare(model).model, "test", ports=PortType.INT8).program
    (x,) = program.inputs
    assert (x.element, x.quant.zero_point) == (Element.S8, -20)
    assert x.quant.scale == pytest.approx(0.05)
    assert program.notes == ("Not quantised, so not int8 as was asked for: output 'y' (float32).",)


def test_single_ends_may_be_integers():
    """In a model with ranges, and in one that came quantised: there outputs of pairs, too."""
    program = made(residual_net(), {"image": PortType.UINT8}).program
    assert [t.element for t in (*program.inputs, *program.outputs)] == [Element.U8, Element.F32]
    assert not program.notes
    stored = {"scale": np.float32(0.05), "zero": np.int8(-20)}
    nodes = [
        make_node("Relu", ["x"], ["r"], name="relu"),
        make_node("QuantizeLinear", ["r", "scale", "zero"], ["q"], name="q"),
        make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], name="d"),
    ]
    model = build(nodes, [value("x", [1, 6])], [value("y", [1, 6])], stored)
    program = generate(prepare(model).model, "test", ports={"y": PortType.INT8}).program
    (x,), (y,) = program.inputs, program.outputs
    assert (x.element, y.element) == (Element.F32, Element.S8)
    given = np.linspace(-1, 1, 6, dtype=np.float32)[None]
    found = program.run({"x": given})[y.name]
    np.testing.assert_array_equal(found, np.rint(np.maximum(given, 0) / 0.05).astype(int) - 20)


@pytest.mark.parametrize("target", [Target.PORTABLE, Target.HEXAGON_HVX])
@pytest.mark.parametrize("ports", BYTES)
def test_generated_code_agrees_bit_for_bit(ports, target, tmp_path, request):
    if target.is_hexagon:
        request.getfixturevalue("emulator")
    for net in ("images", "passing", "residual"):
        model, folder = NETS[net](), tmp_path / net
        folder.mkdir()
        generation = made(model, ports)
        write_sources(folder, generation)
        build_runner(folder, target, folder / "runner")
        program = generation.program
        with RunnerProcess(folder / "runner", target) as runner:
            for sample in samples(model):
                given = feeds(program, sample)
                told = runner.run([given[tensor.label] for tensor in program.inputs])
                for tensor, content in zip(program.outputs, told, strict=True):
                    assert content.tobytes() == program.run(given)[tensor.name].tobytes(), net
