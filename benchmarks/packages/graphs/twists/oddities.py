"""Twists of form: types, names, shapes and domains that the farm must take, or refuse in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.packages.graphs.maker import Maker
from benchmarks.packages.graphs.operators.proposal import Proposal
from benchmarks.packages.graphs.twists.numbers import Built

_IR_VERSION = 10
_TYPES = (TensorProto.FLOAT16, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def other_floats(maker: Maker) -> Built:
    """A small network in float16, float64 or bfloat16, within or from input to output."""
    kind = maker.one_of(_TYPES)
    within = maker.chance(0.4)
    width = maker.one_of([4, 8, 16])
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    stored = [numpy_helper.from_array(maker.normal((width, width), 0.3).astype(dtype), "w")]
    for name, limit in (("low", -1.0), ("high", 1.0)):
        stored.append(numpy_helper.from_array(np.array(limit, dtype), name))
    body = maker.one_of([["MatMul", "Relu", "Clip"], ["MatMul", "Relu"], ["Relu", "Clip"], []])
    if kind == TensorProto.BFLOAT16:
        body = []  # ONNX Runtime computes next to nothing in it
    given = "cast" if within else "x"
    nodes = [helper.make_node("Cast", ["x"], ["cast"], to=kind)] if within else []
    for index, op_type in enumerate(body):
        more = {"MatMul": ["w"], "Clip": ["low", "high"]}.get(op_type, [])
        nodes.append(helper.make_node(op_type, [given, *more], [f"t{index}"], name=f"op{index}"))
        given = f"t{index}"
    to = TensorProto.FLOAT if within or not body else kind
    nodes.append(helper.make_node("Cast", [given], ["y"], to=to))
    read = {name for node in nodes for name in node.input}
    ends = [
        helper.make_tensor_value_info(name, element, [1, width])
        for name, element in (("x", TensorProto.FLOAT if within else kind), ("y", to))
    ]
    graph = helper.make_graph(
        nodes, "floats", ends[:1], ends[1:], [each for each in stored if each.name in read]
    )
    return Built(_model(graph, {"": max(maker.opset, 13)}))


def shapeless_outputs(maker: Maker) -> Built:
    """Outputs that are listed without a shape."""
    model = maker.model()
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return Built(model)


def odd_names(maker: Maker) -> Built:
    """Names of operators, of tensors or of the graph that no C identifier has."""
    model = maker.model()
    for node in model.graph.node:
        node.name = maker.one_of(_NAMES) + node.name + maker.one_of(_NAMES)
    if maker.chance(0.5):
        odd: dict[str, str] = {}
        for node in model.graph.node:
            odd |= {name: maker.one_of(_NAMES) + name for name in node.output}
        odd |= {value.name: maker.one_of(_NAMES) + value.name for value in model.graph.input}
        for node in model.graph.node:
            node.input[:] = [odd.get(name, name) for name in node.input]
            node.output[:] = [odd[name] for name in node.output]
        for value in (*model.graph.input, *model.graph.output):
            value.name = odd[value.name]
    model.graph.name = maker.one_of(_NAMES) + "graph"
    return Built(model)


def nothing_inside(maker: Maker) -> Built:
    """Dimensions of size 0: of an input that is dynamic, or of a tensor within."""
    if maker.chance(0.4):
        model = maker.model()
        size = model.graph.input[0].type.tensor_type.shape.dim[0]
        size.dim_param = maker.one_of(["N", "batch", "length"])
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        return Built(model, sizes={size.dim_param: 0} if maker.chance(0.5) else {})
    name = maker.tensor()
    if maker.values[name].ndim:
        ends = [maker.constant([0]), maker.constant([0]), maker.constant([0])]
        maker.add(Proposal("Slice", [name, *ends]), moderate=False)
        if maker.chance(0.6):
            maker.add(Proposal("Concat", [maker.last, name], {"axis": 0}), moderate=False)
        else:
            maker.add(Proposal("Relu", [maker.last]), moderate=False)
    return Built(maker.model())


def random_operators(maker: Maker) -> Built:
    """Operators that give something else in every run."""
    name = maker.tensor()
    kind = maker.one_of(["RandomNormalLike", "RandomUniformLike", "RandomNormal", "Multinomial"])
    if kind == "Multinomial":
        maker.add(Proposal("Flatten", [name]), moderate=False)
        maker.add(Proposal(kind, [maker.last], {"sample_size": 4, "dtype": 7}), moderate=False)
        return Built(maker.model())
    shape = list(maker.values[name].shape)
    inputs, attributes = ([], {"shape": shape or [1]}) if kind == "RandomNormal" else ([name], {})
    maker.add(Proposal(kind, inputs, attributes), moderate=False)
    maker.add(Proposal("Add", [name, maker.last]), moderate=False)
    return Built(maker.model())


def data_dependent(maker: Maker) -> Built:
    """An output that has as many rows as the data says."""
    kind = maker.one_of(["NonZero", "NonMaxSuppression", "Unique", "Compress"])
    if kind == "NonMaxSuppression":
        boxes = maker.add_input((1, 24, 4))
        scores = maker.add_input((1, 2, 24))
        limits = [maker.constant([20]), maker.constant(0.5), maker.constant(0.3)]
        maker.add(Proposal(kind, [boxes, scores, *limits]), moderate=False)
    else:
        maker.add(Proposal("Relu", [maker.tensor()]), moderate=False)
        maker.add(Proposal("Reshape", [maker.last, maker.constant([-1])]), moderate=False)
        given = [maker.last]
        if kind == "Compress":
            maker.add(Proposal("Cast", given, {"to": TensorProto.BOOL}), moderate=False)
            given.append(maker.last)
        maker.add(Proposal(kind, given), moderate=False)
    if maker.values[maker.last].ndim > 1 and maker.chance(0.5):
        maker.add(Proposal("Transpose", [maker.last]), moderate=False)
    model = maker.model()
    for value in model.graph.output:
        if value.name == maker.last:
            for index, size in enumerate(value.type.tensor_type.shape.dim):
                size.dim_param = f"rows{index}"
    return Built(model)


def other_domains(maker: Maker) -> Built:
    """A model of operators that ONNX does not define, or that its part for trees does."""
    shape = [1, 4]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    domain, op_type, attributes = maker.one_of(_FOREIGN)
    if op_type == "TreeEnsembleRegressor":
        ends[1].type.tensor_type.shape.dim[1].dim_value = 1
    node = helper.make_node(op_type, ["x"], ["y"], name="foreign", domain=domain, **attributes)
    nodes, opsets = [node], {domain: 1}
    if maker.chance(0.4):
        node.output[0] = "t"
        nodes.append(helper.make_node("Relu", ["t"], ["y"], name="relu"))
        opsets[""] = max(maker.opset, 9)
    return Built(_model(helper.make_graph(nodes, "foreign", ends[:1], ends[1:]), opsets))


def _model(graph: onnx.GraphProto, opsets: Mapping[str, int]) -> onnx.ModelProto:
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION)


_NAMES = ("", "", "a\rb", "a\nb", "\t", "*/", "??/\n", "\\", '"%s"', "名前/", "\x07", "x" * 120)
_TREE: Mapping[str, Any] = {
    "n_targets": 1,
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [0, 0, 0],
    "nodes_values": [0.5, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "target_treeids": [0, 0],
    "target_nodeids": [1, 2],
    "target_ids": [0, 0],
    "target_weights": [1.0, 2.0],
}
_FOREIGN: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("ai.onnx.ml", "TreeEnsembleRegressor", _TREE),
    ("ai.onnx.ml", "Scaler", {"offset": [0.1], "scale": [2.0]}),
    ("ai.onnx.ml", "Normalizer", {"norm": "L2"}),
    ("com.microsoft", "Gelu", {}),
    ("com.microsoft", "QuickGelu", {}),
)

ODDITIES: Mapping[str, Callable[[Maker], Built]] = {
    "other floats": other_floats,
    "outputs without shapes": shapeless_outputs,
    "odd names": odd_names,
    "nothing inside": nothing_inside,
    "random operators": random_operators,
    "as many as the data says": data_dependent,
    "other domains": other_domains,
}
