"""A candidate: one complete set of choices for running a model on a device.

A candidate is a frozen value with one canonical JSON text; its id is the hash of that text. It
says which *engine* runs the model and with which options, which *precision* its operators have,
and which *graph* variant is loaded. It does not name a device or a model: a trial pairs those.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from farm.errors import CandidateError

_STRICT = ConfigDict(extra="forbid", defer_build=True)  # built where something is parsed
_ADDED = MappingProxyType({"added": True})
"""Metadata of a field that no stored candidate had: see ``canonical``. New fields carry it."""

BlockSize = Literal[16, 32, 64, 128]
"""Weights that share one scale in block-wise quantisation."""
HostTarget = Literal["portable", "avx2", "avx512-vnni"]
HostCompiler = Literal["zig", "clang", "gcc"]
HexagonTarget = Literal["hexagon-v67", "hexagon-v67-hvx"]


class FloatType(StrEnum):
    """Arithmetic of the operators that are not quantised."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT64 = "float64"


class GivenFormat(StrEnum):
    """What a model computes in as it was given, see ``farm.model.formats``.

    quantised: its operators that have weights compute in integers, and the rest in float32.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT64 = "float64"
    QUANTISED = "quantised"

    @property
    def float_type(self) -> FloatType:
        """Arithmetic of its float operators."""
        return FloatType.FLOAT32 if self is GivenFormat.QUANTISED else FloatType(str(self))

    @property
    def is_half(self) -> bool:
        """Whether its floats have 16 bits, so that float32 has all of their values."""
        return self in (GivenFormat.FLOAT16, GivenFormat.BFLOAT16)


class CalibrationMethod(StrEnum):
    """How activation ranges are found from calibration data."""

    MIN_MAX = "min-max"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"


class GraphLevel(StrEnum):
    """ONNX Runtime's graph optimisation levels."""

    NONE = "none"
    BASIC = "basic"
    EXTENDED = "extended"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class StaticInt8:
    """QDQ quantisation with calibrated ranges: u8 activations, s8 weights, s32 biases.

    keep_float: names of operators that stay in float, sorted.
    """

    __pydantic_config__ = _STRICT
    kind: Literal["static-int8"] = "static-int8"
    per_channel: bool = True
    calibration: CalibrationMethod = CalibrationMethod.MIN_MAX
    keep_float: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DynamicInt8:
    """s8 weights, activation ranges found at run time, matrix products (and Conv if asked)."""

    __pydantic_config__ = _STRICT
    kind: Literal["dynamic-int8"] = "dynamic-int8"
    per_channel: bool = False
    convolutions: bool = False
    keep_float: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WeightOnlyInt4:
    """Matrix products with block-wise 4-bit weights (``MatMulNBits``), float activations.

    block_size: weights that share one scale, along the reduction axis: 16, 32, 64 or 128.
    accuracy_level: 0 = float32 arithmetic, 4 = int8 arithmetic (ONNX Runtime's contract).
    """

    __pydantic_config__ = _STRICT
    kind: Literal["weight-only-int4"] = "weight-only-int4"
    block_size: BlockSize = 32
    accuracy_level: Literal[0, 4] = 0
    keep_float: tuple[str, ...] = ()


Quantization = Annotated[StaticInt8 | DynamicInt8 | WeightOnlyInt4, Discriminator("kind")]


@dataclass(frozen=True, slots=True)
class Precision:
    """Number formats of a candidate: how it is quantised, and the rest's arithmetic.

    given: the model's own, which a model of 16-bit floats is taken out of where ``float_type`` is
        float32: its weights and operators become float32, its inputs and outputs stay.
    """

    __pydantic_config__ = _STRICT
    float_type: FloatType = FloatType.FLOAT32
    quantization: Quantization | None = None
    given: GivenFormat = field(default=GivenFormat.FLOAT32, metadata=_ADDED)

    @classmethod
    def own(cls, given: GivenFormat) -> Precision:
        """The precision of a model that is run as it was given."""
        return cls(given.float_type, given=given)

    @property
    def is_widened(self) -> bool:
        """Whether a model of 16-bit floats computes in float32, quantised or not."""
        return self.given.is_half and self.float_type is FloatType.FLOAT32

    @property
    def keeps_precision(self) -> bool:
        """Whether every number is at least as precise as in the model as it was given.

        So it is in the model itself, and in float32 of a model of 16-bit floats; neither in other
        16-bit floats or anything narrower, nor where the farm quantises.
        """
        is_own = self.float_type is self.given.float_type
        return self.quantization is None and (is_own or self.is_widened)

    def label(self) -> str:
        """A short name for tables: ``int8 per-channel entropy (3 float)``, ``bfloat16``."""
        match self.quantization:
            case None if self.is_widened:
                return "float32 inside"
            case None if self.given is GivenFormat.QUANTISED:
                text = "quantised as given"
            case None:
                return str(self.float_type)
            case StaticInt8(per_channel=per_channel, calibration=method):
                text = f"int8 {'per-channel' if per_channel else 'per-tensor'} {method}"
            case DynamicInt8(per_channel=per_channel, convolutions=convolutions):
                text = f"dynamic int8{' per-channel' if per_channel else ''}"
                text += " with conv" if convolutions else ""
            case WeightOnlyInt4(block_size=block, accuracy_level=level):
                text = f"int4 weights /{block}{' int8 arithmetic' if level == 4 else ''}"
        if self.float_type is not FloatType.FLOAT32:
            text += f" + {self.float_type}"
        if self.quantization is not None and (kept := len(self.quantization.keep_float)):
            text += f" ({kept} float)"
        return text


