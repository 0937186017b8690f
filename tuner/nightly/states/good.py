"""The last good state of a case: what each night is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from db.records import content_id
from farm.candidate import Candidate, PackageEngine, from_json, whole_engines
from farm.errors import StoreError

_CUDA = ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "nvidia-cublas", "nvidia-cublas-cu12")
_TENSORRT = ("tensorrt-cu13-libs", "tensorrt-cu12-libs")
# Drivers are no packages, and no environment brings them back.
_DRIVER, _INTEL, _VULKAN = "nvidia driver", "intel driver", "vulkan driver"
_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "onnxruntime-cpu": ("onnxruntime",),
    "onnxruntime-cuda": ("onnxruntime-gpu", *_CUDA, _DRIVER),
    "onnxruntime-tensorrt": ("onnxruntime-gpu", *_CUDA, *_TENSORRT, _DRIVER),
    "openvino": ("onnxruntime", "openvino", "onnxruntime-ep-openvino"),
    "openvino-runtime": ("openvino",),
    "openvino-gpu": ("openvino", _INTEL),
    "onnxruntime-webgpu": ("onnxruntime-webgpu", _VULKAN),
}
"""By kind of engine, what it is whose versions decide how fast it is: packages, a driver."""

ENVIRONMENT = "environment"
"""Among versions, the name and hash of the installed environment that an engine ran in."""


@dataclass(frozen=True, slots=True)
class GoodState:
    """A candidate as it was compiled and run on a night that was good.

    candidate: as canonical JSON. artifact: key of its kept files. versions: of the packages that
    decide how fast its engine is. run: in which it was measured.
    """

    candidate: str
    artifact: str
    versions: Mapping[str, str]
    run: str

    @property
    def key(self) -> str:
        """What tells it from other states, whenever it was measured."""
        versions = [f"{name}=={version}" for name, version in sorted(self.versions.items())]
        return content_id(self.candidate, self.artifact, *versions)

    def to_json(self) -> str:
        """The text that the store keeps with a series."""
        return _ADAPTER.dump_json(self).decode()

    def read_candidate(self) -> Candidate:
        """The candidate. Raises CandidateError: this version of the farm cannot read it."""
        return from_json(self.candidate, "the candidate of the last good state")


_ADAPTER: TypeAdapter[GoodState] = TypeAdapter(GoodState)


def read_good(text: str) -> GoodState | None:
    """The state that a series has; None where it has none. Raises StoreError."""
    if not text:
        return None
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError:
        raise StoreError(
            "What the store keeps of a series' last good state cannot be read by this version of "
            "the farm."
        ) from None


def engine_versions(candidate: Candidate, software: Mapping[str, str]) -> dict[str, str]:
    """The versions that decide how fast a candidate is, of all that a worker tells.

    Those of an environment (``ENGINE: PACKAGE``) go before the farm's own, and its name and hash
    are among them. A package is compiled already, and its artifact says all.
    """
    if isinstance(candidate.engine, PackageEngine):
        return {}
    found: dict[str, str] = {}
    for kind in (engine.kind for engine in whole_engines(candidate.engine)):
        for package in _PACKAGES.get(kind, ()):
            found[package] = software.get(f"{kind}: {package}") or software.get(package, "")
        found[ENVIRONMENT] = found.get(ENVIRONMENT) or software.get(f"{kind}: {ENVIRONMENT}", "")
    return {package: version for package, version in found.items() if version}


def changed_versions(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """``onnxruntime 1.31.1 -> 1.32.0`` for every package whose version is another one."""
    changed = [
        package
        for package in sorted(before.keys() | now.keys())
        if before.get(package) != now.get(package)
    ]
    # Where versions differ, in which environment that is says nothing more.
    told = [package for package in changed if package != ENVIRONMENT] or changed
    return tuple(
        f"{package} {before.get(package, 'none')} -> {now.get(package, 'none')}"
        for package in told
    )
