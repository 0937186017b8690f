"""Environments of packages that somebody names, for what runs in them by name alone.

pip chooses the versions of all packages once, and they are pinned with their hashes from then on.
What the engines need besides comes along in the versions of today, so that nothing differs but
what was named; only where pip cannot have them together, it chooses.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from farm.devices.environment import Environment
from farm.errors import DeviceError
from farm.host.temporary import temporary_folder
from workers.environments.install import ALWAYS, install, remove
from workers.environments.installed import Installed, environments_of, installed_environments
from workers.environments.pip import Ran, Say, check_pip, run_pip

NEEDS: Mapping[str, tuple[str, ...]] = {
    "onnxruntime-cpu": ("onnxruntime",),
    "openvino": ("onnxruntime", "onnxruntime-ep-openvino"),
    "openvino-runtime": ("openvino",),
    "openvino-gpu": ("openvino",),
    "onnxruntime-cuda": ("onnxruntime-gpu",),
    "onnxruntime-tensorrt": ("onnxruntime-gpu",),
    "onnxruntime-webgpu": ("onnxruntime-webgpu",),
    "onnxruntime-qnn": ("onnxruntime", "onnxruntime-qnn"),
}
"""By kind of engine, the packages that it runs by, the first of which decides how fast it is."""

# Packages whose modules have other names.
_MODULES = {
    "onnxruntime-gpu": "onnxruntime",
    "onnxruntime-webgpu": "onnxruntime",
    "nvidia-ml-py": "pynvml",
}
# What comes along of NVIDIA's: its libraries, and what asks the driver.
_NVIDIA = ("onnxruntime-gpu[cuda,cudnn]", "nvidia-ml-py")
_WITH = {"onnxruntime-cuda": _NVIDIA, "onnxruntime-tensorrt": _NVIDIA}
_LIBRARY = re.compile("(nvidia|tensorrt)-")
# Packages that give the module of another one; the two exclude each other.
_STANDS_FOR = {"onnxruntime": re.compile(r"onnxruntime-(?!ep-|qnn)|ort-nightly")}
_NAME = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:$|[\[<>=!~;@\s])")
_PREFIX = re.compile(r"[^a-z0-9._-]+")
_LONGEST_PREFIX = 46  # of a name of 60 letters, with a hash behind it
_OPTIONS = (
    *("--dry-run", "--ignore-installed", "--only-binary=:all:"),
    *("--no-input", "--progress-bar=off"),
)


def resolve(name: str, engines: Sequence[str], packages: Sequence[str], say: Say) -> Environment:
    """The environment of some packages; of one that is installed, as it was resolved then.

    name: what its name begins with (``suite-shop-floor-next``); a hash of the packages follows.
    engines: kinds that are to run in it; none: those whose packages are named. packages:
    requirements as pip takes them (``onnxruntime==1.32.0``). say: told what is done, line by line.

    Raises DeviceError: something is no requirement, pip is not there, or finds no such packages.
    """
    named = {_name_of(package) for package in packages}
    engines = tuple(engines) or engines_of(packages)
    whole = _whole_name(name, engines, packages)
    found = installed_environments().get(whole)
    if found is not None:
        return found.environment
    say(f"Resolving {', '.join(packages)}")
    needs = tuple(dict.fromkeys(p for engine in engines for p in NEEDS.get(engine, ())))
    along = tuple(dict.fromkeys(p for engine in engines for p in _WITH.get(engine, ())))
    added = [p for p in (*needs, *along, *ALWAYS) if not _is_given(p, named)]
    return Environment(
        name=whole,
        description=", ".join(packages),
        engines=engines,
        modules=tuple(dict.fromkeys(map(_module, (*needs, *map(_name_of, along))))),
        requirements="\n".join(_resolved([*packages, *added], _today(engines, named), say)),
        systems=(sys.platform,),
        processors=(platform.machine(),),
        by_name_only=True,
    )


def engines_of(packages: Iterable[str]) -> tuple[str, ...]:
    """The kinds of engine that some packages change: those whose own packages are among them.

    Raises DeviceError: something is no requirement, or no engine runs by any of them.
    """
    named = {_name_of(package) for package in packages}
    for enough in (all, any):
        found = tuple(
            engine
            for engine, needs in NEEDS.items()
            if enough(_is_given(need, named) for need in needs)
        )
        if found:
            return found
    known = dict.fromkeys(package for needs in NEEDS.values() for package in needs)
    raise DeviceError(
        f"No engine runs by {', '.join(sorted(named))}; name one of {', '.join(known)}."
    )


def ensure(environment: Environment, say: Say) -> Installed:
    """The environment, installed: where it is not yet, or where its Python is gone.

    Raises DeviceError, as ``install`` does.
    """
    found = installed_environments().get(environment.name)
    if found is not None and found.broken:
        remove(environment.name)
    return install(environment, say)


def environment_of_versions(engine: str, versions: Mapping[str, str], say: Say) -> Environment:
    """The environment of what a trial of an engine ran with; Python itself is that of today.

    versions: of the trial's software, as the store has them.

    Raises DeviceError, as ``resolve`` does.
    """
    packages = packages_of(engine, versions)
    if not packages:
        raise DeviceError(
            f"What {engine} ran with is not known: the software of that trial names no package "
            "of it."
        )
    return resolve(packages[0].replace("==", "-"), (engine,), packages, say)


def packages_of(engine: str, versions: Mapping[str, str]) -> tuple[str, ...]:
    """What a trial of an engine ran with, as requirements of pip, the engine's own first.

    versions: of the trial's software; see ``Interpreters.versions``.
    """
    needed = (*NEEDS.get(engine, ()), *ALWAYS)
    inside = _with_prefix(f"{engine}: ", versions)
    if inside:  # an environment, all of it
        others = sorted(inside.keys() - {"python", "environment", *needed})
        names = [*(name for name in needed if name in inside), *others]
        return tuple(f"{name}=={inside[name]}" for name in names)
    known = _with_prefix("interpreter: ", versions) or versions
    libraries = sorted(filter(_LIBRARY.match, known)) if engine in _WITH else ()
    wanted = dict.fromkeys((*needed, *libraries))
    return tuple(f"{name}=={known[name]}" for name in wanted if name in known)


def _with_prefix(prefix: str, versions: Mapping[str, str]) -> dict[str, str]:
    return {
        _normal(name.removeprefix(prefix)): version
        for name, version in versions.items()
        if name.startswith(prefix)
    }


def _resolved(requirements: Sequence[str], today: Mapping[str, str], say: Say) -> Iterator[str]:
    """Lines of a requirements file, pinned with hashes. Raises DeviceError."""
    check_pip()
    with temporary_folder("resolve") as folder:
        constraints, report = folder / "constraints.txt", folder / "report.json"
        lines = (f"{name}=={version}\n" for name, version in sorted(today.items()))
        constraints.write_text("".join(lines), encoding="utf-8")
        asked = ["install", *_OPTIONS, "--report", str(report)]
        ran = run_pip([*asked, "-c", str(constraints), *requirements], folder, say)
        if ran.failed:
            say("Not with the versions of today: resolving again without them")
            ran = run_pip([*asked, *requirements], folder, say)
        if ran.failed:
            raise _not_resolved(requirements, ran, folder)
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    return map(_line, chosen)


def _not_resolved(requirements: Sequence[str], ran: Ran, folder: Path) -> DeviceError:
    what = ", ".join(requirements)
    if ran.disk_is_full:
        return DeviceError(f"No environment of {what} can be made: the disk of {folder} is full.")
    return DeviceError(f"No environment of {what} can be made. {ran.sentence}")


def _line(chosen: Mapping[str, Any]) -> str:
    """The line of one package that pip chose. Raises DeviceError."""
    name, version = chosen["metadata"]["name"], chosen["metadata"]["version"]
    place = chosen["download_info"]
    digest = digest_of(place)
    if not digest:
        raise DeviceError(
            f"The index gives no SHA-256 of {name} {version}, and without one it cannot be pinned."
        )
    wanted = f"{name} @ {place['url']}" if chosen.get("is_direct") else f"{name}=={version}"
    return f"{wanted} --hash=sha256:{digest}"


def digest_of(place: Mapping[str, Any]) -> str:
    """The SHA-256 of what pip chose; "" where nothing tells it.

    Before version 23.1 pip writes one hash as ``sha256=...``, and none of a file without one.
    """
    told = place.get("archive_info", {})
    if digest := told.get("hashes", {}).get("sha256"):
        return str(digest)
    algorithm, _, digest = told.get("hash", "").partition("=")
    if algorithm == "sha256":
        return str(digest)
    address = urlsplit(place["url"])
    file = Path(unquote(address.path))
    if address.scheme != "file" or not file.is_file():
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _today(engines: Iterable[str], named: set[str]) -> dict[str, str]:
    """Versions of all that the engines run with now, without what is named."""
    here = {d.name: d.version for d in importlib.metadata.distributions() if d.name}
    for found in environments_of(engines).values():
        here |= found.versions
    normal = {_normal(name): version for name, version in here.items()}
    return {
        name: version
        for name, version in normal.items()
        if not _is_given(name, named | {"python"})
    }


def _module(package: str) -> str:
    """What is imported of a package."""
    return _MODULES.get(package, package.replace("-", "_"))


def _is_given(package: str, named: Iterable[str]) -> bool:
    """Whether a package is among those that are named, or one that stands for it is."""
    other = _STANDS_FOR.get(package)
    return any(name == package or (other is not None and other.match(name)) for name in named)


def _name_of(requirement: str) -> str:
    """The package that a requirement is of. Raises DeviceError."""
    found = _NAME.match(requirement)
    if found is None:
        raise DeviceError(
            f"'{requirement}' is no package as pip names it; write for example "
            "onnxruntime==1.32.0."
        )
    return _normal(found[1])


def _normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _whole_name(name: str, engines: Sequence[str], packages: Sequence[str]) -> str:
    """A name that is the same while the text of the packages is."""
    content = json.dumps([sorted(engines), [" ".join(package.split()) for package in packages]])
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    prefix = _PREFIX.sub("-", name.lower()).lstrip("._-")[:_LONGEST_PREFIX].rstrip("._-")
    return f"{prefix or 'suite'}-{digest}"
