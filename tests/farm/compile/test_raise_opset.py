"""Raising the operator set changes no result: ONNX Runtime on the user's model is the judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.helper import make_node, make_opsetid

from farm.artifact.compiler import Compiler
from farm.candidate import Candidate, Precision, StaticInt8
from farm.codegen.generate import generate
from farm.compile.formats.raise_opset import RaiseOpset, opset
from farm.compile.passes import Compiled, cpu_session
from farm.compile.prepare import prepare
from farm.errors import CompileError
from tests.models import build, value

NEAR = 1e-5


@dataclass(frozen=True)
class Case:
    """An operator of an old version. more: its other inputs. packaged: the generator has code."""

    op_type: str
    opset: int
    shape: tuple[int, ...]
    more: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    packaged: bool = True

    def __str__(self) -> str:
        given = [*self.attributes.items(), *(np.asarray(m).tolist() for m in self.more)]
        return f"{self.op_type}-{self.opset} {given}"[:60]

    def model(self) -> onnx.ModelProto:
        """The model, with the shapes that ONNX Runtime gives its outputs."""
        stored = {f"c{i}": np.asarray(each) for i, each in enumerate(self.more)}
        names = [f"y{i}" for i in range(self.outputs)]
        node = make_node(self.op_type, ["x", *stored], names, name="node", **self.attributes)
        inputs, untyped = [value("x", self.shape)], [value(name, None) for name in names]
        model = build([node], inputs, untyped, stored, self.opset, ir_version=7)
        outputs = [value(n, a.shape) for n, a in zip(names, run(model), strict=True)]
        return build([node], inputs, outputs, stored, self.opset, ir_version=7)


def sample(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    return cpu_session(model).run(None, sample(model))


def raised(model: onnx.ModelProto) -> onnx.ModelProto:
    return Compiled(model).then(RaiseOpset()).model


def case(op_type, version, shape, *more, outputs=1, packaged=True, **attributes) -> Case:
    return Case(op_type, version, shape, more, attributes, outputs, packaged)


def scales(*factors: float) -> np.ndarray:
    return np.float32([1, 1, *factors])


UP, DOWN, BOTH = (2.0, 1.36), (0.6, 0.83), (0.75, 2.97)
NET, CUBE, ROW, COLUMN = (2, 3, 5, 6), (2, 3, 4), (2, 6), (1, 2, 1, 3)
BOTH_MODES = ("nearest", "linear")
PADS = [0, 0, 1, 2, 0, 0, 2, 1]
NORM = np.float32([[1, 2, 3]] * 4)
SLOPES = np.float32([[[0.1]], [[0.2]], [[-3]]])
WEIGHT, BIAS = np.eye(6, 4, dtype=np.float32), np.float32([[1], [2]])
POOL = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}
FROM_BEHIND = (np.array([5]), np.array([0]), np.array([3]), np.array([-2]))


def of_versions(versions, op_type, shape, *more, **attributes) -> list[Case]:
    return [case(op_type, version, shape, *more, **attributes) for version in versions]


CASES = [
    *(case("Resize", 10, NET, scales(*s), mode=m) for s in (UP, DOWN, BOTH) for m in BOTH_MODES),
    *(case("Resize", 10, CUBE, scales(s), mode="nearest") for s in (2.13, 0.39, 1.19)),
    *(case("Upsample", 9, NET, scales(*UP), mode=mode) for mode in BOTH_MODES),
    *of_versions((7, 8), "Upsample", NET, mode="nearest", scales=[1.0, 1.0, *UP]),
    *of_versions((7, 8), "Upsample", NET, mode="linear", scales=[1.0, 1.0, *UP]),
    case("Upsample", 9, (1, 2, 3, 4, 2), scales(1.5, 2, 1.3), mode="linear"),
    *of_versions((7, 12), "Hardmax", CUBE, axis=0, packaged=False),
    *of_versions((7, 12), "Hardmax", CUBE, axis=1, packaged=False),
    *of_versions((7, 12), "Hardmax", CUBE, axis=2, packaged=False),
    case("Hardmax", 11, CUBE, axis=-2, packaged=False),
    *of_versions((7, 12), "LogSoftmax", CUBE, packaged=False),
    *of_versions((7, 12), "Softmax", CUBE, axis=0),
    *of_versions((7, 12), "Softmax", CUBE),
    *of_versions((7, 12), "Softmax", CUBE, axis=2),
    case("Softmax", 11, CUBE, axis=-2),
    *of_versions((7, 9), "BatchNormalization", NET, *NORM, epsilon=0.1),
    *of_versions((7, 10), "Dropout", NET, ratio=0.3),
    *of_versions((7, 10), "Clip", NET),
    *of_versions((7, 10), "Clip", NET, min=-0.5),
    *of_versions((7, 10), "Clip", NET, max=0.5),
    *of_versions((7, 10), "Pad", NET, pads=PADS, value=1.5),
    *of_versions((7, 10), "Pad", NET, pads=PADS, mode="edge"),
    *of_versions((7, 10), "Pad", NET, pads=PADS, mode="reflect"),
    case("Pad", 7, NET, pads=[0, 0, -1, 2, 0, 0, 2, -1]),
    *of_versions((7, 12), "Squeeze", COLUMN, axes=[0, 2]),
    *of_versions((7, 12), "Squeeze", COLUMN),
    case("Squeeze", 11, COLUMN, axes=[-2]),
    *of_versions((7, 12), "Unsqueeze", ROW, axes=[0, 2]),
    case("Unsqueeze", 11, ROW, axes=[-1]),
    *of_versions((7, 11), "ReduceMean", NET, axes=[1, 3], keepdims=0),
    *of_versions((7, 11), "ReduceMean", NET),
    *of_versions((7, 10), "AveragePool", NET, **POOL),
    case("AveragePool", 10, NET, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("MaxPool", 8, NET, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
    *of_versions((7, 9), "Slice", NET, starts=[1, 2], ends=[3, -1], axes=[2, 3]),
    case("Slice", 10, NET, *FROM_BEHIND),
    *of_versions((7, 12), "Split", ROW, outputs=2, axis=1, split=[2, 4]),
    case("Split", 11, ROW, outputs=3, axis=-1),
    *of_versions((7, 9), "Gemm", ROW, WEIGHT, BIAS),
    *of_versions((7, 9), "PRelu", NET, SLOPES),
    case("DepthToSpace", 7, (1, 8, 2, 3), blocksize=2),
    case("Flatten", 11, NET, axis=-2),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_old_operator_computes_the_same(case):
    model = case.model()
    want = run(model)
    found = [run(raised(model)), run(prepare(model).model)]
    if case.packaged:
        program = generate(prepare(model).model, "test").program
        results = program.run(sample(model))
        found.append([results[tensor.name] for tensor in program.outputs])
    for outputs in found:
        for one, other in zip(want, outputs, strict=True):
            np.testing.assert_allclose(one, other, rtol=NEAR, atol=NEAR)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operators_keep_their_names(case):
    names = [node.name for node in raised(case.model()).graph.node if node.name]
    assert names.count("node") == 1
    assert len(set(names)) == len(names)


def test_a_quantised_model_resizes_as_the_users_model():
    # One weight per sum: some processors saturate where two products of large ones are added.
    stored = {"w": np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1), "s": scales(2, 2)}
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], name="conv"),
        make_node("Resize", ["c", "s"], ["y"], name="resize", mode="linear"),
    ]
    model = build(nodes, [value("x", [1, 2, 5, 6])], [value("y", [1, 2, 10, 12])], stored, 10)
    candidate = Candidate(precision=Precision(quantization=StaticInt8()))
    quantised = Compiler(model, [sample(model)]).graph(candidate).model
    assert "QuantizeLinear" in {node.op_type for node in quantised.graph.node}
    (want,), (got,) = run(model), run(quantised)
    assert np.abs(want - got).max() < 0.02 * np.ptp(want)


def test_nested_graphs_are_raised_too():
    def branch(name, *nodes):
        return onnx.helper.make_graph(nodes, name, [], [value(name, [1, 1, 4, 4])])

    enlarged = make_node("Resize", ["x", "s"], ["then"], name="inner", mode="linear")
    hard = make_node("Hardmax", ["x"], ["flat"], name="hard")
    tiled = make_node("Tile", ["flat", "repeats"], ["else"], name="tile")
    branches = {
        "then_branch": branch("then", enlarged),
        "else_branch": branch("else", hard, tiled),
    }
    for condition in (True, False):
        stored = {"s": scales(2, 2), "repeats": np.array([1, 1, 2, 2]), "c": np.array(condition)}
        node = make_node("If", ["c"], ["y"], name="if", **branches)
        inputs, outputs = [value("x", [1, 1, 2, 2])], [value("y", [1, 1, 4, 4])]
        model = build([node], inputs, outputs, stored, opset=10, ir_version=7)
        np.testing.assert_allclose(run(raised(model)), run(model))


def test_nearest_neighbours_that_cannot_be_told_are_refused():
    near = Case("Resize", 10, (1, 1, 8, 2), (scales(0.83, 1.1),), {"mode": "nearest"}).model()
    with pytest.raises(CompileError, match=r"'node' \(Resize\): some axes grow and others shrink"):
        raised(near)
    nodes = [
        make_node("Exp", ["s"], ["e"], name="exp"),
        make_node("Resize", ["x", "e"], ["y"], name="node", mode="nearest"),
    ]
    inputs = [value("x", [1, 1, 4, 4]), value("s", [4])]
    moving = build(nodes, inputs, [value("y", [1, 1, "h", "w"])], {}, opset=10)
    with pytest.raises(CompileError, match=r"'node' \(Resize\): its scales are no constants"):
        raised(moving)


@pytest.mark.parametrize("domain", ["ai.onnx.ml", "com.microsoft"])
def test_a_model_of_other_domains_alone_is_not_converted(domain):
    node = make_node("Anything", ["x"], ["y"], domain=domain)
    model = build([node], [value("x", [1])], [value("y", [1])], {}, domains=[domain])
    del model.opset_import[0]
    assert opset(model) == 0
    result = RaiseOpset()(model)
    assert not result.changed
    assert list(result.model.graph.node) == list(model.graph.node)
    assert list(result.model.opset_import) == [make_opsetid(domain, 1), make_opsetid("", 17)]
