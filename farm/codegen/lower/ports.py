"""The caller's arrays: what a program is given and gives, and how that meets its own tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from farm.codegen.arithmetic import SIGN
from farm.codegen.front.source import Value
from farm.codegen.lower.forms import FLOAT, PLAIN, Forms
from farm.codegen.ops.convert import Dequantize, Relayout
from farm.codegen.ops.movement import Concat, Move
from farm.codegen.ops.ports import Flip
from farm.codegen.program import (
    Copy,
    Element,
    PortType,
    PortTypes,
    Quantization,
    Step,
    Tensor,
    View,
)

_WITHIN = (Concat, Copy, Dequantize, Flip, Move, Relayout)
"""Steps whose kernels read no byte beyond their tensors: the caller's arrays have no guards."""


class Ports:
    """Inputs and outputs of a program that is being built.

    kinds: of those that are quantised. quantizations: of values that can exist as u8.
    """

    def __init__(
        self, kinds: PortTypes, quantizations: Mapping[str, Quantization], forms: Forms
    ) -> None:
        self._kinds = kinds
        self._quantizations = quantizations
        self._forms = forms
        self._left: list[str] = []  # those that stay as they are, in words

    def given(self, value: Value) -> Tensor:
        """The caller's array of an input of the model."""
        if not self._is_quantized("input", value):
            return self._forms.given(value)
        inner = self._forms.new(value, PLAIN)
        port = self._port(inner, value, "given")
        self._forms.add(self._between(port, inner))
        return port

    def result(self, value: Value, inputs: Sequence[Tensor]) -> Tensor:
        """The caller's array of an output of the model, which an input may be, too."""
        if self._is_quantized("output", value):
            inner = self._forms.get(value, PLAIN)
            port = self._port(inner, value, "result")
            self._forms.add(self._between(inner, port))
            return port
        given = next((tensor for tensor in inputs if tensor.name == value.name), None)
        if given is None:
            return self._forms.get(value, FLOAT)
        copied = replace(given, name=f"{given.name}.copy", model_name=given.name)
        self._forms.add(Copy((given,), (copied,)))
        return copied

    def notes(self) -> Iterator[str]:
        """What stays as it is although integers were asked for."""
        if self._left:
            kinds = self._kinds
            asked = kinds if isinstance(kinds, PortType) else "integers"
            yield f"Not quantised, so not {asked} as was asked for: {', '.join(self._left)}."

    def _is_quantized(self, what: str, value: Value) -> bool:
        if self._kind(value) is PortType.FLOAT32:
            return False
        if value.name in self._quantizations:
            return True
        self._left.append(f"{what} {value.name!r} ({value.dtype})")
        return False

    def _port(self, inner: Tensor, value: Value, ending: str) -> Tensor:
        name, quant = f"{value.name}.{ending}", inner.quant
        kind = self._kind(value)
        if kind is PortType.INT8:
            quant = Quantization(quant.scale, quant.zero_point - SIGN)
        element = Element(kind.value)
        return replace(
            inner, name=name, element=element, quantization=quant, model_name=value.name
        )

    def _kind(self, value: Value) -> PortType:
        if isinstance(self._kinds, PortType):
            return self._kinds
        return self._kinds.get(value.name, PortType.FLOAT32)

    def _between(self, x: Tensor, y: Tensor) -> Step:
        is_same = x.element is Element.U8 and y.element is Element.U8
        return (Copy if is_same else Flip)((x,), (y,))


def without_copies(
    steps: Sequence[Step], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[Step, ...]:
    """The same steps without copies of the caller's arrays where the arrays themselves will do.

    They will where every kernel that would read them stays within them.
    """
    given = {tensor.name for tensor in inputs if tensor.element is Element.U8}
    told = {tensor.name for tensor in outputs if tensor.element is Element.U8}
    found = list(steps)
    for index, step in enumerate(found):
        if isinstance(step, Copy):
            is_input = step.inputs[0].name in given
            is_output = step.outputs[0].name in told
            shown = step.outputs[0].name if is_input else _shown(step.inputs[0].name, found)
            others = [other for other in found if other is not step]
            if is_input != is_output and _is_read_within(shown, others):
                found[index] = View(step.inputs, step.outputs)
    return tuple(found)


def _shown(name: str, steps: Sequence[Step]) -> str:
    """The tensor that a tensor is a view of."""
    makers = {t.name: step for step in steps for t in step.outputs}
    while isinstance(step := makers.get(name), View):
        name = step.inputs[0].name
    return name


def _is_read_within(name: str, steps: Sequence[Step]) -> bool:
    """Whether no kernel that reads a tensor, or a view of it, reads beyond it."""
    for step in steps:
        if any(tensor.name == name for tensor in step.inputs):
            if isinstance(step, View):
                if not _is_read_within(step.outputs[0].name, steps):
                    return False
            elif not isinstance(step, _WITHIN):
                return False
    return True
