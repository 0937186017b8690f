"""Device profiles: TOML files that say what a device is and what can run on it.

A profile says nothing about whether its device is there: that is found out on the machine, by
``workers.discovery``, and what was found is an :class:`Availability`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from farm.devices.toml_files import parse_toml, read_toml_files
from farm.errors import DeviceError
from farm.text import did_you_mean
from farm.units import Seconds

_STRICT = ConfigDict(extra="forbid", defer_build=True)  # built where something is parsed
_MOST_MEMORY = 1 << 60  # bytes; systems count limits in 63 bits, and some are multiples of it
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class DeviceKind(StrEnum):
    """What sort of processor a profile describes."""

    CPU = "cpu"
    GPU = "gpu"
    DSP = "dsp"


@dataclass(frozen=True, slots=True)
class PowerFigures:
    """Constants of the energy model E = static_watts t + Σ macs e_mac + Σ bytes e_byte.

    joules_per_mac: by arithmetic type (``float32``, ``bfloat16``, ``float16``, ``int8``).
    joules_per_byte: of traffic between memory and the cores.
    source: where the figures come from.
    joules_per_packet, joules_per_vector_instruction: of a processor whose packets are counted. Its
    model is E = static_watts t + packets e_packet + vector_instructions e_vector_instruction.
    """

    __pydantic_config__ = _STRICT
    static_watts: float
    joules_per_byte: float
    joules_per_mac: dict[str, float]
    source: str
    joules_per_packet: float = 0.0
    joules_per_vector_instruction: float = 0.0


@dataclass(frozen=True, slots=True)
class PackageFigures:
    """What a device that runs compiled packages is, and what it has room for.

    target: what packages are compiled for, a name of ``farm.codegen.build.compilers.Target``; or
    ``host``, the best instruction set of the machine that is tuned on.
    source: where the figures come from.
    clock_hz: of one hardware thread, which runs the package; 0 on the host.
    cycles_per_packet: at least 1, which means without stalls.
    arena_bytes, weight_bytes, code_bytes: limits; 0 means none.
    """

    __pydantic_config__ = _STRICT
    target: Literal["host", "hexagon-v67", "hexagon-v67-hvx"]
    source: str
    clock_hz: Annotated[float, Field(ge=0)] = 0.0
    cycles_per_packet: Annotated[float, Field(ge=1)] = 1.0
    arena_bytes: Annotated[int, Field(ge=0)] = 0
    weight_bytes: Annotated[int, Field(ge=0)] = 0
    code_bytes: Annotated[int, Field(ge=0)] = 0

    def seconds(self, packets: int) -> Seconds:
        """How long so many packets take, modelled from the clock.

        Raises DeviceError when the profile gives no clock.
        """
        if not self.clock_hz:
            raise DeviceError(
                "The device profile gives no clock_hz in [package], so packets cannot be "
                "converted to seconds; add it."
            )
        return Seconds(packets * self.cycles_per_packet / self.clock_hz)


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What it takes to call a device and to hand tensors over, where that cannot be measured.

    call_seconds: of every call, wake-ups included. tensor_seconds: of every tensor of a call,
    however small. bytes_per_second: of tensors, either way.
    source: where the figures come from.
    """

    __pydantic_config__ = _STRICT
    call_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    tensor_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    bytes_per_second: Annotated[float, Field(gt=0)]
    source: str


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """One device as its TOML file describes it.

    engines: kinds of engine that may run here, the default one (the baseline's) first.
    interpreter: Python of the child processes; empty means the farm's own.
    memory_bytes: memory a trial may use; 0 means what the machine has.
    package: of a device that runs compiled packages.
    processors: logical ones of this machine, on which child processes run; empty means all.
    gpu: its number, from 0, for engines that run on one: as NVIDIA's driver counts, OpenVINO those
    of Intel, and of those by Vulkan discrete ones first, in the order of their addresses.
    variables: of the environment of child processes, beside those that the farm has itself.
    is_software: the device is a program on this machine's processor, which pretends to be another.
    ray_resources: what a worker for this device asks Ray for, besides ``device:NAME``.
    links: from and to what calls the device, where that cannot be measured, by the name of the
    other end: a device, or ``caller`` for all that have no link of their own.
    """

    __pydantic_config__ = _STRICT
    name: str
    kind: DeviceKind
    description: str
    engines: tuple[str, ...]
    interpreter: str = ""
    memory_bytes: Annotated[int, Field(ge=0, le=_MOST_MEMORY)] = 0
    power: PowerFigures | None = None
    package: PackageFigures | None = None
    processors: tuple[Annotated[int, Field(ge=0)], ...] = ()
    gpu: Annotated[int, Field(ge=0)] = 0
    variables: dict[Annotated[str, Field(pattern=_VARIABLE)], str] = field(default_factory=dict)
    is_software: bool = False
    ray_resources: dict[str, float] = field(default_factory=dict)
    links: dict[str, LinkFigures] = field(default_factory=dict)

    @property
    def is_fake(self) -> bool:
        """Whether this device pretends: its numbers are for tests of the farm only."""
        return self.engines == ("fake",)

    @property
    def caveat(self) -> str:
        """A sentence to be said beside what was measured here; empty where there is none."""
        if not self.is_software:
            return ""
        return (
            f"{self.name} is no {str(self.kind).upper()}, but a program on this machine's "
            f"processor: what it takes says nothing of a {str(self.kind).upper()}."
        )


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a profile's device can be used, and if not, why and what would change it.

    cores: of the machine that has it; 0 where that is this one. found: what the device is, where
    its profile cannot say that. counts_energy: whether a counter tells of its energy.
    """

    available: bool
    reason: str = ""
    remedy: str = ""
    cores: int = 0
    found: str = ""
    counts_energy: bool = False


_ADAPTER: TypeAdapter[DeviceProfile] = TypeAdapter(DeviceProfile)


def parse_profile(text: str, source: str) -> DeviceProfile:
    """Read a profile from TOML text; ``source`` names the text in messages.

    Raises DeviceError: not TOML, a missing or unknown key, a wrong value.
    """
    return parse_toml(_ADAPTER, text, f"Device profile {source}")


def load_profiles(folder: Path | None = None) -> dict[str, DeviceProfile]:
    """The profiles that come with the farm, then those in ``folder``, which win by name.

    Raises DeviceError for a profile that cannot be read.
    """
    texts = read_toml_files("profiles", folder, "Device profile")
    parsed = (parse_toml(_ADAPTER, text, what) for what, text in texts)
    return {profile.name: profile for profile in parsed}


def check_engine(profile: DeviceProfile, kind: str, who: str = "the candidate") -> None:
    """Raise DeviceError where a device does not have a kind of engine. who: asks for it."""
    if kind not in profile.engines:
        raise DeviceError(
            f"Device {profile.name} has no engine '{kind}', which {who} asks for; "
            f"it has {', '.join(profile.engines)}."
        )


def select_profiles(
    names: Iterable[str], profiles: dict[str, DeviceProfile]
) -> tuple[DeviceProfile, ...]:
    """The profiles of these names, in order, each once.

    Raises DeviceError for an unknown name, offering the nearest ones.
    """
    wanted = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not wanted:
        raise DeviceError("No device was named. Give at least one, for example --devices cpu.")
    for name in wanted:
        if name not in profiles:
            known = sorted(n for n, p in profiles.items() if not p.is_fake)
            raise DeviceError(
                f"Unknown device '{name}'. {did_you_mean(name, known)}Known devices: "
                f"{', '.join(known)}. `farm devices` shows what each one is."
            )
    return tuple(profiles[name] for name in wanted)