@dataclass(frozen=True, slots=True)
class OnnxRuntimeCpu:
    """ONNX Runtime's own CPU provider.

    threads: intra-operator threads; 0 leaves the number to ONNX Runtime.
    graph_level: graph optimisations applied when the session is created.
    saved_graph: the optimised graph was saved beforehand and is loaded with optimisation off.
    disabled_optimizers: names of ONNX Runtime graph transformers switched off, sorted.
    """

    __pydantic_config__ = _STRICT
    kind: Literal["onnxruntime-cpu"] = "onnxruntime-cpu"
    threads: Annotated[int, Field(ge=0)] = 0
    spinning: bool = True
    memory_pattern: bool = True
    graph_level: GraphLevel = GraphLevel.ALL
    saved_graph: bool = False
    disabled_optimizers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenVino:
    """The OpenVINO execution provider, a plugin of ONNX Runtime, on its CPU device.

    threads: inference threads; 0 leaves the number to OpenVINO.
    pinning: threads are pinned to cores.
    cpu_operators: operators that the provider refuses may run on ONNX Runtime's CPU provider;
        without it such a model is a run error, never a silent mix.
    """

    __pydantic_config__ = _STRICT
    kind: Literal["openvino"] = "openvino"
    threads: Annotated[int, Field(ge=0)] = 0
    pinning: bool = False
    cpu_operators: bool = False


@dataclass(frozen=True, slots=True)
class CPackage:
    """A compiled package of generated C, run on this machine's processor in one thread.

    target: instruction set it is compiled for, a host's ``farm.codegen.build.compilers.Target``.
    compiler: the kind that compiles it.
    """

    __pydantic_config__ = _STRICT
    kind: Literal["cpackage"] = "cpackage"
    target: HostTarget = "portable"
    compiler: HostCompiler = "zig"


@dataclass(frozen=True, slots=True)
class CPackageEmulated:
    """A compiled package of generated C for a Hexagon, executed by an instruction emulator.

    target: instruction set it is compiled for, a Hexagon's
        ``farm.codegen.build.compilers.Target``.
    """

    __pydantic_config__ = _STRICT
    kind: Literal["cpackage-emulated"] = "cpackage-emulated"
    target: HexagonTarget = "hexagon-v67-hvx"


@dataclass(frozen=True, slots=True)
class Fake:
    """The fake engine, for tests of the farm's own logic. It runs nothing.

    seconds: the latency it pretends to have; noise: relative standard deviation of it.
    fault: what it does instead of running (really: it crashes, hangs, or allocates).
    """

    __pydantic_config__ = _STRICT
    kind: Literal["fake"] = "fake"
    seconds: float = 1e-3
    noise: float = 0.01
    fault: Literal["none", "crash", "hang", "out-of-memory", "error", "wrong-engine"] = "none"
    serial: int = 0


PackageEngine = CPackage | CPackageEmulated
ThreadedEngine = OnnxRuntimeCpu | OpenVino
Engine = Annotated[
    OnnxRuntimeCpu | OpenVino | CPackage | CPackageEmulated | Fake, Discriminator("kind")
]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One complete set of choices: engine with its options, precision, and graph.

    rewritten: slow patterns of the graph are replaced by faster ones that compute the same.
    """

    __pydantic_config__ = _STRICT
    engine: Engine = field(default_factory=OnnxRuntimeCpu)
    precision: Precision = field(default_factory=Precision)
    rewritten: bool = False

    @property
    def is_counted(self) -> bool:
        """Whether its latency comes from counted instructions: the same in every run."""
        return isinstance(self.engine, CPackageEmulated)

    @property
    def keeps_precision(self) -> bool:
        """Whether every number is at least as precise as in the model; see ``Precision``.

        Engines, their options and rewritten graphs change no number's format.
        """
        return self.precision.keeps_precision

    @property
    def id(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the canonical JSON text."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()[:12]

    def label(self) -> str:
        """A short name for tables: ``openvino 1 thread bfloat16``."""
        text = f"{engine_label(self.engine)} {self.precision.label()}"
        return text + (" rewritten" if self.rewritten else "")

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
    except (OSError, UnicodeDecodeError) as error:
        raise CandidateError(f"Cannot read candidate file {path}: {error}") from None


def engine_label(engine: Engine) -> str:
    """The engine with the options that differ from its defaults, for tables."""
    match engine:
        case CPackage(target=target, compiler=compiler):
            return f"cpackage {target} {compiler}"
        case CPackageEmulated(target=target):
            return f"cpackage {target}"
        case Fake(seconds=seconds):
            return f"fake {seconds:g} s"
        case OpenVino(threads=threads, pinning=pinning, cpu_operators=mixed):
            text = "openvino" + (" + onnxruntime-cpu" if mixed else "") + _threads(threads)
            return text + (" pinned" if pinning else "")
        case OnnxRuntimeCpu() as ort:
            parts = ["onnxruntime-cpu" + _threads(ort.threads)]
            parts += [] if ort.spinning else ["no-spin"]
            parts += [] if ort.memory_pattern else ["no-pattern"]
            parts += [] if ort.graph_level is GraphLevel.ALL else [f"graph={ort.graph_level}"]
            parts += ["saved"] if ort.saved_graph else []
            parts += [f"-{name}" for name in ort.disabled_optimizers]
            return " ".join(parts)


def _drop_added_defaults(value: Any, plain: dict[str, Any]) -> None:  # noqa: ANN401
    for part in fields(value):
        held = getattr(value, part.name)
        if part.metadata == _ADDED and held == part.default:
            del plain[part.name]
        elif is_dataclass(held):
            _drop_added_defaults(held, plain[part.name])


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


def _threads(count: int) -> str:
    return "" if count == 0 else f" {count} thread{'s' if count > 1 else ''}"
