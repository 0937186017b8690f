"""A graph that grows operator by operator, with the values of all its tensors.

Each operator is computed by ONNX Runtime on random data, and kept if that gives finite, moderate
numbers: so every model is valid, and its shapes are those that ONNX Runtime found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from benchmarks.packages.graphs.operators.proposal import Array, Proposal
from benchmarks.packages.graphs.twists.opsets import spelled

_IR_VERSION = 10  # which every supported ONNX Runtime reads
_OPSETS = (7, 8, 9, 10, 10, 11, 12, 13, 13, 14, 15, 16, 17, 17, 18, 18, 19, 20, 21, 22, 23)
_MOST_ELEMENTS = 6000
_SMALLEST, _LARGEST = 0.01, 300.0  # of a tensor's largest values


class Maker:
    """A graph that grows, with the values of all its tensors for one random input."""

    def __init__(self, random: np.random.Generator, opset: int | None = None) -> None:
        self.random = random
        self.opset: int = opset or self.one_of(_OPSETS)
        self.nodes: list[onnx.NodeProto] = []
        self.values: dict[str, Array] = {}  # of inputs and results, in the order they were made
        self.constants: dict[str, Array] = {}
        self.kept: set[str] = set()  # tensors that are outputs whoever reads them
        self.inputs: list[str] = []
        self._read: set[str] = set()

    # Random choices

    def one_of(self, choices: Sequence[Any]) -> Any:  # noqa: ANN401 (whatever the choices are)
        """One of several, all equally likely."""
        return choices[int(self.random.integers(len(choices)))]

    def whole(self, lowest: int, highest: int) -> int:
        """A whole number, both ends included."""
        return int(self.random.integers(lowest, highest + 1))

    def chance(self, probability: float) -> bool:
        """Whether something that has a probability happens."""
        return bool(self.random.random() < probability)

    def normal(self, shape: Sequence[int], scale: float = 1.0) -> Array:
        """Normal numbers, float32."""
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

    @property
    def last(self) -> str:
        """The tensor that was made last."""
        return next(reversed(self.values))

    def unread(self) -> list[str]:
        """Results that nothing reads."""
        return [n for n in self.values if n not in self._read and n not in self.inputs]

    def others(self, fits: Callable[[Array], bool]) -> list[str]:
        """Tensors that fit."""
        return [name for name, value in self.values.items() if fits(value)]

    def add_input(self, shape: Sequence[int] | None = None) -> str:
        """A new input, of any shape of up to five axes unless one is given; its name."""
        name = f"x{len(self.inputs)}"
        self.values[name] = self.normal(self._input_shape() if shape is None else shape)
        self.inputs.append(name)
        return name

    def _input_shape(self) -> Sequence[int]:
        rank = self.one_of([4, 4, 4, 4, 3, 3, 2, 2, 1, 5])
        first = next(iter(self.values.values()), None)
        if first is not None and self.chance(0.4):
            return [1 if self.chance(0.3) else size for size in first.shape]
        batch = self.one_of([1, 1, 1, 2, 3])
        channels = self.one_of([1, 2, 3, 4, 5, 6, 8, 8, 12, 16, 17, 33])
        positions = [self.one_of([1, 3, 5, 6, 7, 8, 9, 11, 16]) for _ in range(rank - 2)]
        shape = [batch, channels, *positions][:rank] if rank > 1 else [channels]
        return [min(size, 5) for size in shape] if rank == 5 else shape

    def add(self, proposal: Proposal, *, moderate: bool = True) -> bool:
        """Add an operator if ONNX Runtime takes it; whether it does.

        moderate: only if it gives finite numbers that are neither tiny nor huge, and in the shape
        that ONNX infers.
        """
        proposal = spelled(proposal, self.opset, self.constants)
        index = len(self.nodes)
        names = [f"t{index}_{i}" if i else f"t{index}" for i in range(proposal.outputs)]
        node = helper.make_node(
            proposal.op_type, proposal.inputs, names, name=f"op{index}", **proposal.attributes
        )
        results = self._results(node, inferred=moderate)
        if results is None or (moderate and not all(map(_is_moderate, results))):
            return False
        self.nodes.append(node)
        self.values.update(zip(names, results, strict=True))
        self._read.update(each for each in proposal.inputs if each in self.values)
        return True

    def _results(self, node: onnx.NodeProto, *, inferred: bool) -> list[Array] | None:
        """What an operator gives; None where ONNX Runtime does not take it.

        inferred: nor where ONNX infers other shapes.
        """
        names = [each for each in dict.fromkeys(node.input) if each]
        given = [_described(each, self.values[each]) for each in names if each in self.values]
        stored = [
            numpy_helper.from_array(self.constants[each], each)
            for each in names
            if each in self.constants
        ]
        unknown = [onnx.ValueInfoProto(name=each) for each in node.output]
        model = self._built([node], given, unknown, stored)
        feeds = {each: self.values[each] for each in names if each in self.values}
        try:
            results: list[Array] = float_session(model).run(None, feeds)
            if not inferred:
                return results
            # Where the two do not agree on shapes, as on pools whose last window sees nothing,
            # most tools for ONNX fail.
            typed = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except Exception:  # noqa: BLE001 (ONNX Runtime's exceptions have no common base)
            return None
        shapes = [
            tuple(size.dim_value for size in each.type.tensor_type.shape.dim)
            for each in typed.graph.output
        ]
        return results if shapes == [result.shape for result in results] else None

    def model(self) -> onnx.ModelProto:
        """The graph: its outputs are what nothing reads, and now and then what something does."""
        made = [name for node in self.nodes for name in node.output]
        made = [name for name in made if self.values[name].dtype != np.bool_]
        outputs = [name for name in made if name not in self._read or self.chance(0.08)]
        outputs += sorted(self.kept.difference(outputs))
        self.random.shuffle(outputs)
        read = self._read | self.kept
        used = [name for name in self.inputs if name in read] or self.inputs[:1]
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
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, array.shape)


def _is_moderate(array: Array) -> bool:
    return bool(
        array.dtype == np.float32
        and 0 < array.size <= _MOST_ELEMENTS
        and np.isfinite(array).all()
        and _SMALLEST <= abs(array).max() <= _LARGEST
    )


def random_window(maker: Maker, sizes: Sequence[int], *, with_auto: bool) -> dict[str, Any]:
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


def divisors(number: int) -> list[int]:
    """The divisors of a number, above 1."""
    return [each for each in range(2, number + 1) if number % each == 0]
