"""A model that grows operator by operator, each with inputs and outputs of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)
from onnx.shape_inference import infer_shapes

_IR_VERSION, _OPSET = 9, 17

Shape = tuple[int, ...]
Attribute = int | str | Sequence[int]


class Graph:
    """Collects operators. Constants are random, and always the same."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._nodes: list[NodeProto] = []
        self._inputs: list[tuple[str, int, Shape]] = []
        self._constants: list[TensorProto] = []
        self._inner: set[str] = set()

    def x(self, *shape: int, element: int = TensorProto.FLOAT) -> str:
        """An input."""
        self._inputs.append((f"x{len(self._inputs)}", element, shape))
        return self._inputs[-1][0]

    def weights(self, *shape: int) -> str:
        """Random numbers."""
        return self._constant(self._random.normal(size=shape).astype(np.float32))

    def positive(self, *shape: int) -> str:
        """Random numbers from 0.5 to 1.5."""
        return self._constant(self._random.uniform(0.5, 1.5, shape).astype(np.float32))

    def numbers(self, *values: float) -> str:
        """These float32."""
        return self._constant(np.array(values, np.float32))

    def scalar(self, value: float) -> str:
        """One float32 without axes."""
        return self._constant(np.array(value, np.float32))

    def indices(self, *values: int) -> str:
        """These int64."""
        return self._constant(np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """An operator; its output, which is one of the model's if nothing else reads it."""
        return self._add(kind, inputs, 1, attributes)[0]

    def split(self, x: str, parts: int, axis: int) -> None:
        """A split into equal parts."""
        self._add("Split", (x,), parts, {"axis": axis})

    def conv(
        self,
        channels: int,
        outputs: int,
        size: Shape,
        kernel: Shape = (1, 1),
        pads: Shape = (0, 0, 0, 0),
        strides: Shape = (1, 1),
        groups: int = 1,
        **window: Shape,
    ) -> str:
        """A convolution of a new input. size: height and width, perhaps a batch before them."""
        batch = size[0] if len(size) == 3 else 1
        return self.add(
            "Conv",
            self.x(batch, channels, *size[-2:]),
            self.weights(outputs, channels // groups, *kernel),
            self.weights(outputs),
            kernel_shape=kernel,
            pads=pads,
            strides=strides,
            group=groups,
            **window,
        )

    def model(self, name: str) -> ModelProto:
        """The model of all operators that were added."""
        ends = [output for node in self._nodes for output in node.output]
        graph = make_graph(
            self._nodes,
            name,
            [make_tensor_value_info(*described) for described in self._inputs],
            [
                make_tensor_value_info(end, TensorProto.FLOAT, None)
                for end in ends
                if end not in self._inner
            ],
            self._constants,
        )
        opsets = [make_opsetid("", _OPSET)]
        return infer_shapes(make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION))

    def _add(
        self, kind: str, inputs: Sequence[str], outputs: int, attributes: Mapping[str, Any]
    ) -> list[str]:
        number = len(self._nodes)
        names = [f"y{number}_{i}" for i in range(outputs)]
        self._nodes.append(make_node(kind, inputs, names, f"{kind}_{number}", **attributes))
        self._inner.update(inputs)
        return names

    def _constant(self, array: NDArray[np.generic]) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name
