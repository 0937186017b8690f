"""Prepares the user's graph for passes that rewrite operators: constants folded, opset raised.

Names of operators that stay are the user's names, so that a candidate can name them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx
import onnxruntime as ort

from farm.compile.formats.float32_inside import Float32Inside
from farm.compile.formats.raise_opset import RaiseOpset
from farm.compile.pads import PadAllAxes
from farm.compile.passes import (
    Compiled,
    PassResult,
    cpu_session,
    reason,
    reported_as,
    session_options,
)
from farm.host.temporary import temporary_folder
from farm.model.walk import all_nodes, clone, name_nodes

_NEWEST_SAFE_IR = 10  # int4 tensors; every supported onnxruntime reads it
_FIRST_IR_WITH_CONSTANTS = 4  # initializers that are not graph inputs


def prepare(model: onnx.ModelProto, *, widened: bool = True) -> Compiled:
    """The float graph that quantisation and float conversion start from.

    Weights are plain initializers, batch normalisation is folded into convolutions, branches
    with a known condition are inlined, every tensor has an inferred shape. Raises CompileError.

    widened: operators of 16-bit floats compute in float32.
    """
    done = Compiled(model).then(SupportedIr(), FreezeWeights(), RaiseOpset())
    if widened:
        done = done.then(Float32Inside())
    done = done.then(InferShapes(), PadAllAxes(), Simplify(), SumToAdd())
    return done.then(NameOperators(), InferShapes())


@dataclass(frozen=True, slots=True)
class SupportedIr:
    """Lower the IR version to what the graph needs: onnx writes newer ones than engines read."""

    name: ClassVar[str] = "supported-ir"
    requires: ClassVar[str] = "a valid model"
    ensures: ClassVar[str] = "an IR version that the engines read"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass. The graph itself stays as it is."""
        if model.ir_version <= _NEWEST_SAFE_IR:
            return PassResult(model, changed=False)
        needed = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
        version = min(model.ir_version, max(_NEWEST_SAFE_IR, needed))
        lowered = clone(model)
        lowered.ir_version = version
        note = f"IR version lowered from {model.ir_version} to {version}."
        return PassResult(lowered, version != model.ir_version, (note,))


@dataclass(frozen=True, slots=True)
class FreezeWeights:
    """Make initializers that are listed as graph inputs, too, into constants."""

    name: ClassVar[str] = "freeze-weights"
    requires: ClassVar[str] = "a valid model"
    ensures: ClassVar[str] = "graph inputs are what the caller feeds"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass."""
        weights = {tensor.name for tensor in model.graph.initializer}
        fed = [value for value in model.graph.input if value.name not in weights]
        if len(fed) == len(model.graph.input):
            return PassResult(model, changed=False)
        frozen = clone(model)
        frozen.ir_version = max(model.ir_version, _FIRST_IR_WITH_CONSTANTS)
        del frozen.graph.input[:]
        frozen.graph.input.extend(fed)
        return PassResult(frozen, changed=True)


@dataclass(frozen=True, slots=True)
class Simplify:
    """ONNX Runtime's engine-independent rewriting, with weights behind DequantizeLinear folded.

    Matrix products keep their separate bias, because they are quantised without it.
    """

    name: ClassVar[str] = "simplify"
    requires: ClassVar[str] = "fixed shapes"
    ensures: ClassVar[str] = "no operator computes a constant; batch normalisation is folded"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError when ONNX Runtime does not load the model."""
        with temporary_folder("compile") as folder, reported_as(self.name):
            target = folder / "simple.onnx"
            options = session_options()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = str(target)
            # Without it, constant folding stops at DequantizeLinear.
            options.add_session_config_entry("session.disable_quant_qdq", "1")
            try:
                cpu_session(model, options, ("MatMulAddFusion",))
            except Exception as error:  # noqa: BLE001 (they have no common base)
                return _as_it_is(model, error)
            simple = onnx.load(target)
        _drop_unused_domains(simple)
        before, after = len(model.graph.node), len(simple.graph.node)
        notes = (f"{before - after} of {before} operators folded away.",) if after < before else ()
        return PassResult(simple, before != after, notes)


def _as_it_is(model: onnx.ModelProto, error: Exception) -> PassResult:
    """The model unchanged where ONNX Runtime runs it, only not optimised; else its error again."""
    options = session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    cpu_session(model, options)
    note = f"The graph stays as it is, because ONNX Runtime cannot simplify it: {reason(error)}"
    return PassResult(model, changed=False, notes=(note,))


@dataclass(frozen=True, slots=True)
class SumToAdd:
    """Write a Sum of two tensors as Add, which engines fuse and quantise."""

    name: ClassVar[str] = "sum-to-add"
    requires: ClassVar[str] = "opset 8 or later"
    ensures: ClassVar[str] = "no Sum has exactly two inputs"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass."""
        if not any(_is_pair_sum(node) for node in model.graph.node):
            return PassResult(model, changed=False)
        written = clone(model)
        for node in filter(_is_pair_sum, written.graph.node):
            node.op_type = "Add"
        return PassResult(written, changed=True)


@dataclass(frozen=True, slots=True)
class NameOperators:
    """Name the operators that other passes made without a name, or with another one's."""

    name: ClassVar[str] = "name-operators"
    requires: ClassVar[str] = "a valid model"
    ensures: ClassVar[str] = "a name of its own for every operator"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass."""
        names = [node.name for node in all_nodes(model)]
        if all(names) and len(set(names)) == len(names):
            return PassResult(model, changed=False)
        named = clone(model)
        name_nodes(named)
        return PassResult(named, changed=True)


@dataclass(frozen=True, slots=True)
class InferShapes:
    """Record type and shape of every tensor that onnx can infer."""

    name: ClassVar[str] = "infer-shapes"
    requires: ClassVar[str] = "fixed shapes"
    ensures: ClassVar[str] = "value_info for every tensor between standard operators"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError when operators contradict each other's shapes."""
        with reported_as(self.name):
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        return PassResult(inferred, changed=False)


def _is_pair_sum(node: onnx.NodeProto) -> bool:
    return node.op_type == "Sum" and len(node.input) == 2


def _drop_unused_domains(model: onnx.ModelProto) -> None:
    """Remove the operator sets that ONNX Runtime lists in every model it saves."""
    used = {node.domain for node in all_nodes(model)} | {"", "ai.onnx"}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
