"""ONNX Runtime's QNN provider: Qualcomm's own compiler, for the HTP of one of its chips.

Here its emulator executes what it compiled, in the arithmetic of that chip. What the emulator
takes says nothing about the chip, so that the latency of such a candidate is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from farm.candidate.fields import STRICT

Chip = Literal[
    "SM8450", "SM8475", "SM8550", "SM8650", "SM8750", "SM8850", "SA8255", "QCS9100", "SXR2230P"
]  # fmt: skip
"""Whose HTP computes in float16, too: from v69 on. Older ones would need another precision."""


@dataclass(frozen=True, slots=True)
class OnnxRuntimeQnn:
    """ONNX Runtime's QNN provider, a plugin of ONNX Runtime, on the HTP of a chip.

    All operators run there: a model with one that the provider refuses does not compile.

    chip: that the context binary is for, by Qualcomm's number.
    """

    __pydantic_config__ = STRICT
    kind: Literal["onnxruntime-qnn"] = "onnxruntime-qnn"
    chip: Chip = "SM8650"

    def label(self) -> str:
        """The engine with its chip, for tables."""
        return f"{self.kind} {self.chip}"


UNTIMED = frozenset({OnnxRuntimeQnn().kind})
"""Kinds of engine that run in an emulator which counts nothing: their latency is unknown."""

CHIPS: tuple[str, ...] = get_args(Chip)
