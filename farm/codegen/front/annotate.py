"""Says which tensors of a graph are kept as integers, and with which scale and zero point.

Two ways lead to the same annotated float graph: calibrated ranges of a float model, and the
QuantizeLinear / DequantizeLinear pairs of a model that is quantised already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from farm.codegen.front.source import Node, Source, UnsupportedOperator, Value, read_source
from farm.codegen.program import Quantization
from farm.compile.quantization.calibrate import Range
from farm.compile.quantization.masks import MaskedSum, masked_sums, without_masks
from farm.compile.quantization.resolution import MOVING, Link, lost_in_8_bits, shared_ranges


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """A float graph with the quantisation of its tensors.

    quantizations: of float32 activations, by name; a tensor that is not in it stays float.
    weight_scales: of weights that came quantised, by name: float64, of a shape that broadcasts to
    that of the weights.
    keep_float: names of operators that compute in float whatever their tensors are.
    rounded: names of activations that the model itself quantises: where one is computed in float,
    it is brought to its 256 values all the same, because their range may be what remains of a
    Relu or Clip.
    reasons: why activations that could be quantised stay float, by name; "" where it follows from
    those of others. notes: sentences about what was annotated otherwise than calibrated.
    """

    source: Source
    quantizations: Mapping[str, Quantization] = field(default_factory=dict)
    weight_scales: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    keep_float: frozenset[str] = frozenset()
    rounded: frozenset[str] = frozenset()
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def annotate_ranges(
    source: Source,
    ranges: Mapping[str, Range],
    keep_float: Iterable[str] = (),
    only_integer: Collection[str] = (),
) -> Annotated:
    """Annotate a float graph with calibrated ranges (each contains zero).

    Tensors that 8 bits are too few for are left out, but for those beside operators that there is
    no float code for: only_integer has the types of these.
    """
    known = {
        node.outputs[0].name: Range(0.0, 255 / 256)
        for node in source.nodes
        if node.op_type == "Softmax" and node.outputs[0] is not None
    }
    links = [_link(node) for node in source.nodes]
    outputs = {value.name for value in source.outputs}
    masks = tuple(masked_sums(links, {**ranges, **known}, outputs))
    ranges = without_masks(links, {**ranges, **known}, masks, outputs)
    beside = {
        name
        for link in links
        for name in (*link.changing, *link.outputs)
        if link.op_type in only_integer
    }
    shown = _masked_outputs(links, {**ranges, **known}, outputs)
    lost = lost_in_8_bits(links, ranges, shared=True, integer=beside) | shown
    coarse = lost_in_8_bits(links, ranges, shared=True) if beside else lost
    kept = {name: found for name, found in ranges.items() if name not in lost}
    merged = shared_ranges(links, kept)
    quantizations = {name: quantization_of(found) for name, found in merged.items()}
    notes = dict.fromkeys(_mask_note(masked) for masked in masks)
    notes |= dict.fromkeys(_coarse_note(n, coarse[n]) for n in coarse if n not in lost)
    keep = frozenset(keep_float)
    return Annotated(source, quantizations, {}, keep, reasons=lost, notes=tuple(notes))


def _masked_outputs(
    links: Sequence[Link], ranges: Mapping[str, Range], outputs: Collection[str]
) -> dict[str, str]:
    """Results of masked sums that are outputs, too, so that their range may not be limited."""
    why = "it adds the mask of a softmax, whose values would decide its scale"
    sums = masked_sums(links, ranges, ())
    return {
        name: why
        for masked in sums
        if any(name in outputs for name in masked.results)
        for name in masked.results
    }


def _mask_note(masked: MaskedSum) -> str:
    return (
        f"Results of operator {masked.operator} below {masked.floor:.6g} are masked: they add "
        "nothing to the softmax that reads them, and have no integers of their own."
    )


def _coarse_note(name: str, reason: str) -> str:
    why = f", although {reason}" if reason else ""
    return f"Tensor {name!r} has 8 bits, because an operator beside it has no float code{why}."


def _link(node: Node) -> Link:
    inputs = tuple(
        None if value is None else value.name if value.constant is None else value.constant
        for value in node.inputs
    )
    outputs = tuple(value.name for value in node.outputs if value is not None)
    return Link(node.name, node.op_type, inputs, outputs, _softmax_axis(node))


def _softmax_axis(node: Node) -> int:
    """The axis of a Softmax, counted from the end; the last one for every other operator."""
    rank = len(node.outputs[0].shape) if node.outputs and node.outputs[0] is not None else 0
    axis = int(node.attributes.get("axis", -1)) if node.op_type == "Softmax" else -1
    return axis if axis < 0 else axis - rank


def quantization_of(found: Range) -> Quantization:
    """Scale and zero point of a range that contains zero: zero is exact, 255 steps."""
    scale = (found.highest - found.lowest) / 255
    if not scale > 0:
        return Quantization(1.0, 0)
    return Quantization(scale, int(np.clip(np.rint(-found.lowest / scale), 0, 255)))


def annotate_qdq(model: onnx.ModelProto, integer_outputs: Collection[str] = ()) -> Annotated:
    """Read a QDQ model: the pairs become annotations, and the graph is float again.

    integer_outputs: names of outputs that stay quantised where a pair writes them.

    Raises UnsupportedOperator: a quantisation other than 8-bit, or one per channel, of an
    activation. CompileError: as ``read_source``.
    """
    return _QdqReader(read_source(model)).annotated(_weight_scales(model), integer_outputs)


def _weight_scales(model: onnx.ModelProto) -> dict[str, NDArray[np.float64]]:
    constants = {t.name: t for t in model.graph.initializer}
    scales = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and {node.input[0], node.input[1]} <= set(constants):
            scale = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
            if scale.ndim == 1:  # one per channel
                rank = len(constants[node.input[0]].dims)
                axis = next((a.i for a in node.attribute if a.name == "axis"), 1) % rank
                scale = scale.reshape(-1, *[1] * (rank - axis - 1))
            scales[node.output[0]] = scale
    return scales


class _QdqReader:
    """Takes the pairs out of a graph; ``_alias`` gives the float tensor behind each name."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._reasons = dict(_read_in_several_ways(source))
        self._copies: dict[tuple[str, Quantization], Value] = {}
        self._alias: dict[str, Value] = {}
        self._quantizations: dict[str, Quantization] = {}
        self._quantized: dict[str, tuple[Value, Quantization]] = {}
        self._nodes: list[Node] = []

    def annotated(
        self, weight_scales: Mapping[str, NDArray[np.float64]], integer_outputs: Collection[str]
    ) -> Annotated:
        for node in self._source.nodes:
            match node.op_type:
                case "QuantizeLinear":
                    self._quantize(node)
                case "DequantizeLinear":
                    self._dequantize(node)
                case _ if any(value.name in self._quantized for value in node.changing):
                    self._move_integers(node)
                case _:
                    inputs = tuple(self._behind(v) for v in node.inputs)
                    self._nodes.append(replace(node, inputs=inputs))
        self._keep_outputs(integer_outputs)
        source = Source(tuple(self._nodes), self._source.inputs, self._source.outputs)
        rounded = frozenset(self._quantizations)
        return Annotated(
            source, self._quantizations, weight_scales, rounded=rounded, reasons=self._reasons
        )

    def _behind(self, value: Value | None) -> Value | None:
        return None if value is None else self._alias.get(value.name, value)

    def _quantize(self, node: Node) -> None:
        value = self._behind(node.inputs[0])
        assert value is not None
        assert node.outputs[0] is not None
        found = _quantization(node)
        if (
            value.name in self._reasons
            or self._quantizations.setdefault(value.name, found) != found
        ):
            value = self._copy(node, value, found)
        self._quantized[node.outputs[0].name] = (value, found)

    def _copy(self, node: Node, value: Value, found: Quantization) -> Value:
        """A tensor that is read in more ways than this one: quantised, it is one of its own."""
        assert node.outputs[0] is not None
        key = (value.name, found)
        if key not in self._copies:
            again = Value(f"{node.outputs[0].name}.float", value.shape, value.dtype)
            self._copies[key] = again
            self._quantizations[again.name] = found
            copy = Node(f"{node.name}.copy", "Identity", "ai.onnx", 13, (value,), (again,), {})
            self._nodes.append(copy)
        return self._copies[key]

    def _dequantize(self, node: Node) -> None:
        integers, real = node.inputs[0], node.outputs[0]
        assert integers is not None
        assert real is not None
        if integers.name not in self._quantized:
            raise UnsupportedOperator(node, f"its input {integers.name!r} is not quantised here")
        value, found = self._quantized[integers.name]
        if _quantization(node) != found:
            raise UnsupportedOperator(node, "its scale or zero point is not the quantiser's")
        self._alias[real.name] = value

    def _move_integers(self, node: Node) -> None:
        """An operator between a pair, as optimisers leave them: the same one on float tensors."""
        given = [self._quantized.get(value.name) for value in node.changing]
        found = {pair[1] for pair in given if pair is not None}
        filled = any(v and v.constant is not None and v.dtype in _BYTES for v in node.inputs)
        only_moves = node.op_type in MOVING - {"Pad"} and not filled
        if not only_moves or None in given or len(found) != 1:
            raise UnsupportedOperator(node, "it computes on integers")
        (quantization,) = found
        outputs = []
        for value in node.outputs:
            real = value and Value(f"{value.name}.float", value.shape, "float32")
            outputs.append(real)
            if value is not None and real is not None:
                self._quantizations[real.name] = quantization
                self._quantized[value.name] = (real, quantization)
        inputs = tuple(
            self._quantized[v.name][0] if v is not None and v.name in self._quantized else v
            for v in node.inputs
        )
        self._nodes.append(replace(node, inputs=inputs, outputs=tuple(outputs)))

    def _keep_outputs(self, quantised: Collection[str]) -> None:
        """Model outputs keep their names: where one was a pair's, a copy gets the name."""
        for value in self._source.outputs:
            if value.name in self._alias:
                behind = self._alias[value.name]
                name = f"{value.name}.copy"
                copy = Node(name, "Identity", "ai.onnx", 13, (behind,), (value,), {})
                self._nodes.append(copy)
                if value.name in quantised:
                    self._quantizations[value.name] = self._quantizations[behind.name]


