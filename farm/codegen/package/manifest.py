"""What a package says about itself: ``manifest.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from farm.accuracy.result import Worst
from farm.codegen.arithmetic import quantize_port
from farm.codegen.build.compilers import Target
from farm.codegen.program import Array, Quantization
from farm.errors import InputError
from farm.units import Bytes

MANIFEST_FILE = "manifest.json"
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Port:
    """A model input or output, row-major.

    name: in the model. scale, zero_point: of bytes, which stand for the real numbers
    (byte - zero_point) * scale; None of other types, and in manifests of older packages.
    """

    __pydantic_config__ = _STRICT
    name: str
    dtype: Annotated[str, Field(pattern="^(float32|u?int8|int32|int64|bool)$")]
    shape: tuple[Annotated[int, Field(ge=0)], ...]
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    zero_point: Annotated[int, Field(ge=-128, le=255)] | None = None

    @property
    def quantization(self) -> Quantization | None:
        """What its bytes stand for; None of other types."""
        if self.scale is None or self.zero_point is None:
            return None
        return Quantization(self.scale, self.zero_point)

    def elements(self, array: Array) -> Array:
        """A model's array as the package takes it: quantised where the port is."""
        quantization = self.quantization
        return array if quantization is None else quantize_port(array, quantization, self.dtype)


@dataclass(frozen=True, slots=True)
class PackageAccuracy:
    """Accuracy as the farm computes it. value: of the package; float_value: of the model itself.

    Both are None where accuracy cannot be judged; ``notes`` say why. worst: where the package's
    outputs differ most from the model's.
    """

    __pydantic_config__ = _STRICT
    metric: str
    value: float | None
    float_value: float | None
    samples: int
    worst: Worst | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """Facts about a package.

    name: what all its names in C begin with, in capitals those of macros.
    packets: of one run, counted by the emulator; None on the host, and where there is none.
    arena_bytes: of tensors, planned. scratch_bytes: of kernels. memory_bytes: what the caller
    provides, both and guards. weight_bytes: constants. code_bytes: instructions and tables of
    the model's own code.
    arena_lower_bound: no placement is lower. precision: the candidate's label.
    operators: kernel calls. macs: of one run. vectors: test vectors.
    """

    __pydantic_config__ = _STRICT
    name: str
    model_sha256: str
    profile: str
    target: Target
    precision: str
    packets: int | None
    macs: int
    operators: int
    arena_bytes: Bytes
    arena_lower_bound: Bytes
    scratch_bytes: Bytes
    memory_bytes: Bytes
    weight_bytes: Bytes
    code_bytes: Bytes
    accuracy: PackageAccuracy | None
    compiler: str
    flags: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    vectors: Annotated[int, Field(ge=1)]
    notes: tuple[str, ...]
    farm: str

    def to_json(self) -> str:
        """The file's text: sorted keys, so that it is the same when repeated."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


_ADAPTER: TypeAdapter[Manifest] = TypeAdapter(Manifest)


def parse_manifest(text: str | bytes, source: str = "manifest") -> Manifest:
    """Read a manifest's text. source: what it is, for the message. Raises InputError."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the top level"
        raise InputError(
            f"{source} is no manifest of a package: at {where}: {first['msg']}."
        ) from None


def read_manifest(folder: Path) -> Manifest:
    """Read a package's manifest. Raises InputError: it is not there, or not a manifest."""
    path = folder / MANIFEST_FILE
    try:
        return parse_manifest(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(
            f"{folder} is no package: {MANIFEST_FILE} cannot be read ({error.strerror})."
        ) from None
