"""Pipelines: a model that is split over places, part after part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Discriminator, Field

from farm.candidate.engine import (
    CPackage,
    CPackageEmulated,
    OnnxRuntimeCpu,
    OpenVinoGpu,
    OpenVinoRuntime,
    WholeEngine,
    whole_engine_label,
)
from farm.candidate.fields import STRICT
from farm.candidate.nvidia import OnnxRuntimeCuda, OnnxRuntimeTensorRt
from farm.candidate.webgpu import OnnxRuntimeWebGpu

PartEngine = Annotated[
    OnnxRuntimeCpu
    | OpenVinoRuntime
    | OpenVinoGpu
    | OnnxRuntimeCuda
    | OnnxRuntimeTensorRt
    | OnnxRuntimeWebGpu
    | CPackage
    | CPackageEmulated,
    Discriminator("kind"),
]


@dataclass(frozen=True, slots=True)
class PipelinePart:
    """The operators of one place that run as one artifact.

    device: name of a device profile. operators: names in the model's graph, in the order in which
    they run. Operators that depend on weights alone may be left out: every part that reads their
    results has them. engine: ONNX Runtime's threads spin for 20 microseconds where it leaves that
    to ONNX Runtime, because they would take the processor from the next part.
    """

    __pydantic_config__ = STRICT
    device: str
    engine: PartEngine
    operators: Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def place(self) -> str:
        """The device with the engine: ``cpu/onnxruntime-cpu``."""
        return f"{self.device}/{self.engine.kind}"

    @property
    def is_emulated(self) -> bool:
        """Whether its seconds are modelled from what an emulator counts."""
        return isinstance(self.engine, CPackageEmulated)

    def label(self) -> str:
        """The place, the number of operators, and the engine's options if it has any."""
        options = "" if self.engine == type(self.engine)() else f" ({_options(self.engine)})"
        return f"{self.place} {len(self.operators)}{options}"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A model that is split over places.

    parts: in the order in which they run.
    overlapped: parts work on successive samples at the same time, each in a process of its own.
    """

    __pydantic_config__ = STRICT
    parts: Annotated[tuple[PipelinePart, ...], Field(min_length=1)]
    kind: Literal["pipeline"] = "pipeline"
    overlapped: bool = False

    @property
    def is_emulated(self) -> bool:
        """Whether seconds of a part are modelled, and so those of the whole."""
        return any(part.is_emulated for part in self.parts)

    @property
    def engines(self) -> tuple[PartEngine, ...]:
        """Those of its parts."""
        return tuple(part.engine for part in self.parts)

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of those that its parts are at, each once."""
        return tuple(dict.fromkeys(part.device for part in self.parts))

    @property
    def in_flight(self) -> int:
        """Samples that are under way at the same time.

        Overlapped, one more than there are parts: each finds its next sample ready.
        """
        return len(self.parts) + 1 if self.overlapped else 1

    def label(self) -> str:
        """The places with the numbers of their operators, for tables."""
        text = "pipeline " + " + ".join(part.label() for part in self.parts)
        return text + (" overlapped" if self.overlapped else "")


def _options(engine: WholeEngine) -> str:
    """What an engine's label says beside its kind."""
    return whole_engine_label(engine).partition(" ")[2]
