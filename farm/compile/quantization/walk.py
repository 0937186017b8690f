"""Runs a graph operator by operator on samples, so that it can be changed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from farm.compile.passes import cpu_session, session_options
from farm.compile.quantization.calibrate import Feeds

Values = list[npt.NDArray[np.generic]]
"""Of one tensor, by sample."""


class Walk:
    """The tensors of a graph that are still to be read, on every sample.

    Operators run in the order of the graph: ``run``, then ``keep`` with what shall go on. One
    that reads constants alone runs once, and gives a constant.
    """

    def __init__(self, model: onnx.ModelProto, feeds: Sequence[Feeds]) -> None:
        self._model = model
        self._count = len(feeds)
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._values: dict[str, Values] = {
            value.name: [feed[value.name] for feed in feeds] for value in model.graph.input
        }
        self._readers = Counter(name for node in model.graph.node for name in node.input)
        self._options = session_options()
        self._options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL

    def run(self, node: onnx.NodeProto) -> dict[str, Values]:
        """What an operator gives, by the name of the tensor; {} of constants."""
        changing = [name for name in dict.fromkeys(node.input) if name in self._values]
        outputs = [name for name in node.output if name]
        session = cpu_session(self._alone(node, changing), self._options)
        if not changing:
            for name, array in zip(outputs, session.run(outputs, {}), strict=True):
                self._constants[name] = numpy_helper.from_array(array, name)
            return {}
        results = [
            session.run(outputs, {name: self._values[name][i] for name in changing})
            for i in range(self._count)
        ]
        return {name: [result[i] for result in results] for i, name in enumerate(outputs)}

    def keep(self, node: onnx.NodeProto, made: Mapping[str, Values]) -> None:
        """Go on with these results of an operator; what nobody reads any more is forgotten."""
        self._values.update(made)
        for name in node.input:
            self._readers[name] -= 1
            if not self._readers[name]:
                self._values.pop(name, None)

    def _alone(self, node: onnx.NodeProto, changing: Sequence[str]) -> onnx.ModelProto:
        inputs = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(self._values[name][0].dtype), None
            )
            for name in changing
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        names = dict.fromkeys(node.input)
        stored = [self._constants[name] for name in names if name in self._constants]
        graph = onnx.helper.make_graph([node], "one", inputs, outputs, stored)
        return onnx.helper.make_model(
            graph,
            opset_imports=self._model.opset_import,
            ir_version=self._model.ir_version,
        )
