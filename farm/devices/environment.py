"""Environments: TOML files that say which packages an engine needs, in versions that are fixed.

An environment becomes a virtual environment of its own, because packages of engines exclude each
other: some claim one import name, others one version of a third. Where and whether it is
installed is found out by ``workers.environments``.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from farm.candidate import engine_kinds
from farm.devices.toml_files import parse_toml, read_toml_files
from farm.errors import DeviceError
from farm.text import did_you_mean

_FOLDER = "environments"  # of the farm, and within a folder of the user's profiles
_PINNED = re.compile(r"[\w.-]+(\[[^]]*\])?\s*(===?\s*[^\s*,;]+|@\s*\S+)(\s*;.*)?")
_VERSION = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*===?\s*([^\s*,;]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment as its TOML file describes it.

    name: also of its folder. description: one line.
    engines: kinds of engine that run in it, wherever a device profile names them.
    modules: Python modules that must be importable in it, or it does not count as installed.
    requirements: lines as in a requirements file of pip, each with the hashes of its files; from
        where packages come is left to pip's configuration.
    systems: names of ``sys.platform``; processors: of ``platform.machine()``. None: any.
    by_name_only: its engines run in it where a trial asks for it by name, and nowhere else.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", defer_build=True)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$")]
    description: str
    engines: Annotated[tuple[str, ...], Field(min_length=1)]
    modules: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")], ...]
    requirements: Annotated[str, Field(min_length=1)]
    systems: tuple[str, ...] = ()
    processors: tuple[str, ...] = ()
    by_name_only: bool = False

    @property
    def unsuited(self) -> str:
        """Why it cannot be installed on this machine; empty if it can."""
        for what, offered, here in (
            ("system", self.systems, sys.platform),
            ("processor", self.processors, platform.machine()),
        ):
            if offered and here not in offered:
                return f"it is for the {what} {' or '.join(offered)}, and this is {here}"
        return ""

    @property
    def pinned(self) -> dict[str, str]:
        """Versions of its packages by name; the last one where they differ by Python's version."""
        named = map(_VERSION.match, _lines(self.requirements))
        return {each[1]: each[2] for each in named if each}

    @property
    def digest(self) -> str:
        """Hash of what is installed by it, and for which engines, whatever it is called."""
        content: dict[str, object] = {
            "engines": self.engines,
            "modules": self.modules,
            "requirements": list(_lines(self.requirements)),
        }
        if self.by_name_only:
            content["by_name_only"] = True
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Its description, to be read again by :func:`environment_from_json`."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)


_ADAPTER: TypeAdapter[Environment] = TypeAdapter(Environment)


def environment_from_json(text: str | bytes) -> Environment:
    """What :meth:`Environment.to_json` wrote. Raises ValueError."""
    return _ADAPTER.validate_json(text)


def load_environments(profiles: Path | None = None) -> dict[str, Environment]:
    """The environments that come with the farm, then those beside a user's profiles, by name.

    profiles: the folder of the profiles; its folder ``environments`` has the environments, which
    win over others of the same name.

    Raises DeviceError for one that cannot be read, whose packages are not all pinned, or that
    names an engine that is not known.
    """
    folder = None if profiles is None else profiles / _FOLDER
    texts = read_toml_files(_FOLDER, folder, "Environment")
    parsed = (parse_environment(text, what) for what, text in texts)
    return {environment.name: environment for environment in parsed}


def parse_environment(text: str, what: str) -> Environment:
    """Read an environment from TOML text; ``what`` names the text in messages.

    Raises DeviceError, as :func:`load_environments` does.
    """
    environment = parse_toml(_ADAPTER, text, what)
    known = engine_kinds()
    for engine in environment.engines:
        if engine not in known:
            raise DeviceError(
                f"{what}: at engines: '{engine}' is no kind of engine. "
                f"{did_you_mean(engine, known)}Kinds: {', '.join(known)}."
            )
    for line in _lines(environment.requirements):
        requirement, *options = re.split(r"\s+(?=--)", line)
        if requirement.startswith("-"):
            raise DeviceError(
                f"{what}: at requirements: '{line}' is an option of pip, and only packages can "
                "be named; pip's own configuration says where they come from."
            )
        hashed = bool(options) and all(map(_HASH.fullmatch, options))
        if not hashed or not _PINNED.fullmatch(requirement):
            raise DeviceError(
                f"{what}: at requirements: '{requirement}' is not pinned: expected "
                "NAME==VERSION --hash=sha256:..., as `uv pip compile --generate-hashes` writes it."
            )
    return environment


def select_environment(name: str, known: Mapping[str, Environment]) -> Environment:
    """The environment of this name. Raises DeviceError, offering the nearest ones."""
    if name in known:
        return known[name]
    names = ", ".join(sorted(known)) or "none"
    raise DeviceError(
        f"Unknown environment '{name}'. {did_you_mean(name, known)}Known environments: {names}. "
        "`farm devices` shows what each one gives."
    )


def _lines(requirements: str) -> Iterator[str]:
    """The lines of a requirements file, continued ones joined, without comments."""
    for line in re.sub(r"\\\n", " ", requirements).splitlines():
        if text := " ".join(re.sub(r"(^|\s)#.*", "", line).split()):
            yield text
