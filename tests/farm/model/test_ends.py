"""Inputs and outputs of models: what is inferred of them, and which of them are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import NodeProto, TensorProto, TypeProto, ValueInfoProto
from onnx.helper import (
    make_map_type_proto,
    make_node,
    make_optional_type_proto,
    make_sequence_type_proto,
    make_sparse_tensor_type_proto,
    make_tensor_type_proto,
    make_value_info,
)

from farm.errors import ModelError
from farm.model.model import load_model
from tests import models

_X = models.value("x", [1, 16])
_MATMUL = make_node("MatMul", ["x", "w"], ["y"])
_FLOATS = make_tensor_type_proto(TensorProto.FLOAT, [4])


def saved(
    folder: Path,
    *outputs: ValueInfoProto,
    nodes: Sequence[NodeProto] = (_MATMUL,),
    inputs: Sequence[ValueInfoProto] = (_X,),
    domains: Sequence[str] = (),
) -> Path:
    stored = models.weights(w=(16, 8))
    proto = models.build(nodes, inputs, outputs, stored, domains=domains)
    return models.save(proto, folder)


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    return str(caught.value)


def untyped(name: str) -> ValueInfoProto:
    return ValueInfoProto(name=name)


def shapeless(name: str, element: int = TensorProto.FLOAT) -> ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, element, None)


# --- what is inferred


@pytest.mark.parametrize(
    "output",
    [
        shapeless("y"),
        untyped("y"),
        shapeless("y", TensorProto.UNDEFINED),
        models.value("y", [None, "width"]),
    ],
    ids=["no shape", "no type", "no element type", "no sizes"],
)
def test_what_an_output_leaves_out_is_inferred(tmp_path, output):
    model = load_model(saved(tmp_path, output))
    assert model.outputs[0].shape == (1, 8)
    assert model.outputs[0].dtype == np.float32
    ort.InferenceSession(model.proto.SerializeToString(), providers=["CPUExecutionProvider"])


def test_a_tensor_inside_without_a_shape(tmp_path):
    nodes = [_MATMUL, make_node("Relu", ["y"], ["z"])]
    proto = models.build(nodes, [_X], [shapeless("z")], models.weights(w=(16, 8)))
    proto.graph.value_info.append(shapeless("y"))
    assert load_model(models.save(proto, tmp_path)).outputs[0].shape == (1, 8)


@pytest.mark.parametrize("describe", [shapeless, untyped])
def test_outputs_that_are_weights_or_inputs(tmp_path, describe):
    model = load_model(saved(tmp_path, *(describe(name) for name in "ywx")))
    assert [output.shape for output in model.outputs] == [(1, 8), (16, 8), (1, 16)]
    assert {output.dtype for output in model.outputs} == {np.dtype(np.float32)}


def test_a_shape_that_depends_on_data_is_known_only_after_running(tmp_path):
    path = saved(tmp_path, untyped("y"), nodes=[make_node("NonZero", ["x"], ["y"])])
    (output,) = load_model(path).outputs
    assert (output.shape, output.dtype) == (None, np.int64)


def test_an_output_whose_type_nobody_tells(tmp_path):
    gelu = make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    path = saved(tmp_path, shapeless("y"), nodes=[gelu], domains=["com.microsoft"])
    assert load_model(path).outputs[0].shape is None
    path = saved(tmp_path, untyped("y"), nodes=[gelu], domains=["com.microsoft"])
    assert refusal(path) == (
        f"Output 'y' of model {path} has no type, and its operator does not tell it; export the "
        "model again with the types of its outputs."
    )


# --- what cannot be fed or read


@pytest.mark.parametrize(
    ("value", "missing"),
    [
        (shapeless("x"), "no shape, not even a number of dimensions; {again} shapes of"),
        (untyped("x"), "no type; {again} types of"),
    ],
    ids=["shape", "type"],
)
def test_an_input_without_a_shape_or_a_type(tmp_path, value, missing):
    path = saved(tmp_path, shapeless("y"), inputs=[value])
    told = missing.format(again="export the model again with the")
    assert refusal(path) == f"Input 'x' of model {path} has {told} its inputs."


def test_a_scalar_has_a_shape(tmp_path):
    path = saved(
        tmp_path,
        untyped("y"),
        nodes=[make_node("Relu", ["x"], ["y"])],
        inputs=[models.value("x", [])],
    )
    assert load_model(path).outputs[0].shape == ()


@pytest.mark.parametrize(
    ("element", "name", "plain"),
    [
        (TensorProto.BFLOAT16, "bfloat16", "float32"),
        (TensorProto.FLOAT8E4M3FN, "float8e4m3fn", "float32"),
        (TensorProto.FLOAT8E4M3FNUZ, "float8e4m3fnuz", "float32"),
        (TensorProto.FLOAT8E5M2, "float8e5m2", "float32"),
        (TensorProto.FLOAT8E5M2FNUZ, "float8e5m2fnuz", "float32"),
        (TensorProto.FLOAT4E2M1, "float4e2m1", "float32"),
        (TensorProto.INT4, "int4", "int8"),
        (TensorProto.UINT4, "uint4", "uint8"),
    ],
)
def test_numbers_that_numpy_does_not_have(tmp_path, element, name, plain):
    cast = make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    inputs = [models.value("x", [4], element)]
    path = saved(tmp_path, models.value("y", [4]), nodes=[cast], inputs=inputs)
    assert refusal(path) == (
        f"Input 'x' of model {path} is {name}, which the farm cannot feed; export the model with "
        f"an input of {plain} and a Cast to {name} behind it."
    )
    cast = make_node("Cast", ["x"], ["y"], to=element)
    told = (
        f"Output 'y' of model {path} is {name}, which the farm cannot read; export the model with "
        f"an output of {plain} and a Cast before it."
    )
    for output in (models.value("y", [4], element), shapeless("y", element)):
        path = saved(tmp_path, output, nodes=[cast], inputs=[models.value("x", [4])])
        assert refusal(path) == told


def test_an_output_whose_inferred_type_cannot_be_read(tmp_path):
    cast = make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)
    path = saved(tmp_path, untyped("y"), nodes=[cast])
    assert "Output 'y' of model" in refusal(path)
    assert "is bfloat16, which the farm cannot read" in refusal(path)


@pytest.mark.parametrize("element", [TensorProto.COMPLEX64, TensorProto.COMPLEX128])
def test_complex_numbers(tmp_path, element):
    name = TensorProto.DataType.Name(element).lower()
    identity = make_node("Identity", ["x"], ["y"])
    inputs = [models.value("x", [4], element)]
    path = saved(tmp_path, untyped("y"), nodes=[identity], inputs=inputs)
    assert refusal(path) == (
        f"Input 'x' of model {path} is {name}, which the farm cannot feed; give its real and "
        "imaginary parts as two float32 inputs."
    )


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (make_tensor_type_proto(TensorProto.STRING, [4]), "text"),
        (make_sequence_type_proto(_FLOATS), "a sequence"),
        (make_optional_type_proto(_FLOATS), "an optional value"),
        (make_map_type_proto(TensorProto.INT64, _FLOATS), "a map"),
        (make_sparse_tensor_type_proto(TensorProto.FLOAT, [4]), "a sparse tensor"),
    ],
)
def test_what_is_no_tensor_of_numbers(tmp_path, kind: TypeProto, what):
    identity = make_node("Identity", ["x"], ["y"])
    path = saved(tmp_path, untyped("y"), nodes=[identity], inputs=[make_value_info("x", kind)])
    assert refusal(path) == (
        f"'x' of model {path} is {what}; the farm runs models whose inputs and outputs are "
        "tensors of numbers."
    )


def test_text_inputs_are_refused(tmp_path):
    proto = models.mlp()
    proto.graph.input.append(models.value("words", [1], TensorProto.STRING))
    assert "'words' of model" in refusal(models.save(proto, tmp_path))
    assert "is text" in refusal(models.save(proto, tmp_path))


def test_a_model_without_inputs_outputs_or_operators(tmp_path):
    for part, what in (("output", "outputs"), ("node", "operators"), ("input", "inputs")):
        proto = models.build(
            [onnx.helper.make_node("Relu", ["w"], ["y"])],
            [models.value("x", [4])],
            [models.value("x" if part == "node" else "y", [4])],
            {"w": np.ones(4, np.float32)},
        )
        proto.graph.ClearField(part)
        path = models.save(proto, tmp_path)
        assert refusal(path) == f"Model {path} has no {what}, so that there is nothing to compute."


def test_an_output_that_is_listed_twice(tmp_path):
    proto = models.mlp()
    proto.graph.output.append(proto.graph.output[0])
    name = proto.graph.output[0].name
    assert f"lists its output '{name}' twice" in refusal(models.save(proto, tmp_path))
