"""Builds models of operators that have nothing to do with each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

_OPSET, _IR_VERSION = 17, 8
Shape = Sequence[int]


class Probe:
    """A model that grows: every branch begins at an input of its own and ends at an output.

    Weights are normal, scaled so that signals neither vanish nor explode.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[NodeProto] = []
        self._stored: list[TensorProto] = []
        self._inputs: dict[str, Shape] = {}
        self._outputs: list[str] = []
        self._random = np.random.default_rng(7)

    def given(self, *shape: int) -> str:
        """A new float32 input."""
        name = f"in{len(self._inputs)}"
        self._inputs[name] = shape
        return name

    def weight(self, *shape: int) -> str:
        """A new stored float32 tensor."""
        values = self._random.standard_normal(shape, dtype=np.float32)
        return self.stored((values / math.sqrt(math.prod(shape[1:]))).astype(np.float32))

    def integers(self, *values: int) -> str:
        """A new stored vector of int64."""
        return self.stored(np.array(values, dtype=np.int64))

    def stored(self, values: NDArray[Any]) -> str:
        """A new stored tensor."""
        name = f"w{len(self._stored)}"
        self._stored.append(from_array(values, name))
        return name

    def add(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:  # noqa: ANN401
        """A new operator; its first result."""
        name = f"{op_type.lower()}{len(self._nodes)}"
        results = [name, *(f"{name}_{at}" for at in range(1, outputs))]
        self._nodes.append(make_node(op_type, list(inputs), results, name=name, **attributes))
        return name

    def end(self, name: str) -> None:
        """End a branch."""
        self._outputs.append(name)

    def model(self) -> ModelProto:
        """The model; the shapes of its outputs are for inference to find."""
        inputs = [
            make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in self._inputs.items()
        ]
        outputs = [make_tensor_value_info(o, TensorProto.FLOAT, None) for o in self._outputs]
        graph = make_graph(self._nodes, self._name, inputs, outputs, self._stored)
        opsets = [make_opsetid("", _OPSET)]
        return make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
