"""Loading models: shapes, names, hashes, and one clear sentence for what cannot be loaded."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from farm.errors import ModelError
from farm.model.file import PROTOBUF_LIMIT
from farm.model.model import load_model, save_model
from farm.model.walk import all_nodes
from tests import models


def refusal(path: Path, **shapes: int) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path, shapes)
    return str(caught.value)


def inferred(proto: onnx.ModelProto) -> dict[str, list[int]]:
    values = (*proto.graph.value_info, *proto.graph.output)
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


# --- what a model is


def test_a_model_describes_its_file(tmp_path):
    path = models.save(models.conv_net(), tmp_path, "net.onnx")
    model = load_model(path)
    assert model.name == "net"
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.size == path.stat().st_size
    assert (model.opset, model.domains) == (17, ("",))
    assert [(i.name, i.shape, i.dtype) for i in model.inputs] == [
        ("image", (1, 3, 16, 16), np.dtype(np.float32))
    ]
    assert [(o.name, o.shape) for o in model.outputs] == [("scores", (1, 4))]
    assert inferred(model.proto)["c2"] == [1, 8, 16, 16]


def test_weights_listed_as_inputs_are_not_inputs(tmp_path):
    model = load_model(models.save(models.old_net(), tmp_path))
    assert [i.name for i in model.inputs] == ["x"]
    assert inferred(model.proto)["y"] == [1, 2, 6, 6]
    assert inferred(model.proto)["w"] == [2, 1, 3, 3]


def test_every_node_gets_a_unique_name_that_stays(tmp_path):
    proto = models.conv_net()
    proto.graph.node[1].name = proto.graph.node[3].name = "relu"
    proto.graph.node[2].name = "Conv_0"
    path = models.save(proto, tmp_path)
    names = [node.name for node in load_model(path).proto.graph.node]
    assert len(set(names)) == len(names)
    assert all(names)
    assert names[1:4] == ["relu", "Conv_0", "relu_3"], "names that are unique stay"
    assert names == [node.name for node in load_model(path).proto.graph.node]


def test_nodes_in_branches_are_named_too(tmp_path):
    model = load_model(models.save(models.branching_net(), tmp_path))
    names = [node.name for node in all_nodes(model.proto)]
    assert len(names) == 4
    assert len(set(names)) == 4
    assert all(names)


def test_a_loaded_model_still_is_valid_and_unchanged_in_content(tmp_path):
    before = models.conv_net()
    model = load_model(models.save(before, tmp_path))
    onnx.checker.check_model(model.proto, full_check=True)
    assert list(model.proto.graph.initializer) == list(before.graph.initializer)
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)
    outputs = [ReferenceEvaluator(p).run(None, {"image": x})[0] for p in (before, model.proto)]
    np.testing.assert_array_equal(*outputs)


def test_large_weights_survive_shape_inference(tmp_path):
    proto = models.mlp(width=4096)
    model = load_model(models.save(proto, tmp_path))
    assert list(model.proto.graph.initializer) == list(proto.graph.initializer)
    assert [v.name for v in model.proto.graph.input] == ["x"]
    assert inferred(model.proto)["m1"] == [1, 4096]


# --- dynamic dimensions


def test_batch_defaults_to_one_and_names_are_fixed_everywhere(tmp_path):
    model = load_model(models.save(models.dynamic_net(), tmp_path), {"sequence": 5})
    assert model.inputs[0].shape == (1, 5, 8)
    assert model.outputs[0].shape == (1, 5, 4)
    assert model.shapes == {"batch": 1, "sequence": 5}
    dims = model.proto.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in dims] == [1, 5, 8]


@pytest.mark.parametrize("name", ["batch", "batch_size", "N", "n", "unk__123", None, "Batch-1"])
def test_what_counts_as_a_batch(tmp_path, name):
    path = models.save(models.dynamic_net((name, 3, 8)), tmp_path)
    assert load_model(path).inputs[0].shape == (1, 3, 8)
    asked = {name or "tokens.0": 4}
    assert load_model(path, asked).inputs[0].shape == (4, 3, 8)


@pytest.mark.parametrize("dims", [("sequence", 8), (2, None, 8), (2, "unk__7", 8)])
def test_what_does_not_count_as_a_batch(tmp_path, dims):
    assert "without a size" in refusal(models.save(models.dynamic_net(dims), tmp_path))


def test_all_missing_sizes_are_named_at_once(tmp_path):
    path = models.save(models.dynamic_net(("batch", "sequence", None, 8)), tmp_path)
    assert refusal(path) == (
        f"Model {path} has dynamic dimensions without a size: 'sequence', 'tokens.2'; give "
        "--shape sequence=SIZE --shape tokens.2=SIZE."
    )
    assert load_model(path, {"sequence": 2, "tokens.2": 3}).inputs[0].shape == (1, 2, 3, 8)


def test_unknown_shape_names_get_the_nearest(tmp_path):
    path = models.save(models.dynamic_net(), tmp_path)
    assert refusal(path, sequense=5) == (
        f"Model {path} has no dynamic dimension 'sequense' (asked for by --shape sequense=5); "
        "it has 'batch', 'sequence'; did you mean --shape sequence=5?"
    )


def test_a_shape_for_a_fixed_model_is_refused(tmp_path):
    assert "it has no dynamic dimensions." in refusal(models.save(models.mlp(), tmp_path), batch=2)


def test_a_size_must_not_be_negative(tmp_path):
    path = models.save(models.dynamic_net(), tmp_path)
    assert refusal(path, sequence=-1) == (
        "--shape sequence=-1 is not a size: a dimension must be at least 0."
    )


def test_a_cache_begins_empty(tmp_path):
    model = load_model(models.save(models.cache_net(), tmp_path), {"past_len": 0})
    assert [spec.shape for spec in model.inputs] == [(1, 1, 16), (1, 0, 16)]
    assert [spec.shape for spec in model.outputs] == [(1, 1, 16), (1, 1, 16)]


def test_shapes_computed_from_shapes_are_found(tmp_path):
    model = load_model(models.save(models.reshape_net(), tmp_path), {"length": 6})
    assert model.outputs[0].shape == (1, 24)


def test_control_flow_may_leave_shapes_unknown(tmp_path):
    model = load_model(models.save(models.branching_net(), tmp_path))
    assert [i.shape for i in model.inputs] == [(1, 8), ()]
    assert model.outputs[0].shape in {None, (1, 4)}


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 64), length=st.integers(1, 64))
def test_any_size_reaches_the_outputs(tmp_path_factory, batch, length):
    path = models.save(models.dynamic_net(), tmp_path_factory.mktemp("m"))
    model = load_model(path, {"batch": batch, "sequence": length})
    assert model.outputs[0].shape == (batch, length, 4)


# --- external data


def test_external_data_is_in_memory_and_in_the_hash(tmp_path):
    path = models.save_external(models.mlp(), tmp_path)
    data = tmp_path / "model.data"
    first = load_model(path)
    assert first.size == path.stat().st_size + data.stat().st_size
    assert first.proto.graph.initializer[0].raw_data == models.mlp().graph.initializer[0].raw_data
    expected = hashlib.sha256(path.read_bytes() + b"model.data\0")
    expected.update(data.stat().st_size.to_bytes(8, "little") + data.read_bytes())
    assert first.sha256 == expected.hexdigest()
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    assert load_model(path).sha256 != first.sha256


def test_external_data_in_a_folder_below_is_allowed(tmp_path):
    path = models.save_external(models.mlp(), tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "model.data").rename(tmp_path / "weights" / "model.data")
    models.relocate(path, "weights/model.data")
    assert load_model(path).inputs[0].name == "x"


def test_missing_external_data(tmp_path):
    path = models.save_external(models.mlp(), tmp_path)
    (tmp_path / "model.data").unlink()
    assert refusal(path) == (
        f"Model {path} needs the external data file 'model.data', which is not in {tmp_path}; "
        "put it there."
    )


def test_short_external_data(tmp_path):
    path = models.save_external(models.mlp(), tmp_path)
    os.truncate(tmp_path / "model.data", 100)
    message = refusal(path)
    assert message.startswith(f"The external data of model {path} cannot be read: ")
    assert "\n" not in message


@pytest.mark.parametrize("kind", ["absolute", "parent", "nested parent", "windows", "folder link"])
def test_external_data_outside_the_folder(tmp_path, kind):
    inside = tmp_path / "inside"
    inside.mkdir()
    path = models.save_external(models.mlp(), inside)
    secret = (inside / "model.data").rename(tmp_path / "secret.data")
    (inside / "link").symlink_to(tmp_path, target_is_directory=True)
    location = {
        "absolute": str(secret),
        "parent": "../secret.data",
        "nested parent": "link/../../secret.data",
        "windows": "..\\secret.data",
        "folder link": "link/secret.data",
    }[kind]
    models.relocate(path, location)
    assert f"'{location}', which is outside the model's folder" in refusal(path)


def test_external_data_behind_a_link(tmp_path):
    path = models.save_external(models.mlp(), tmp_path)
    (tmp_path / "model.data").rename(tmp_path / "real.data")
    (tmp_path / "model.data").symlink_to(tmp_path / "real.data")
    assert "'model.data' of model" in refusal(path)
    assert "symbolic link" in refusal(path)


# --- files that are no models


def test_a_missing_file(tmp_path):
    path = tmp_path / "none.onnx"
    assert refusal(path) == f"There is no model file {path}."


def test_a_folder(tmp_path):
    assert refusal(tmp_path) == f"Model {tmp_path} is a folder; give the .onnx file in it."


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.onnx"
    path.touch()
    assert refusal(path) == f"Model {path} is an empty file; export or copy it again."


@pytest.mark.parametrize(
    "content",
    [
        b"<html>not found</html>",
        b"PK\x03\x04 zip",
        b"\x89PNG\r\n",
        b"\x00" * 64,
        bytes(range(256)),
    ],
)
def test_something_else(tmp_path, content):
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    assert refusal(path) == (f"{path} is not an ONNX file; give a model in the .onnx format.")


def test_a_truncated_file_says_how_much_is_there(tmp_path):
    path = models.save(models.mlp(), tmp_path)
    os.truncate(path, 2000)
    message = refusal(path)
    assert message.startswith(f"Model {path} is truncated: its content needs at least ")
    assert message.endswith("and the file has 2000; export or copy it again.")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, data):
    whole = models.dynamic_net(("batch", 8)).SerializeToString()
    path = tmp_path_factory.mktemp("m") / "cut.onnx"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert "\n" not in refusal(path)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("m") / "noise.onnx"
    path.write_bytes(content)
    assert "\n" not in refusal(path)


# --- models the farm cannot run


def test_custom_operators_are_named(tmp_path):
    path = models.save(models.custom_net(), tmp_path)
    assert refusal(path) == (
        f"Model {path} uses the custom operator acme.ops::Fold, which no engine of the farm has; "
        "export it with standard ONNX operators only."
    )


def test_operators_of_onnx_runtime_are_not_custom(tmp_path):
    model = load_model(models.save(models.custom_net("com.microsoft", "Gelu"), tmp_path))
    assert model.domains == ("com.microsoft",)


def test_a_model_function_is_not_a_custom_operator(tmp_path):
    proto = models.custom_net()
    body = [onnx.helper.make_node("Relu", ["a"], ["b"])]
    opsets = [onnx.helper.make_opsetid("", 17)]
    proto.functions.append(
        onnx.helper.make_function("acme.ops", "Fold", ["a"], ["b"], body, opsets)
    )
    assert load_model(models.save(proto, tmp_path)).outputs[0].shape == (1, 8)


def test_an_operator_that_onnx_does_not_have(tmp_path):
    message = refusal(models.save(models.custom_net("", "Fold"), tmp_path))
    assert "is not valid ONNX: No Op registered for Fold" in message
    assert "\n" not in message


def test_an_invalid_graph_is_told_in_one_line(tmp_path):
    proto = models.mlp()
    del proto.graph.initializer[0]
    message = refusal(models.save(proto, tmp_path))
    assert "is not valid ONNX: Nodes in a graph must be topologically sorted" in message
    assert "\n" not in message


def test_a_large_weight_that_is_too_short(tmp_path):
    proto = models.mlp(width=4096)
    tensor = proto.graph.initializer[0]
    tensor.raw_data = tensor.raw_data[:-400_000]
    assert "raw_data size" in refusal(models.save(proto, tmp_path))


@pytest.mark.parametrize(
    ("opset", "advice"), [(6, "onnx.version_converter"), (999, "upgrade onnx and onnxruntime")]
)
def test_operator_sets_out_of_range(tmp_path, opset, advice):
    proto = models.mlp()
    proto.opset_import[0].version = opset
    message = refusal(models.save(proto, tmp_path))
    assert f"uses operator set {opset}" in message
    assert advice in message


def test_a_newer_file_format(tmp_path):
    proto = models.mlp()
    proto.ir_version = 999
    assert "has IR version 999" in refusal(models.save(proto, tmp_path))


# --- shapes that do not fit


def conv(
    name: str = "conv", image: models.Dims = (1, 1, 8, 8), output: models.Dims = (1, 2, 6, 6)
) -> onnx.ModelProto:
    """A convolution of 3 x 3, and its ReLU."""
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["c"], name=name),
        onnx.helper.make_node("Relu", ["c"], ["y"], name="relu"),
    ]
    stored = models.weights(w=(2, 1, 3, 3))
    return models.build(nodes, [models.value("x", image)], [models.value("y", output)], stored)


def test_a_declared_output_that_the_operators_contradict(tmp_path):
    path = models.save(conv(output=(1, 2, 5, 5)), tmp_path)
    assert refusal(path) == (
        f"Model {path} declares 'y' as [1, 2, 5, 5], and operator 'relu' (Relu) makes it "
        "[1, 2, 6, 6]; export the model again."
    )


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        (models.value("c", [1, 2, 5, "w"]), "[1, 2, 5, w]"),
        (models.value("c", [1, 2, 6]), "[1, 2, 6]"),
        (models.value("c", [1, 2, 6, 6], TensorProto.INT32), "int32"),
    ],
)
def test_a_declared_tensor_that_its_operator_contradicts(tmp_path, declared, shown):
    proto = conv()
    proto.graph.value_info.append(declared)
    made = "float32" if shown == "int32" else "[1, 2, 6, 6]"
    expected = f"declares 'c' as {shown}, and operator 'conv' (Conv) makes it {made}; export"
    assert expected in refusal(models.save(proto, tmp_path))


def test_declared_shapes_that_say_less_or_as_much_are_fine(tmp_path):
    proto = conv(output=(1, "channels", 6, None))
    proto.graph.value_info.append(models.value("c", [1, 2, "h", 6]))
    assert load_model(models.save(proto, tmp_path)).outputs[0].shape == (1, 2, 6, 6)


def test_what_cannot_be_inferred_is_declared(tmp_path):
    proto = models.custom_net("com.microsoft", "FastGelu")
    assert load_model(models.save(proto, tmp_path)).outputs[0].shape == (1, 8)


@pytest.mark.parametrize("opset", [12, 22])
def test_a_pool_without_empty_windows_is_no_contradiction(tmp_path, opset):
    """ONNX Runtime makes it 2 x 2, and so do exporters; older operator sets infer 3 x 3."""
    pool = onnx.helper.make_node(
        *("MaxPool", ["x"], ["y"]),
        kernel_shape=[2, 2],
        strides=[3, 3],
        pads=[1, 1, 1, 1],
        ceil_mode=1,
    )
    image, output = models.value("x", [1, 1, 4, 4]), models.value("y", [1, 1, 2, 2])
    path = models.save(models.build([pool], [image], [output], {}, opset=opset), tmp_path)
    assert load_model(path).outputs[0].shape == (1, 1, 2, 2)


@pytest.mark.parametrize("height", [0, 2])
def test_an_input_that_is_smaller_than_a_kernel(tmp_path, height):
    path = models.save(conv(image=(1, 1, height, 8), output=(1, 2, "h", "w")), tmp_path)
    assert refusal(path) == (
        f"Operator 'conv' (Conv) of model {path} moves a kernel of 3 along axis 2, for which its "
        f"input 'x' of shape [1, 1, {height}, 8] is too small; give the model larger inputs."
    )


def test_a_size_that_is_too_small_for_a_kernel(tmp_path):
    path = models.save(conv(image=(1, 1, "h", 8), output=(1, 2, "rows", 6)), tmp_path)
    assert "'x' of shape [1, 1, 2, 8] is too small" in refusal(path, h=2)
    assert load_model(path, {"h": 3}).outputs[0].shape == (1, 2, 1, 6)


@pytest.mark.parametrize(
    ("attributes", "fits"),
    [
        ({"kernel_shape": [3, 3], "strides": [2, 2]}, False),
        ({"kernel_shape": [3, 3], "pads": [1, 0, 0, 1]}, True),
        ({"kernel_shape": [2, 2], "dilations": [2, 1]}, False),
        ({"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}, True),
        ({"kernel_shape": [3, 3], "auto_pad": "VALID"}, False),
        ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, True),
        ({"kernel_shape": [3, 3], "ceil_mode": 1}, False),
    ],
)
def test_windows_with_padding_and_distances(tmp_path, attributes, fits):
    pool = onnx.helper.make_node("MaxPool", ["x"], ["y"], **attributes)
    image, output = models.value("x", [1, 1, 2, 2]), models.value("y", [1, 1, "h", "w"])
    path = models.save(models.build([pool], [image], [output], {}), tmp_path)
    if fits:
        assert load_model(path).outputs[0].name == "y"
    else:
        assert "is too small" in refusal(path)


def test_a_size_that_would_be_negative(tmp_path):
    crop = onnx.helper.make_node("Pad", ["x", "pads"], ["y"], name="crop")
    stored = {"pads": np.array([0, -3, 0, -3])}
    image, output = models.value("x", [1, 4]), models.value("y", [1, "rest"])
    path = models.save(models.build([crop], [image], [output], stored), tmp_path)
    assert refusal(path) == (
        f"Operator 'crop' (Pad) of model {path} would give 'y' the shape [1, -2]; its input is "
        "too small."
    )


def test_negative_dimensions_are_unknown_ones(tmp_path):
    model = load_model(models.save(models.dynamic_net((-1, 8), (-1, 4)), tmp_path))
    assert (model.inputs[0].shape, model.outputs[0].shape) == ((1, 8), (1, 4))
    path = models.save(models.dynamic_net((1, -7, 8), (1, -7, 4)), tmp_path)
    assert "a dynamic dimension without a size: 'tokens.1'" in refusal(path)
    assert load_model(path, {"tokens.1": 5}).outputs[0].shape == (1, 5, 4)


# --- saving


def test_saving_and_loading_again(tmp_path):
    model = load_model(models.save(models.conv_net("N"), tmp_path))
    save_model(model.proto, tmp_path / "again.onnx")
    again = load_model(tmp_path / "again.onnx")
    assert again.proto == model.proto
    assert again.inputs == model.inputs


def test_a_model_over_the_limit_is_saved_with_external_data(tmp_path):
    model = load_model(models.save(models.mlp(), tmp_path))
    before = model.proto.SerializeToString()
    for _ in range(2):
        save_model(model.proto, tmp_path / "big.onnx", limit=4000)
    data = tmp_path / "big.onnx.data"
    assert data.stat().st_size == 4 * (32 * 64 + 64 * 10), "a second save replaces the data"
    assert (tmp_path / "big.onnx").stat().st_size < 2000
    assert model.proto.SerializeToString() == before
    assert load_model(tmp_path / "big.onnx").proto.graph.node == model.proto.graph.node


@pytest.mark.parametrize("limit", [PROTOBUF_LIMIT, 4000], ids=["one file", "external data"])
def test_what_cannot_be_written_leaves_what_was_there(tmp_path, limit):
    model = load_model(models.save(models.mlp(), tmp_path))
    (tmp_path / "out.onnx").write_bytes(b"before")
    with files_of_at_most(500), pytest.raises(OSError, match="File too large"):
        save_model(model.proto, tmp_path / "out.onnx", limit)
    assert (tmp_path / "out.onnx").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "out.onnx"]


@contextmanager
def files_of_at_most(size):
    """As on a disk that is full: no file of this process can become larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
