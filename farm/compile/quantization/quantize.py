"""Quantisation passes: static int8 (QDQ), dynamic int8, int4 weights.

All start from a prepared graph (``farm.compile.prepare``) and raise CompileError when there is
nothing to quantise, when a name to keep in float is unknown, or when the quantiser gives up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.calibrate import CalibrationMethod as OrtMethod
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import add_infer_metadata

from farm.candidate import DynamicInt8, StaticInt8, WeightOnlyInt4
from farm.compile.names import Names, under_other_names
from farm.compile.operators import (
    MATRIX_PRODUCTS,
    Facts,
    activations,
    chosen,
    is_plain_gemm,
    quantizable,
    with_followers,
)
from farm.compile.passes import PassResult, quiet, reported_as, sort_nodes
from farm.compile.quantization.biases import matrix_biases, spread_biases
from farm.compile.quantization.calibrate import Calibration
from farm.compile.quantization.masks import masked_sums
from farm.compile.quantization.products import combined_with_rows, mirrored, signed_operands
from farm.compile.quantization.resolution import JOINING, MOVING, links_of, lost_in_8_bits
from farm.errors import CompileError
from farm.host.temporary import temporary_folder

_PREPARED = "a prepared graph: weights are initializers, shapes are known"


def tensors_to_calibrate(model: onnx.ModelProto, *, products: bool = False) -> tuple[str, ...]:
    """The activations whose ranges static int8 needs, whatever it keeps in float.

    Among them are the parts of what was joined before it comes to a quantised operator.

    products: of ``StaticInt8``.
    """
    choice = StaticInt8(products=products)
    names = [operator.name for operator in quantizable(model, choice)]
    needed = dict.fromkeys(activations(model, with_followers(model, names, choice), choice))
    facts = Facts(model)
    for link in reversed(links_of(model)):
        if link.op_type in MOVING | JOINING and not needed.keys().isdisjoint(link.outputs):
            needed |= dict.fromkeys(name for name in link.changing if facts.is_float(name))
    return tuple(needed)


@dataclass(frozen=True, slots=True)
class QuantizeStatic:
    """Write QuantizeLinear and DequantizeLinear around operators: u8 activations, s8 weights.

    With ``products`` operands of matrix products that may be negative are s8, and their results
    are left alone.

    calibration: ranges of ``tensors_to_calibrate``.
    """

    choice: StaticInt8
    calibration: Calibration

    name: ClassVar[str] = "quantize-static"
    requires: ClassVar[str] = _PREPARED + ", opset 13 or later"
    ensures: ClassVar[str] = "operators that static int8 applies to compute in int8"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError."""
        names = chosen(model, self.choice)
        signed = signed_operands(model, names, self.calibration) if self.choice.products else ()
        calibration = mirrored(self.calibration, signed)
        reasons = _kept_float(model, names, self.choice, calibration)
        names = tuple(name for name in names if name not in reasons)
        kept_notes = tuple(f"Operator {n} stays in float: {r}." for n, r in reasons.items() if r)
        if not names:
            raise CompileError(
                f"No operator is left that {self.choice.kind} should be applied to. "
                + " ".join(kept_notes)
            )
        every = with_followers(model, names, self.choice, reasons)
        written = under_other_names(model, partial(self._quantised, every, calibration, signed))
        _drop_metadata(written)
        count = _count_note(len(names), model, self.choice)
        notes = (*self.calibration.notes, count, *kept_notes)
        return PassResult(written, changed=True, notes=notes)

    def _quantised(
        self,
        operators: Sequence[str],
        calibration: Calibration,
        signed: Collection[str],
        model: onnx.ModelProto,
        names: Names,
    ) -> onnx.ModelProto:
        chosen_names = [names.token(name) for name in operators]
        s8 = {"quant_type": QuantType.QInt8, "symmetric": True}
        with reported_as(self.name), quiet():
            spread_biases(model)
            add_infer_metadata(model)  # keeps the quantiser from inferring shapes again
            outputs = _without_passed_through(model)
            quantizer = QDQQuantizer(
                model,
                self.choice.per_channel,
                False,  # noqa: FBT003 - full 8-bit weights
                QuantType.QInt8,
                QuantType.QUInt8,
                _tensors_data(calibration, names),
                chosen_names,
                [],
                _types(model, chosen_names),
                {
                    "TensorQuantOverrides": {names.token(name): [s8] for name in signed},
                    "OpTypesToExcludeOutputQuantization": self._with_float_results(),
                },
            )
            quantizer.quantize_model()
            written = quantizer.model.model
            _set_outputs(written, outputs)
            return sort_nodes(written)

    def _with_float_results(self) -> list[str]:
        return sorted(MATRIX_PRODUCTS) if self.choice.products else []


