"""A candidate: one complete set of choices for running a model on a device.

A candidate is a frozen value with one canonical JSON text; its id is the hash of that text. It
says which *engine* runs the model and with which options, which *precision* its operators have,
and which *graph* variant is loaded. It does not name a device or a model: a trial pairs those.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from farm.candidate.engine import CPackageEmulated, OnnxRuntimeCpu
from farm.candidate.engines import Engine, engine_label, whole_engines
from farm.candidate.fields import ADDED, STRICT
from farm.candidate.nvidia import NvidiaEngine, OnnxRuntimeCuda, OnnxRuntimeTensorRt
from farm.candidate.pipeline import Pipeline
from farm.candidate.precision import FloatType, Precision
from farm.candidate.qnn import UNTIMED
from farm.candidate.webgpu import OnnxRuntimeWebGpu
from farm.errors import CandidateError

MOST_BATCH = 4096
"""Samples of one run: more fill the memory, and no engine gains by them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One complete set of choices: engine with its options, precision, graph, and callers.

    rewritten: slow patterns of the graph are replaced by faster ones that compute the same.
    callers: threads of one process that call it at the same time, each without a pause.
    batch: samples that one run takes, at most MOST_BATCH.
    """

    __pydantic_config__ = STRICT
    engine: Engine = field(default_factory=OnnxRuntimeCpu)
    precision: Precision = field(default_factory=Precision)
    rewritten: bool = False
    callers: Annotated[int, Field(ge=1)] = field(default=1, metadata=ADDED)
    batch: Annotated[int, Field(ge=1, le=MOST_BATCH)] = field(default=1, metadata=ADDED)

    @property
    def is_counted(self) -> bool:
        """Whether its latency comes from counted instructions: the same in every run."""
        return isinstance(self.engine, CPackageEmulated)

    @property
    def is_modelled(self) -> bool:
        """Whether its latency, or that of a part of it, follows from counted instructions.

        Those of other parts are measured: the whole is not the same in every run.
        """
        return self.is_counted or (isinstance(self.engine, Pipeline) and self.engine.is_emulated)

    @property
    def spans_devices(self) -> bool:
        """Whether it runs on several devices, or on a GPU and the processor beside it.

        No counter and no device's power figures tell of all of them together.
        """
        match self.engine:
            case Pipeline() as pipeline:
                return len(pipeline.devices) > 1
            case OnnxRuntimeCuda() | OnnxRuntimeTensorRt() as engine:
                return engine.cpu_operators
            case OnnxRuntimeWebGpu() as engine:
                return engine.cpu_operators or bool(engine.on_cpu)
            case _:
                return False

    @property
    def is_untimed(self) -> bool:
        """Whether nothing here tells its latency, which is never compared with another one's."""
        return self.engine.kind in UNTIMED

    @property
    def in_flight(self) -> int:
        """Runs of one caller that are under way at the same time."""
        return self.engine.in_flight if isinstance(self.engine, Pipeline) else 1

    @property
    def keeps_precision(self) -> bool:
        """Whether every number is at least as precise as in the model; see ``Precision``.

        Engines, their options and rewritten graphs change no number's format, but for TF32.
        """
        rounds = any(isinstance(e, NvidiaEngine) and e.tf32 for e in whole_engines(self.engine))
        return self.precision.keeps_precision and not rounds

    @property
    def id(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the canonical JSON text."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()[:12]

    def label(self) -> str:
        """A short name for tables: ``openvino 1 thread bfloat16``."""
        text = f"{engine_label(self.engine)} {self.precision.label()}"
        text += " rewritten" if self.rewritten else ""
        text += f", {self.callers} callers" if self.callers > 1 else ""
        return text + (f", batch {self.batch}" if self.batch > 1 else "")

    def results_per_second(self, seconds: float) -> float:
        """Samples per second of all callers together, where a run takes so many seconds."""
        return self.callers * self.in_flight * self.batch / seconds

    def with_float(self, float_type: FloatType) -> Candidate:
        """The same candidate with other arithmetic in its float operators."""
        return replace(self, precision=replace(self.precision, float_type=float_type))


_ADAPTER: TypeAdapter[Candidate] = TypeAdapter(Candidate)
_PRECISION: TypeAdapter[Precision] = TypeAdapter(Precision)


def to_json(candidate: Candidate) -> str:
    """The canonical JSON text: the fields of ``canonical``, sorted keys, no spaces."""
    return json.dumps(canonical(candidate), sort_keys=True, separators=(",", ":"))


def canonical(value: Candidate | Precision) -> dict[str, Any]:
    """Every field as plain JSON values, but for added ones that have their defaults.

    A choice that is added to the farm thus leaves the text and the id of all that was there.
    """
    adapter = _ADAPTER if isinstance(value, Candidate) else _PRECISION
    plain: dict[str, Any] = adapter.dump_python(value, mode="json")  # type: ignore[arg-type]
    _drop_added_defaults(value, plain)
    return plain


def check_timed(*candidates: Candidate) -> None:
    """Raise CandidateError for a candidate whose latency is unknown, where that is needed."""
    for candidate in candidates:
        if candidate.is_untimed:
            raise CandidateError(
                f"The latency of {candidate.label()} is unknown: it runs in an emulator, and what "
                "that takes says nothing about the chip. `farm bench --candidate` tells its "
                "accuracy."
            )


def from_json(text: str, source: str = "candidate") -> Candidate:
    """Read a candidate from JSON text.

    source: what the text is, for the message.

    Raises CandidateError: not JSON, an unknown field, a value out of range.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise CandidateError(
            f"{source} is not a candidate: at {where}: {_described(first)}. "
            "`farm results --format json` shows candidates in the right form."
        ) from None


def read_candidate(path: Path) -> Candidate:
    """Read a candidate file. Raises CandidateError."""
    try:
        return from_json(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise CandidateError(f"Cannot read candidate file {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CandidateError(
            f"Cannot read candidate file {path}: it is not text in UTF-8."
        ) from None


def _drop_added_defaults(value: Any, plain: dict[str, Any]) -> None:  # noqa: ANN401
    for part in fields(value):
        held = getattr(value, part.name)
        if part.metadata == ADDED and held == part.default:
            del plain[part.name]
        elif is_dataclass(held):
            _drop_added_defaults(held, plain[part.name])
        elif isinstance(held, tuple):
            for inner, text in zip(held, plain[part.name], strict=True):
                if is_dataclass(inner):
                    _drop_added_defaults(inner, text)


def _described(error: ErrorDetails) -> str:
    """What is wrong at one place; in the farm's words where pydantic speaks of its own matters."""
    context = error.get("ctx", {})
    match error["type"]:
        case "union_tag_invalid":
            return f"unknown kind '{context['tag']}'; known are {context['expected_tags']}"
        case "union_tag_not_found":
            return "it has no 'kind', which says what it is"
        case _:
            return error["msg"]
