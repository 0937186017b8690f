"""What machine this is, and which software measures on it: part of every trial's record."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from farm.host.limits import memory_limit, processors
from farm.units import Bytes, counted, format_bytes

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
PACKAGES = (
    "farm",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-ep-openvino",
    "onnxruntime-webgpu",
    "onnxruntime-qnn",
    "openvino",
    "onnx",
    "numpy",
    "ray",
    "scipy",
    "optuna",
)
# Instruction sets that decide which kernels an engine picks.
_RELEVANT_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A machine.

    id: hash of everything but the host's name. cores, memory_bytes: what a process may use, less
    than the machine has where affinity or a control group says so. isa: instruction sets that
    engines choose by. caches: text such as ``L1d 48 KiB, L2 2 MiB``. governor: of the processor's
    clock, if known.
    """

    id: str
    hostname: str
    cpu: str
    cores: int
    memory_bytes: Bytes
    isa: tuple[str, ...]
    caches: str
    system: str
    governor: str

    def describe(self) -> str:
        """One line for people."""
        gib = self.memory_bytes / (1 << 30)
        memory = f"{gib:.0f} GiB" if gib > 10 else format_bytes(self.memory_bytes)
        return f"{self.cpu}, {counted(self.cores, 'core')}, {memory}, {self.system}"


@cache
def fingerprint() -> Fingerprint:
    """This machine: what a process may use of it, which in a container is less than there is."""
    memory = Bytes(int(psutil.virtual_memory().total))
    facts: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": processors(),
        "memory_bytes": min(memory, memory_limit() or memory),
        "isa": _isa(),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "governor": _governor(),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    return Fingerprint(id=digest, hostname=socket.gethostname(), **facts)


@cache
def software_versions() -> dict[str, str]:
    """Versions of Python and of the packages that take part in a measurement."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _cpu_name() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _isa() -> tuple[str, ...]:
    if not _CPUINFO.exists():
        return ()
    for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            present = set(line.split(":", 1)[1].split())
            return tuple(flag for flag in _RELEVANT_FLAGS if flag in present)
    return ()


def _caches() -> str:
    found = []
    for index in sorted(_CACHES.glob("index*")):
        kind = (index / "type").read_text().strip()
        level = (index / "level").read_text().strip()
        suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
        found.append(f"L{level}{suffix} {(index / 'size').read_text().strip()}")
    return ", ".join(found)


def _governor() -> str:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else ""
