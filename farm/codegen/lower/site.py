"""Where a node is lowered: its graph, its chain, and the forms of its values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farm.codegen.front.annotate import Annotated
from farm.codegen.front.fuse import Chain
from farm.codegen.front.source import Node, Value
from farm.codegen.lower.forms import BLOCKED, PLAIN, Form, Forms
from farm.codegen.program import Quantization, Tensor, View


class NoIntegerKernel(ValueError):
    """Why an operator on quantised tensors is computed in float all the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A node that is being lowered to integers.

    chain: what is computed together with a product; None for every other node. notes: takes what
    the user should know. integer_outputs: whether the caller takes quantised outputs as integers.
    """

    node: Node
    chain: Chain | None
    annotated: Annotated
    forms: Forms
    notes: list[str]
    integer_outputs: bool = False

    @property
    def input(self) -> Value:
        """The first input that is no constant."""
        return self.node.changing[0]

    @property
    def result(self) -> Value:
        """The first output."""
        result = self.node.outputs[0]
        assert result is not None
        return result

    def constant(self, position: int) -> NDArray[np.float32] | None:
        """A float32 constant among the inputs; None if it is left out or no such constant."""
        inputs = self.node.inputs
        value = inputs[position] if position < len(inputs) else None
        if value is None or value.constant is None or value.dtype != "float32":
            return None
        return value.constant

    def weights(self) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
        """The constant second input, and the scales in its shape if it came quantised.

        Raises NoIntegerKernel: it is not constant.
        """
        value, weights = self.node.inputs[1], self.constant(1)
        if value is None or weights is None:
            raise NoIntegerKernel("its second input is not constant")
        scales = self.annotated.weight_scales.get(value.name)
        return weights, None if scales is None else np.broadcast_to(scales, weights.shape)

    def quantization(self, value: Value) -> Quantization:
        """The quantisation of an activation that has one."""
        return self.annotated.quantizations[value.name]

    def form(self, value: Value) -> Form:
        """The form of an input that needs no conversion, for kernels that take any."""
        return BLOCKED if self.forms.has(value, BLOCKED) else PLAIN

    def image(self, value: Value, form: Form = BLOCKED) -> Tensor:
        """A value as [N, C, height, width]."""
        tensor = self.forms.get(value, form)
        image = _as_image(tensor)
        if image is not tensor and tensor.name not in self.forms.images:
            self.forms.add(View((tensor,), (image,)))
            self.forms.images.add(tensor.name)
        return image

    def new_image(self, value: Value) -> Tensor:
        """The tensor for a step to write a value to as an image; ``know_image`` comes after."""
        return _as_image(self.forms.draft(value, BLOCKED))

    def know_image(self, value: Value, image: Tensor) -> None:
        """Know a value that was written as an image."""
        tensor = self.forms.new(value, BLOCKED)
        if image.name != tensor.name:
            self.forms.add(View((image,), (tensor,)))
            self.forms.images.add(tensor.name)


def _as_image(tensor: Tensor) -> Tensor:
    """A tensor over one axis of positions as one over two; another one as it is."""
    if len(tensor.shape) != 3:
        return tensor
    batch, channels, width = tensor.shape
    return replace(tensor, name=f"{tensor.name}.image", shape=(batch, channels, 1, width))