@dataclass(frozen=True, slots=True)
class GemmToMatMul:
    """Write general matrix products as MatMul and Add; the MatMul keeps the operator's name."""

    name: ClassVar[str] = "gemm-to-matmul"
    requires: ClassVar[str] = _PREPARED
    ensures: ClassVar[str] = "no plain Gemm with constant weights"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass."""
        facts = Facts(model)
        if not any(_is_splittable(node, facts) for node in model.graph.node):
            return PassResult(model, changed=False)
        return PassResult(under_other_names(model, _split_gemms), changed=True)


@dataclass(frozen=True, slots=True)
class QuantizeDynamic:
    """s8 weights; activation ranges are found at run time."""

    choice: DynamicInt8

    name: ClassVar[str] = "quantize-dynamic"
    requires: ClassVar[str] = _PREPARED
    ensures: ClassVar[str] = "operators that dynamic int8 applies to compute in int8"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError."""
        operators = chosen(model, self.choice)
        written = under_other_names(model, partial(self._quantised, operators))
        _drop_metadata(written)
        note = _count_note(len(operators), model, self.choice)
        return PassResult(written, changed=True, notes=(note,))

    def _quantised(
        self, operators: Sequence[str], model: onnx.ModelProto, names: Names
    ) -> onnx.ModelProto:
        chosen_names = [names.token(name) for name in operators]
        with (
            temporary_folder("compile") as folder,
            reported_as(self.name),
            quiet(),
        ):
            target = folder / "dynamic.onnx"
            quantize_dynamic(
                model,
                target,
                op_types_to_quantize=_types(model, chosen_names),
                nodes_to_quantize=chosen_names,
                per_channel=self.choice.per_channel,
                weight_type=QuantType.QInt8,
            )
            return onnx.load(target)


