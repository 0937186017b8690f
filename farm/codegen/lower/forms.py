"""The forms in which values exist while a program is built, and the conversions between them.

A value of the graph can exist as float32, as u8 in plain order, and as u8 blocked by channels; one
that is no real number in its own type, and as float32 where that is asked for. A form is made when
somebody asks for it, from the nearest one that is there, once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from farm.codegen.front.source import Value
from farm.codegen.ops.cast import Cast
from farm.codegen.ops.convert import Dequantize, Quantize, Relayout
from farm.codegen.ops.movement import transposition
from farm.codegen.program import Element, Layout, Quantization, Step, Tensor, View
from farm.errors import CompileError

FLOAT = (Element.F32, Layout.PLAIN)
PLAIN = (Element.U8, Layout.PLAIN)
BLOCKED = (Element.U8, Layout.BLOCKED)
Form = tuple[Element, Layout]

_SUFFIX = {PLAIN: ".u8", BLOCKED: ".blocked"}


def own_form(value: Value) -> Form:
    """The form of a value as it is in the model."""
    return Element(value.dtype), Layout.PLAIN


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A value that is another one with its channel axis moved; only made when it is needed.

    to_first: from [N, positions..., C] to [N, C, positions...], otherwise the other way round.
    """

    of: Value
    value: Value
    to_first: bool


