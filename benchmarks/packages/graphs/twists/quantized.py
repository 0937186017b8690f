"""Models with rounding inside: every tensor to 8 bits, or as ONNX Runtime's quantiser does it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
from onnxruntime.quantization.quantize import quantize_static

from benchmarks.packages.graphs.maker import float_session
from benchmarks.packages.graphs.operators.proposal import Array
from farm.codegen.front.fuse import PRODUCTS
from farm.codegen.program import Quantization
from farm.compile.passes import quiet, reported_as
from farm.compile.quantization.biases import matrix_biases, spread_biases
from farm.compile.quantization.calibrate import Range
from farm.model.walk import clone

Feeds = Mapping[str, Array]

_HUGE = 9e3  # of elements that only masks have
_BELOW = 16.0  # exp of it is nothing beside 8 bits


def observed_ranges(
    model: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Feeds]
) -> dict[str, Range]:
    """Ranges of tensors as a careful person would choose them.

    Elements that masks have made hugely negative are left out; they may saturate a bit below the
    others, where Softmax gives them nothing.
    """
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    fed = {value.name for value in model.graph.input}
    made = [name for name in names if name not in fed]
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    session = float_session(watched)
    ranges: dict[str, Range] = {}
    for feed in feeds:
        values = dict(zip(made, session.run(made, dict(feed)), strict=True)) if made else {}
        for name, array in (values | {n: feed[n] for n in names if n in fed}).items():
            kept = array[np.isfinite(array) & (abs(array) < _HUGE)]
            if kept.size:
                lowest = float(kept.min()) - (_BELOW if kept.size < array.size else 0.0)
                seen = Range(min(lowest, 0.0), max(float(kept.max()), 0.0))
                ranges[name] = ranges.get(name, seen) | seen
    return ranges


def rounded_to_8_bits(
    model: onnx.ModelProto, quantizations: Mapping[str, Quantization]
) -> onnx.ModelProto:
    """The model with every tensor, and the weights of products, rounded to 8 bits."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    del graph.value_info[:]
    nodes = list(graph.node)
    weights = {node.input[1] for node in nodes if node.op_type in PRODUCTS}
    for tensor in graph.initializer:
        if tensor.name in weights:
            array = numpy_helper.to_array(tensor)
            step = np.float32(max(float(abs(array).max()), 1e-9) / 127)
            tensor.CopyFrom(numpy_helper.from_array(np.rint(array / step) * step, tensor.name))
    del graph.node[:]
    inputs = [value.name for value in graph.input]
    for name in inputs:
        if name in quantizations:
            graph.node.extend(_pair(graph, name, f"{name}/rounded", quantizations[name]))
    for node in nodes:
        for index, name in enumerate(node.input):
            if name in inputs and name in quantizations:
                node.input[index] = f"{name}/rounded"
        made = list(node.output)
        for index, name in enumerate(made):
            if name in quantizations:
                node.output[index] = f"{name}/exact"
        graph.node.append(node)
        for name in made:
            if name in quantizations:
                graph.node.extend(_pair(graph, f"{name}/exact", name, quantizations[name]))
    return changed


def _pair(
    graph: onnx.GraphProto, given: str, result: str, found: Quantization
) -> Sequence[onnx.NodeProto]:
    scale, zero = f"{result}/scale", f"{result}/zero"
    graph.initializer.append(numpy_helper.from_array(np.array(found.scale, np.float32), scale))
    graph.initializer.append(numpy_helper.from_array(np.array(found.zero_point, np.uint8), zero))
    return (
        helper.make_node("QuantizeLinear", [given, scale, zero], [f"{result}/integers"]),
        helper.make_node("DequantizeLinear", [f"{result}/integers", scale, zero], [result]),
    )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands the feeds to ONNX Runtime's quantiser."""

    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self._left = [dict(feed) for feed in feeds]

    def get_next(self) -> dict[str, Array] | None:
        return self._left.pop(0) if self._left else None


def quantized_by_runtime(
    model: onnx.ModelProto, feeds: Sequence[Feeds], random: np.random.Generator
) -> onnx.ModelProto:
    """A model quantised by ONNX Runtime, with random options."""
    with (
        tempfile.TemporaryDirectory() as folder,
        quiet(),
        warnings.catch_warnings(),
        reported_as("ONNX Runtime's quantiser"),
    ):
        warnings.simplefilter("ignore")  # its own, about NaN
        path = Path(folder) / "quantised.onnx"
        given = clone(model)
        spread_biases(given)  # other shapes end in its own errors
        quantize_static(
            given,
            path,
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=bool(random.random() < 0.5),
            activation_type=QuantType.QUInt8 if random.random() < 0.6 else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(matrix_biases(given)),
            extra_options={
                "ActivationSymmetric": bool(random.random() < 0.2),
                "ForceQuantizeNoInputCheck": bool(random.random() < 0.5),
            },
        )
        return onnx.load(path)