@dataclass(frozen=True, slots=True)
class QuantizeWeightsInt4:
    """Block-wise 4-bit weights, symmetric: ``MatMulNBits`` of ONNX Runtime."""

    choice: WeightOnlyInt4

    name: ClassVar[str] = "quantize-int4"
    requires: ClassVar[str] = _PREPARED
    ensures: ClassVar[str] = "matrix products with constant weights are MatMulNBits"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError."""
        operators = chosen(model, self.choice)
        written = under_other_names(model, partial(self._quantised, operators))
        note = _count_note(len(operators), model, self.choice)
        return PassResult(written, changed=True, notes=(note,))

    def _quantised(
        self, operators: Sequence[str], model: onnx.ModelProto, names: Names
    ) -> onnx.ModelProto:
        # Slow to import, with a computer algebra system.
        from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415
            MatMulNBitsQuantizer,
        )

        every = {node.name for node in model.graph.node}
        with reported_as(self.name), quiet():
            quantizer = MatMulNBitsQuantizer(
                model,
                block_size=self.choice.block_size,
                is_symmetric=True,
                accuracy_level=self.choice.accuracy_level,
                nodes_to_exclude=sorted(every.difference(map(names.token, operators))),
                op_types_to_quantize=("MatMul",),
            )
            quantizer.process()
        written: onnx.ModelProto = quantizer.model.model
        return written


def _kept_float(
    model: onnx.ModelProto, names: Collection[str], choice: StaticInt8, calibration: Calibration
) -> dict[str, str]:
    """The operators that read or write what 8 bits are too few for, and why; "" if it follows."""
    links, ranges = links_of(model), calibration.ranges
    outputs = {value.name for value in model.graph.output}
    masked = {found.operator for found in masked_sums(links, ranges, outputs)}
    lost = lost_in_8_bits(links, ranges, shared=False)
    selected = set(with_followers(model, names, choice))
    known = matrix_biases(model) | (combined_with_rows(model) if choice.products else {})
    reasons = {name: why for name, why in known.items() if name in selected}
    for link in links:
        touched = [name for name in (*link.outputs, *link.changing) if name in lost]
        if link.name in selected and link.name in masked:
            reasons[link.name] = (
                "it adds the mask of a softmax, whose values would decide its scale"
            )
        elif link.name in selected and touched:
            own = touched[0] in link.outputs
            follows = f"its input {touched[0]!r} does" if link.op_type not in MOVING else ""
            reasons[link.name] = lost[touched[0]] if own else follows
    return reasons


def _without_passed_through(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Take away outputs that are inputs, in place; all outputs that there were.

    The quantiser gives each output that it quantises a new operator that writes it, and an input
    has none.
    """
    outputs = list(model.graph.output)
    inputs = {value.name for value in model.graph.input}
    _set_outputs(model, [value for value in outputs if value.name not in inputs])
    return outputs


def _set_outputs(model: onnx.ModelProto, outputs: Sequence[onnx.ValueInfoProto]) -> None:
    del model.graph.output[:]
    model.graph.output.extend(outputs)


def _types(model: onnx.ModelProto, operators: Collection[str]) -> list[str]:
    return sorted({node.op_type for node in model.graph.node if node.name in operators})


def _tensors_data(calibration: Calibration, names: Names) -> TensorsData:
    # The method only selects how the container reads its values: plain pairs are min-max.
    pairs = {
        names.token(name): TensorData(
            lowest=np.float32(found.lowest), highest=np.float32(found.highest)
        )
        for name, found in calibration.ranges.items()
    }
    return TensorsData(OrtMethod.MinMax, pairs)


def _count_note(
    count: int, model: onnx.ModelProto, choice: StaticInt8 | DynamicInt8 | WeightOnlyInt4
) -> str:
    possible = len(quantizable(model, choice))
    return f"{count} of {possible} operators quantised ({choice.kind})."


def _drop_metadata(model: onnx.ModelProto) -> None:
    kept = [entry for entry in model.metadata_props if not entry.key.startswith("onnx.")]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)


def _is_splittable(node: onnx.NodeProto, facts: Facts) -> bool:
    return is_plain_gemm(node) and facts.is_weight(node.input[1])


def _split_gemms(model: onnx.ModelProto, _: Names) -> onnx.ModelProto:
    facts, nodes = Facts(model), list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        plain = _is_splittable(node, facts)
        model.graph.node.extend(_split_gemm(node, model.graph) if plain else [node])
    return model


def _split_gemm(node: onnx.NodeProto, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    weight = node.input[1]
    if any(a.name == "transB" and a.i for a in node.attribute):
        stored = next(tensor for tensor in graph.initializer if tensor.name == weight)
        weight = f"{node.name}/weight"
        turned = np.ascontiguousarray(onnx.numpy_helper.to_array(stored).T)
        graph.initializer.append(onnx.numpy_helper.from_array(turned, weight))
    bias = node.input[2] if len(node.input) > 2 else ""
    product = f"{node.name}/product" if bias else node.output[0]
    nodes = [onnx.helper.make_node("MatMul", [node.input[0], weight], [product], node.name)]
    if bias:
        add = onnx.helper.make_node("Add", [product, bias], node.output, f"{node.name}/bias")
        nodes.append(add)
    return nodes