class Forms:
    """Forms of all values, and the steps that made them so far.

    quantizations: of values that can exist as u8. rounded: names of values that the model itself
    quantises, so that their float32 form, too, has 256 values at most.
    """

    def __init__(
        self, quantizations: Mapping[str, Quantization], rounded: frozenset[str] = frozenset()
    ) -> None:
        self.steps: list[Step] = []
        self.operators: list[str] = []
        self.operator = ""  # that the steps now belong to
        self.images: set[str] = set()  # names of tensors that exist as images over two axes, too
        self._quantizations = quantizations
        self._rounded = rounded
        self._exact: dict[str, Tensor] = {}  # rounded values as they were before
        self._forms: dict[str, dict[Form, Tensor]] = {}
        self._moved: dict[str, Moved] = {}

    def add(self, *steps: Step) -> None:
        """Append steps of the present operator."""
        self.steps += steps
        self.operators += [self.operator] * len(steps)

    def new(self, value: Value, form: Form, quantization: Quantization | None = None) -> Tensor:
        """The tensor of a value in a form, for a step to write; it is known from now on.

        quantization: other than the value's own.
        """
        tensor = self.draft(value, form, quantization)
        self._forms.setdefault(value.name, {})[form] = tensor
        return tensor

    def computed(self, value: Value) -> Tensor:
        """The tensor of a value for an operator to write that computes no u8; it is known then."""
        if value.name not in self._rounded:
            return self.new(value, own_form(value))
        tensor = replace(self.draft(value, FLOAT), name=f"{value.name}.exact")
        self._exact[value.name] = tensor
        return tensor

    def given(self, value: Value) -> Tensor:
        """The tensor of an input of the model in its own type."""
        if value.name not in self._rounded:
            return self.new(value, own_form(value))
        tensor = self._exact[value.name] = self.draft(value, FLOAT)
        return tensor

    def draft(self, value: Value, form: Form, quantization: Quantization | None = None) -> Tensor:
        """The tensor that ``new`` would give, without knowing it yet."""
        element, layout = form
        found = None
        if element is Element.U8:
            found = quantization or self._quantizations[value.name]
        return Tensor(value.name + _SUFFIX.get(form, ""), value.shape, element, layout, found)

    def forget(self, value: Value) -> None:
        """Know a value no more, because the steps that were to compute it are not appended."""
        self._forms.pop(value.name, None)
        self._exact.pop(value.name, None)

    def exists(self, value: Value) -> bool:
        """Whether the value was computed already, in whatever form."""
        return any(value.name in known for known in (self._forms, self._exact, self._moved))

    def move_later(self, moved: Moved) -> None:
        """Know a value as another one's with its channels moved."""
        self._moved[moved.value.name] = moved

    def has(self, value: Value, form: Form) -> bool:
        """Whether the value exists in a form without any conversion."""
        return form in self._forms.get(value.name, {})

    def get(self, value: Value, form: Form) -> Tensor:
        """The value in a form; converts if it does not exist in it.

        Raises CompileError: the form is u8 and the value is not quantised.
        """
        forms = self._forms.get(value.name, {})
        if form not in forms:
            if form != FLOAT and value.name not in self._quantizations:
                raise CompileError(f"Tensor {value.name!r} has no quantisation.")
            if not forms and value.name in self._moved:
                self._move(self._moved[value.name], form)
            else:
                self._convert(value, form)
        return self._forms[value.name][form]

    def _convert(self, value: Value, form: Form) -> None:
        forms = self._forms.get(value.name, {})
        if own_form(value) != FLOAT:
            target = replace(self.draft(value, FLOAT), name=f"{value.name}.float")
            forms[FLOAT] = target
            self.add(Cast((forms[own_form(value)],), (target,)))
            return
        source = forms.get(BLOCKED if form == PLAIN else PLAIN) or forms.get(BLOCKED)
        if form == FLOAT:
            source = source or self.get(value, PLAIN)
            result = self._dequantized(value)
            self.add(Dequantize((source,), (result,), channels_last=False))
        elif source is None:
            given = self._real(value)
            self.add(Quantize((given,), (self.new(value, form),), channels_last=False))
        elif _same_bytes(value.shape):
            self.add(View((source,), (self.new(value, form, source.quantization),)))
        else:
            target = self.new(value, form, source.quantization)
            self.add(Relayout((source,), (target,), channels_last=False))

    def _is_real(self, value: Value) -> bool:
        return value.name in self._exact or self.has(value, FLOAT)

    def _real(self, value: Value) -> Tensor:
        """The float32 tensor from which a value is quantised."""
        return self._exact.get(value.name) or self.get(value, FLOAT)

    def _dequantized(self, value: Value) -> Tensor:
        """The float32 tensor of a value that exists as u8; an input's own name is taken."""
        tensor = self.draft(value, FLOAT)
        taken = self._exact.get(value.name)
        if taken is not None and taken.name == tensor.name:
            tensor = replace(tensor, name=f"{tensor.name}.rounded")
        self._forms[value.name][FLOAT] = tensor
        return tensor

    def _move(self, moved: Moved, form: Form) -> None:
        """Make a moved value in the wanted form, fused with a conversion where there is one."""
        first = moved.to_first
        near, far = (PLAIN, BLOCKED) if first else (BLOCKED, PLAIN)
        if form == far and self.has(moved.of, near):
            source = self.get(moved.of, near)
            target = self.new(moved.value, form, source.quantization)
            self.add(Relayout((source,), (target,), channels_last=True))
        elif first and form == BLOCKED and self._is_real(moved.of):
            given = self._real(moved.of)
            self.add(Quantize((given,), (self.new(moved.value, form),), channels_last=True))
        elif not first and form == FLOAT and self.has(moved.of, BLOCKED):
            source = self.get(moved.of, BLOCKED)
            self.add(Dequantize((source,), (self.new(moved.value, form),), channels_last=True))
        else:
            self._transpose(moved)
            self.get(moved.value, form)

    def _transpose(self, moved: Moved) -> None:
        """Move the channels in memory, in a form that is there."""
        integer = moved.of.name in self._quantizations and not self.has(moved.of, FLOAT)
        source = self.get(moved.of, PLAIN if integer else FLOAT)
        rank = len(moved.value.shape)
        last_to_first = (0, rank - 1, *range(1, rank - 1))
        permutation = last_to_first if moved.to_first else (0, *range(2, rank), 1)
        target = self.new(moved.value, PLAIN if integer else FLOAT, source.quantization)
        self.add(transposition(source, target, permutation))


def _same_bytes(shape: tuple[int, ...]) -> bool:
    """Whether plain and blocked order are the same: one position, whole blocks of channels."""
    return len(shape) < 2 or (math.prod(shape[2:]) == 1 and shape[1] % 4 == 0)