def _read_in_several_ways(source: Source) -> Iterator[tuple[str, str]]:
    """Tensors that every reader must get as they were computed, and why.

    An integer result is rounded to the scale of one quantiser, and saturated to its range.
    """
    outputs = {value.name for value in source.outputs}
    rounded = {
        value.name
        for node in source.nodes
        for value in node.outputs
        if value is not None and node.op_type == "DequantizeLinear"
    }
    for name, readers in source.readers().items():
        if name in rounded:  # the same for every reader already
            continue
        quantizers = [node for node in readers if node.op_type == "QuantizeLinear"]
        if quantizers and (len(quantizers) < len(readers) or name in outputs):
            yield name, "its result is read in float as well as quantised"
        elif len({_quantization(node) for node in quantizers}) > 1:
            yield name, "its result is quantised in more than one way"


_BYTES = frozenset({"int8", "uint8"})


def _quantization(node: Node) -> Quantization:
    scale, zero = node.constant(1), node.constant(2)
    if scale is None or scale.size != 1:
        raise UnsupportedOperator(node, "activations are quantised with one scale per tensor")
    if not 0 < scale.item() < np.inf:
        raise UnsupportedOperator(node, f"its scale is {scale.item():g}, which no numbers have")
    dtype: Any = np.dtype(np.uint8) if zero is None else zero.dtype
    if dtype not in (np.uint8, np.int8):
        raise UnsupportedOperator(node, f"activations of type {dtype} (uint8 or int8 are known)")
    offset = 128 if dtype == np.int8 else 0  # s8 activations are the same numbers, moved by 128
    return Quantization(float(scale.item()), offset + (0 if zero is None else int(zero.item())))
