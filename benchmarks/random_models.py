"""Random small ONNX models of the operators that generated code is documented to support.

A model grows operator by operator. Each is drawn with random attributes, computed by ONNX Runtime
on random data, and kept if that gives finite, moderate numbers: so every model is valid, and its
shapes are those that ONNX Runtime found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]

_IR_VERSION = 10  # which every supported ONNX Runtime reads
_OPSETS = (13, 14, 17, 18, 19, 20, 21)
_MOST_ELEMENTS = 6000
_SMALLEST, _LARGEST = 0.01, 300.0  # of a tensor's largest values
_ATTEMPTS = 200


def random_model(seed: int) -> onnx.ModelProto:
    """A model of 5 to 14 operators; the same for the same seed.

    Inputs are float32 and called x0, x1, ..., operators op0, op1, ...
    """
    maker = _Maker(np.random.default_rng(seed))
    for _ in range(maker.one_of([1, 1, 1, 2, 3])):
        maker.add_input()
    wanted = maker.whole(5, 14)
    for _ in range(_ATTEMPTS):
        if len(maker.nodes) >= wanted:
            break
        maker.grow()
    return maker.model()


def random_feeds(model: onnx.ModelProto, seed: int, count: int) -> list[dict[str, Array]]:
    """Normal inputs of a model."""
    random = np.random.default_rng(seed)
    shapes = {
        each.name: [size.dim_value for size in each.type.tensor_type.shape.dim]
        for each in model.graph.input
    }
    return [
        {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(count)
    ]


@dataclass(frozen=True, slots=True)
class _Proposal:
    """An operator that may be added. inputs: names; "" for optional ones that are left out."""

    op_type: str
    inputs: Sequence[str]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1


class _Maker:
    """A graph that grows, with the values of all its tensors for one random input."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.opset: int = self.one_of(_OPSETS)
        self.nodes: list[onnx.NodeProto] = []
        self.values: dict[str, Array] = {}  # of inputs and results, in the order they were made
        self.constants: dict[str, Array] = {}
        self._inputs: list[str] = []
        self._read: set[str] = set()

    # Random choices

    def one_of(self, choices: Sequence[Any]) -> Any:  # noqa: ANN401 (whatever the choices are)
        return choices[int(self.random.integers(len(choices)))]

    def whole(self, lowest: int, highest: int) -> int:
        """A whole number, both ends included."""
        return int(self.random.integers(lowest, highest + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def normal(self, shape: Sequence[int], scale: float = 1.0) -> Array:
        array: Array = (self.random.standard_normal(tuple(shape)) * scale).astype(np.float32)
        return array

    # Parts of the graph

    def constant(self, content: Array | float | Sequence[int]) -> str:
        """The name of a new constant; lists are int64, single numbers float32."""
        name = f"c{len(self.constants)}"
        if not isinstance(content, np.ndarray):
            dtype = np.float32 if isinstance(content, float) else np.int64
            content = np.asarray(content, dtype)
        self.constants[name] = content
        return name

    def tensor(self) -> str:
        """A tensor to go on with: mostly one that nothing reads yet."""
        names = list(self.values)
        unread = [name for name in names if name not in self._read]
        return str(self.one_of(unread[-3:] if unread and self.chance(0.75) else names))

    def others(self, fits: Callable[[Array], bool]) -> list[str]:
        """Tensors that fit."""
        return [name for name, value in self.values.items() if fits(value)]

    def add_input(self) -> None:
        rank = self.one_of([4, 4, 4, 4, 3, 3, 2, 2, 1, 5])
        name = f"x{len(self._inputs)}"
        first = next(iter(self.values.values()), None)
        shape: Sequence[int]
        if first is not None and self.chance(0.4):
            shape = [1 if self.chance(0.3) else size for size in first.shape]
        else:
            batch = self.one_of([1, 1, 1, 2, 3])
            channels = self.one_of([1, 2, 3, 4, 5, 6, 8, 8, 12, 16, 17, 33])
            positions = [self.one_of([1, 3, 5, 6, 7, 8, 9, 11, 16]) for _ in range(rank - 2)]
            shape = [batch, channels, *positions][:rank] if rank > 1 else [channels]
            if rank == 5:
                shape = [min(size, 5) for size in shape]
        self._inputs.append(name)
        self.values[name] = self.normal(shape)

    def grow(self) -> None:
        """Try to add one random operator."""
        name, proposer = self.tensor(), self.one_of(_PROPOSERS)
        if self.nodes and self.nodes[-1].op_type in _BEFORE_FOLLOWERS and self.chance(0.6):
            name, proposer = self.nodes[-1].output[0], _follower
        proposal = proposer(self, name)
        if proposal is None:
            return
        index = len(self.nodes)
        names = [f"t{index}_{i}" if i else f"t{index}" for i in range(proposal.outputs)]
        node = helper.make_node(
            proposal.op_type, proposal.inputs, names, name=f"op{index}", **proposal.attributes
        )
        results = self._results(node)
        if results is None or not all(_is_moderate(result) for result in results):
            return
        self.nodes.append(node)
        self.values.update(zip(names, results, strict=True))
        self._read.update(each for each in proposal.inputs if each in self.values)

    def _results(self, node: onnx.NodeProto) -> list[Array] | None:
        """What an operator gives; None where ONNX Runtime does not take it."""
        names = [each for each in dict.fromkeys(node.input) if each]
        given = [_described(each, self.values[each]) for each in names if each in self.values]
        stored = [
            numpy_helper.from_array(self.constants[each], each)
            for each in names
            if each in self.constants
        ]
        unknown = [helper.make_tensor_value_info(each, 1, None) for each in node.output]
        model = self._built([node], given, unknown, stored)
        feeds = {each: self.values[each] for each in names if each in self.values}
        try:
            results: list[Array] = float_session(model).run(None, feeds)
            # Where the two do not agree on shapes, as on pools whose last window sees nothing,
            # most tools for ONNX fail.
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except Exception:  # noqa: BLE001 (ONNX Runtime's exceptions have no common base)
            return None
        shapes = [
            tuple(size.dim_value for size in each.type.tensor_type.shape.dim)
            for each in inferred.graph.output
        ]
        return results if shapes == [result.shape for result in results] else None

    def model(self) -> onnx.ModelProto:
        """The graph: its outputs are what nothing reads, and now and then what something does."""
        made = [name for node in self.nodes for name in node.output]
        outputs = [name for name in made if name not in self._read or self.chance(0.08)]
        self.random.shuffle(outputs)
        used = [name for name in self._inputs if name in self._read] or self._inputs[:1]
        needed = {each for node in self.nodes for each in node.input}
        stored = [
            numpy_helper.from_array(array, name)
            for name, array in self.constants.items()
            if name in needed
        ]
        given = [_described(name, self.values[name]) for name in used]
        results = [_described(name, self.values[name]) for name in outputs]
        return self._built(self.nodes, given, results, stored)

    def _built(
        self,
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        stored: Sequence[onnx.TensorProto],
    ) -> onnx.ModelProto:
        graph = helper.make_graph(nodes, "random", inputs, outputs, stored)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


def float_session(model: onnx.ModelProto) -> ort.InferenceSession:
    """ONNX Runtime's session for a model as it is written, on one core."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    content = model.SerializeToString()
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _described(name: str, array: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)


def _is_moderate(array: Array) -> bool:
    return bool(
        array.dtype == np.float32
        and 0 < array.size <= _MOST_ELEMENTS
        and np.isfinite(array).all()
        and _SMALLEST <= abs(array).max() <= _LARGEST
    )


# One function for each family of operators


def _conv(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if len(shape) not in (3, 4):
        return None
    channels = shape[1]
    groups = maker.one_of([1, 1, 1, channels, channels, *_divisors(channels)])
    outputs = groups * maker.one_of([1, 1, 2, 3, 4] if groups > 1 else [1, 2, 4, 5, 8, 16, 19])
    window = _window(maker, shape[2:], with_auto=True)
    if maker.chance(0.3):  # what a residual connection goes around
        groups, outputs = maker.one_of([(1, channels), (channels, channels)])
        window = {"kernel_shape": [3] * (len(shape) - 2), "auto_pad": "SAME_UPPER"}
    form = (outputs, channels // groups, *window["kernel_shape"])
    return _Proposal("Conv", [name, *_parameters(maker, form)], {**window, "group": groups})


def _parameters(maker: _Maker, form: Sequence[int]) -> list[str]:
    """Weights of a convolution, and perhaps a bias."""
    weights = maker.constant(maker.normal(form, math.prod(form[1:]) ** -0.5))
    if maker.chance(0.4):
        return [weights]
    return [weights, maker.constant(maker.normal(form[:1], 0.3))]


def _sibling(maker: _Maker, _name: str) -> _Proposal | None:
    """A convolution that reads what another one reads, in the same way."""
    others = [node for node in maker.nodes if node.op_type == "Conv"]
    if not others:
        return None
    other = maker.one_of(others)
    attributes = {each.name: helper.get_attribute_value(each) for each in other.attribute}
    outputs, *rest = maker.constants[other.input[1]].shape
    if attributes["group"] == 1:
        outputs = maker.one_of([4, 8, 12, outputs])
    return _Proposal("Conv", [other.input[0], *_parameters(maker, (outputs, *rest))], attributes)


def _follower(maker: _Maker, name: str) -> _Proposal | None:
    """What is computed together with a product: a bias, limits, a residual connection."""
    value = maker.values[name]
    others = [each for each in maker.others(lambda v: v.shape == value.shape) if each != name]
    kind = maker.one_of(["bias", "limits", "limits", "residual", "residual"])
    if kind == "limits":
        return _Proposal("Relu", [name]) if maker.chance(0.5) else _clip(maker, name)
    if kind == "residual":
        return _Proposal("Add", [name, maker.one_of(others)]) if others else None
    axis = 1 if value.ndim > 2 else value.ndim - 1
    form = [size if i == axis else 1 for i, size in enumerate(value.shape)]
    return _Proposal("Add", [name, maker.constant(maker.normal(form, 0.3))])


def _gemm(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if len(shape) != 2:
        return None
    attributes: dict[str, Any] = {}
    for flag in ("transA", "transB"):
        if maker.chance(0.3 if flag == "transA" else 0.5):
            attributes[flag] = 1
    for factor in ("alpha", "beta"):
        if maker.chance(0.25):
            attributes[factor] = maker.one_of([0.5, 2.0, -1.0, 0.3])
    rows, depth = shape[::-1] if "transA" in attributes else shape
    columns = maker.one_of([1, 3, 4, 10, 16, 33, 40])
    weights = maker.normal((columns, depth) if "transB" in attributes else (depth, columns))
    matrix = maker.constant(weights * np.float32(depth**-0.5))
    there = maker.others(lambda value: value.shape == weights.shape)
    inputs = [name, maker.one_of(there) if there and maker.chance(0.5) else matrix]
    if maker.chance(0.6):
        form = maker.one_of([(columns,), (1, columns), (rows, columns), (1,), (rows, 1), ()])
        inputs.append(maker.constant(maker.normal(form, 0.5)))
    return _Proposal("Gemm", inputs, attributes)


def _matmul(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if not shape:
        return None
    if maker.chance(0.3):
        fitting = [
            other
            for other in maker.others(lambda value: value.ndim > 0)
            if _matches(shape, maker.values[other].shape)
        ]
        if fitting:
            return _Proposal("MatMul", [name, maker.one_of(fitting)])
    depth = shape[-1]
    columns = maker.one_of([1, 3, 4, 8, 10, 17, 33])
    form = maker.one_of(
        [(depth, columns)] * 5 + [(depth,), (1, depth, columns), (2, depth, columns)]
    )
    if maker.chance(0.1) and len(shape) > 1:
        matrix = maker.constant(maker.normal((columns, shape[-2]), shape[-2] ** -0.5))
        return _Proposal("MatMul", [matrix, name])
    return _Proposal("MatMul", [name, maker.constant(maker.normal(form, depth**-0.5))])


def _matches(left: Sequence[int], right: Sequence[int]) -> bool:
    return left[-1] == (right[-2] if len(right) > 1 else right[0])


def _binary(maker: _Maker, name: str) -> _Proposal | None:
    op_type = maker.one_of(["Add", "Add", "Mul", "Sub"])
    shape = maker.values[name].shape
    partners = maker.others(lambda value: _broadcast(value.shape, shape))
    if maker.chance(0.65):
        alike = [each for each in partners if maker.values[each].shape == shape]
        inputs = [name, maker.one_of(alike if maker.chance(0.5) else partners)]
    else:
        inputs = [name, maker.constant(maker.normal(_operand_shape(maker, shape)))]
    if maker.chance(0.4):
        inputs.reverse()
    return _Proposal(op_type, inputs)


def _operand_shape(maker: _Maker, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a constant that broadcasts with a shape."""
    kind = maker.one_of(["number", "one", "channels", "whole", "random", "higher"])
    if kind == "number" or not shape:
        return ()
    if kind == "one":
        return (1,) * maker.whole(1, len(shape))
    if kind == "channels" and len(shape) > 1:
        return (*maker.one_of([(), (1,)]), shape[1], *[1] * (len(shape) - 2))
    if kind == "whole":
        return tuple(shape)
    if kind == "higher" and len(shape) < 4:
        return (maker.whole(1, 2), *shape)
    kept = tuple(1 if maker.chance(0.5) else size for size in shape)
    return kept[maker.whole(0, len(kept) - 1) :]


def _broadcast(left: Sequence[int], right: Sequence[int]) -> bool:
    pairs = zip(reversed(left), reversed(right), strict=False)
    return all(a == b or 1 in (a, b) for a, b in pairs)


def _divide(maker: _Maker, name: str) -> _Proposal:
    number = float(maker.one_of([0.7, 2.0, -3.0, 6.0]))
    return _Proposal("Div", [name, maker.constant(number)])


def _unary(maker: _Maker, name: str) -> _Proposal:
    op_type, attributes = maker.one_of(
        [
            ("Relu", {}),
            ("Relu", {}),
            ("Relu", {}),
            ("Sigmoid", {}),
            ("Tanh", {}),
            ("Abs", {}),
            ("Neg", {}),
            ("Erf", {}),
            ("Exp", {}),
            ("HardSwish", {}),
            ("HardSigmoid", {}),
            ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
            ("LeakyRelu", {}),
            ("LeakyRelu", {"alpha": 0.3}),
            ("Gelu", {}),
            ("Gelu", {"approximate": "tanh"}),
            ("Identity", {}),
            ("Dropout", {}),
        ]
    )
    return _Proposal(op_type, [name], attributes)


def _table_only(maker: _Maker, name: str) -> _Proposal:
    op_type, attributes = maker.one_of(
        [
            ("Celu", {"alpha": 0.7}),
            ("Elu", {}),
            ("Mish", {}),
            ("Selu", {}),
            ("Softplus", {}),
            ("Softsign", {}),
            ("ThresholdedRelu", {"alpha": 0.4}),
        ]
    )
    return _Proposal(op_type, [name], attributes)


def _clip(maker: _Maker, name: str) -> _Proposal:
    low, high = maker.one_of([(0.0, 6.0), (-0.5, 0.8), (None, 0.7), (-0.3, None), (0.2, 0.9)])
    inputs = [name, "" if low is None else maker.constant(low)]
    if high is not None:
        inputs.append(maker.constant(high))
    return _Proposal("Clip", inputs)


def _prelu(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    channels = shape[1] if len(shape) > 1 else 1
    form = maker.one_of(
        [(1,), (), (channels, *[1] * max(0, len(shape) - 2)), shape, (1,) * len(shape)]
    )
    return _Proposal("PRelu", [name, maker.constant(maker.normal(form, 0.3))])


def _batch_normalization(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if len(shape) < 2:
        return None
    count = shape[1]
    parts = [
        maker.normal((count,), 0.3) + np.float32(1),
        maker.normal((count,), 0.3),
        maker.normal((count,), 0.3),
        np.abs(maker.normal((count,))) + np.float32(0.3),
    ]
    return _Proposal("BatchNormalization", [name, *map(maker.constant, parts)])


def _pool(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    op_type = maker.one_of(["MaxPool", "AveragePool"])
    if len(shape) not in (3, 4, 5):
        return None
    window = _window(maker, shape[2:], with_auto=True)
    kernel = window["kernel_shape"]
    if "pads" in window:
        window["pads"] = [
            min(pad, kernel[i % len(kernel)] - 1) for i, pad in enumerate(window["pads"])
        ]
        if maker.chance(0.4):
            window["ceil_mode"] = 1
    if op_type == "AveragePool":
        if maker.opset < 19:
            window.pop("dilations", None)
        if maker.chance(0.4):
            window["count_include_pad"] = 1
    return _Proposal(op_type, [name], window)


def _global_pool(maker: _Maker, name: str) -> _Proposal | None:
    if maker.values[name].ndim < 3:
        return None
    op_type = maker.one_of(["GlobalAveragePool", "GlobalAveragePool", "GlobalMaxPool"])
    return _Proposal(op_type, [name])


def _reduce_mean(maker: _Maker, name: str) -> _Proposal | None:
    rank = maker.values[name].ndim
    if rank == 0:
        return None
    axes = [axis - maker.one_of([0, rank]) for axis in range(rank) if maker.chance(0.5)]
    maker.random.shuffle(axes)
    attributes: dict[str, Any] = {"keepdims": maker.whole(0, 1)}
    if maker.opset < 18:
        return _Proposal("ReduceMean", [name], attributes | ({"axes": axes} if axes else {}))
    if not axes and maker.chance(0.5):
        attributes["noop_with_empty_axes"] = 1
    inputs = [name, maker.constant(axes)] if axes else [name]
    return _Proposal("ReduceMean", inputs, attributes)


def _softmax(maker: _Maker, name: str) -> _Proposal | None:
    rank = maker.values[name].ndim
    if rank == 0:
        return None
    attributes = {"axis": maker.whole(-rank, rank - 1)} if maker.chance(0.7) else {}
    return _Proposal("Softmax", [name], attributes)


def _pad(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if not shape:
        return None
    modes = ["constant", "constant", "edge", "reflect"]
    mode = maker.one_of([*modes, "wrap"] if maker.opset >= 19 else modes)
    lowest = 0 if mode == "wrap" else -1
    sizes = [*shape, *shape]
    pads = [maker.whole(lowest, min(2, size - 1)) if maker.chance(0.5) else 0 for size in sizes]
    inputs = [name, maker.constant(pads)]
    if maker.opset >= 18 and maker.chance(0.3):
        axis = maker.whole(0, len(shape) - 1)
        chosen = maker.constant([pads[axis], pads[axis + len(shape)]])
        axes = maker.constant([axis - maker.one_of([0, len(shape)])])
        inputs = [name, chosen, maker.constant(0.4) if mode == "constant" else "", axes]
    elif mode == "constant" and maker.chance(0.5):
        inputs.append(maker.constant(float(maker.one_of([0.0, 1.5, -0.7]))))
    return _Proposal("Pad", inputs, {"mode": mode})


def _concat(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if not shape:
        return None
    axis = maker.one_of([1, 1, *range(len(shape))]) % len(shape)

    def fits(value: Array) -> bool:
        same = [
            a == b or i == axis for i, (a, b) in enumerate(zip(value.shape, shape, strict=False))
        ]
        return value.ndim == len(shape) and all(same)

    fitting = maker.others(fits)
    parts = [name, *(maker.one_of(fitting) for _ in range(maker.whole(1, 3)))]
    if maker.chance(0.2):
        form = [*shape[:axis], maker.whole(1, 4), *shape[axis + 1 :]]
        parts.append(maker.constant(maker.normal(form)))
    maker.random.shuffle(parts)
    return _Proposal("Concat", parts, {"axis": axis - maker.one_of([0, len(shape)])})


def _split(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    if not axes:
        return None
    axis = maker.one_of(axes)
    size = shape[axis]
    attributes: dict[str, Any] = {"axis": axis - maker.one_of([0, len(shape)])}
    if maker.chance(0.4):
        parts = maker.one_of([n for n in range(2, size + 1) if size % n == 0 and n <= 5] or [size])
        if maker.opset >= 18:
            attributes["num_outputs"] = parts
        return _Proposal("Split", [name], attributes, parts)
    first = maker.whole(1, size - 1)
    return _Proposal("Split", [name, maker.constant([first, size - first])], attributes, 2)


def _slice(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if not shape:
        return None
    axes = [axis for axis in range(len(shape)) if maker.chance(0.5)] or [0]
    starts, ends, steps = [], [], []
    for axis in axes:
        size = shape[axis]
        step = maker.one_of([1, 1, 1, 2, 3, -1, -2])
        begin, end = maker.whole(0, (size - 1) // 2), maker.whole((size + 1) // 2, size)
        if step < 0:
            begin, end = end - 1, maker.one_of([begin - 1 - size, -size - 1])
        starts.append(begin - maker.one_of([0, size]) if begin >= 0 else begin)
        ends.append(maker.one_of([end, 2**31]) if step > 0 else end)
        steps.append(step)
    named = [axis - maker.one_of([0, len(shape)]) for axis in axes]
    inputs = [name, *map(maker.constant, (starts, ends, named))]
    if any(step != 1 for step in steps):
        inputs.append(maker.constant(steps))
    return _Proposal("Slice", inputs)


def _transpose(maker: _Maker, name: str) -> _Proposal | None:
    rank = maker.values[name].ndim
    if rank < 2:
        return None
    if maker.chance(0.1):
        return _Proposal("Transpose", [name])
    order = list(map(int, maker.random.permutation(rank)))
    if maker.chance(0.5):
        order = maker.one_of([[0, *range(2, rank), 1], [0, rank - 1, *range(1, rank - 1)]])
    return _Proposal("Transpose", [name], {"perm": order})


def _reshape(maker: _Maker, name: str) -> _Proposal | None:
    shape = list(maker.values[name].shape)
    kind = maker.one_of(["reshape", "reshape", "flatten", "squeeze", "unsqueeze"])
    if kind == "flatten":
        attributes = {"axis": maker.whole(0, len(shape))} if maker.chance(0.7) else {}
        return _Proposal("Flatten", [name], attributes)
    if kind == "squeeze":
        axes = [axis for axis, size in enumerate(shape) if size == 1 and maker.chance(0.7)]
        return _Proposal("Squeeze", [name, maker.constant(axes)] if axes else [name])
    if kind == "unsqueeze":
        if len(shape) > 4:
            return None
        return _Proposal("Unsqueeze", [name, maker.constant([maker.whole(0, len(shape))])])
    size = math.prod(shape)
    wanted = []
    for _ in range(maker.whole(0, 3)):
        part = maker.one_of([1, *_divisors(size)])
        wanted.append(part)
        size //= part
    wanted.insert(maker.whole(0, len(wanted)), size)
    if shape and wanted[0] == shape[0] and maker.chance(0.5):
        wanted[0] = 0
    if maker.chance(0.5):
        wanted[maker.whole(0, len(wanted) - 1)] = -1
    return _Proposal("Reshape", [name, maker.constant(wanted)])


def _resize(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if len(shape) not in (3, 4):
        return None
    mode = maker.one_of(["nearest", "nearest", "linear", "linear", "cubic"])
    modes = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    attributes: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": maker.one_of(modes),
    }
    if mode == "nearest":
        rounding = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        attributes["nearest_mode"] = maker.one_of(rounding)
    if mode != "nearest" and maker.opset >= 18 and maker.chance(0.2):
        attributes["antialias"] = 1
    if mode == "cubic" and maker.chance(0.3):
        attributes["exclude_outside"] = 1
    if maker.chance(0.5):
        sizes = [*shape[:2], *(maker.whole(1, 2 * size) for size in shape[2:])]
        return _Proposal("Resize", [name, "", "", maker.constant(sizes)], attributes)
    # Where an axis gets no whole number of elements, ONNX and its Runtime differ on what its last
    # one is.
    exact = [[f for f in (0.5, 1.0, 1.5, 2.0, 3.0) if size * f % 1 == 0] for size in shape[2:]]
    scales = np.array([1, 1, *map(maker.one_of, exact)])
    return _Proposal("Resize", [name, "", maker.constant(scales.astype(np.float32))], attributes)


def _repeat(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if not shape:
        return None
    if maker.chance(0.5):
        repeats = [maker.one_of([1, 1, 2, 3]) for _ in shape]
        return _Proposal("Tile", [name, maker.constant(repeats)])
    wide = [maker.whole(1, 3) if size == 1 else size for size in shape]
    if len(wide) < 5 and maker.chance(0.3):
        wide.insert(0, maker.whole(1, 2))
    return _Proposal("Expand", [name, maker.constant(wide)])


def _gather(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if not shape:
        return None
    axis = maker.whole(0, len(shape) - 1)
    form = maker.one_of([(), (1,), (3,), (2, 2)])
    indices = maker.random.integers(-shape[axis], shape[axis], form)
    inputs = [name, maker.constant(np.asarray(indices, np.int64))]
    return _Proposal("Gather", inputs, {"axis": axis - maker.one_of([0, len(shape)])})


def _depth(maker: _Maker, name: str) -> _Proposal | None:
    shape = maker.values[name].shape
    if len(shape) != 4:
        return None
    if shape[1] % 4 == 0:
        mode = maker.one_of(["DCR", "CRD"])
        return _Proposal("DepthToSpace", [name], {"blocksize": 2, "mode": mode})
    return _Proposal("SpaceToDepth", [name], {"blocksize": maker.one_of([2, 3])})


def _window(maker: _Maker, sizes: Sequence[int], *, with_auto: bool) -> dict[str, Any]:
    """Attributes of a window that fits into positions."""
    rank = len(sizes)
    kernel = [maker.one_of([1, 2, 3, 3, 4, 5]) for _ in sizes]
    if maker.chance(0.15):
        kernel = [1] * rank
    window: dict[str, Any] = {"kernel_shape": kernel}
    if maker.chance(0.5):
        window["strides"] = [maker.one_of([1, 1, 2, 3]) for _ in sizes]
    if maker.chance(0.25):
        window["dilations"] = [maker.one_of([1, 2, 3]) for _ in sizes]
    if with_auto and maker.chance(0.2):
        window["auto_pad"] = maker.one_of(["SAME_UPPER", "SAME_LOWER", "VALID"])
    elif maker.chance(0.4):
        reach = [
            (size - 1) * step
            for size, step in zip(kernel, window.get("dilations", [1] * rank), strict=True)
        ]
        window["pads"] = [*(each // 2 for each in reach), *(each - each // 2 for each in reach)]
    else:
        window["pads"] = [maker.whole(0, 2) for _ in range(2 * rank)]
    return window


def _divisors(number: int) -> list[int]:
    return [each for each in range(2, number + 1) if number % each == 0]


_BEFORE_FOLLOWERS = frozenset({"Conv", "Gemm", "MatMul", "Add"})
_PROPOSERS: Sequence[Callable[[_Maker, str], _Proposal | None]] = (
    *[_conv] * 10,
    *[_sibling] * 2,
    *[_gemm] * 3,
    *[_matmul] * 4,
    *[_binary] * 8,
    _divide,
    *[_unary] * 8,
    _table_only,
    *[_clip] * 3,
    *[_prelu] * 2,
    *[_batch_normalization] * 2,
    *[_pool] * 5,
    *[_global_pool] * 1,
    *[_reduce_mean] * 2,
    *[_softmax] * 1,
    *[_pad] * 3,
    *[_concat] * 4,
    *[_split] * 3,
    *[_slice] * 3,
    *[_transpose] * 3,
    *[_reshape] * 3,
    *[_resize] * 3,
    _repeat,
    _gather,
    _depth,
)
