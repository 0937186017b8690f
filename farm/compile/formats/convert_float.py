"""Converts the float operators of a graph to float16, for engines without an option for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from farm.compile.names import Names, under_other_names
from farm.compile.passes import PassResult, quiet, reported_as, sort_nodes


@dataclass(frozen=True, slots=True)
class ConvertToFloat16:
    """Weights and activations in float16; the graph's inputs and outputs keep their types."""

    name: ClassVar[str] = "float16"
    requires: ClassVar[str] = "a prepared float32 graph"
    ensures: ClassVar[str] = "operators compute in float16 where ONNX allows it"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError when the converter gives up."""
        return PassResult(under_other_names(model, self._converted), changed=True)

    def _converted(self, model: onnx.ModelProto, _: Names) -> onnx.ModelProto:
        with reported_as(self.name), quiet():
            return sort_nodes(convert_float_to_float16(model, keep_io_types=True))
