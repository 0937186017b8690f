"""Which environments are installed on this machine, and which Python runs which engine.

Each is a folder of its name below the farm's data folder. It is written beside its place and
renamed when it is complete, so that a folder with its record is whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farm.devices.environment import Environment, environment_from_json
from farm.errors import OptionError
from farm.host.folders import data_folder, folder_size
from farm.host.locks import Lock
from farm.units import Bytes

DRAFT = ".draft-"
_RECORD = "farm-environment.json"


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment that is installed.

    place: its folder. versions: of Python, and of every package in it.
    """

    environment: Environment
    place: Path
    versions: Mapping[str, str]

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return python_of(self.place)

    @property
    def size(self) -> Bytes:
        """What it takes on disk."""
        return folder_size(self.place)

    @property
    def named_versions(self) -> dict[str, str]:
        """The versions, and under ``environment`` its own name and hash."""
        name = f"{self.environment.name} {self.environment.digest}"
        return {"environment": name, **self.versions}

    @property
    def broken(self) -> str:
        """Why nothing can run in it; empty if something can."""
        if self.interpreter.exists():
            return ""
        return f"the Python that environment {self.environment.name} was made with is gone"


@dataclass(frozen=True, slots=True)
class State:
    """An environment that is known, installed, or both. size: of what is installed."""

    environment: Environment
    installed: Installed | None
    size: Bytes

    @property
    def status(self) -> str:
        """A word or two for tables."""
        if self.installed is not None:
            return "broken" if self.installed.broken else "installed"
        return "unsuited" if self.environment.unsuited else "not installed"


def environments_folder() -> Path:
    """Where environments lie. Raises OptionError: the home folder is unknown."""
    return data_folder() / "environments"


def python_of(place: Path) -> Path:
    """The interpreter of the virtual environment in a folder."""
    return place / "bin" / "python"


def write_record(folder: Path, environment: Environment, versions: Mapping[str, str]) -> None:
    """Say that what lies in a folder is a whole environment. Raises OSError."""
    record = {"environment": json.loads(environment.to_json()), "versions": dict(versions)}
    text = json.dumps(record, indent=2, sort_keys=True) + "\n"
    (folder / _RECORD).write_text(text, encoding="utf-8")


def installed_environments() -> dict[str, Installed]:
    """The environments that are installed here, by name."""
    found = {}
    with suppress(OSError, OptionError):
        for place in sorted(environments_folder().iterdir()):
            if place.name.startswith(DRAFT):
                continue
            with suppress(OSError, ValueError, KeyError, TypeError):
                record = json.loads((place / _RECORD).read_text(encoding="utf-8"))
                environment = environment_from_json(json.dumps(record["environment"]))
                found[environment.name] = Installed(environment, place, record["versions"])
    return found


def states(known: Mapping[str, Environment]) -> tuple[State, ...]:
    """The environments that are known or installed, by name."""
    here = installed_environments()
    described = {**known, **{name: found.environment for name, found in here.items()}}
    return tuple(
        State(described[name], here.get(name), here[name].size if name in here else Bytes(0))
        for name in sorted(described)
    )


def environments_of(engines: Iterable[str]) -> dict[str, Installed]:
    """By engine, the installed environment that gives it; without those that none gives.

    What runs only by its name gives nothing here.
    """
    wanted = set(engines)
    return {
        engine: found
        for found in installed_environments().values()
        if not found.environment.by_name_only
        for engine in found.environment.engines
        if engine in wanted
    }


def kept(found: Installed) -> Lock | None:
    """A lock that keeps an environment from being removed; None where it just was."""
    lock = Lock.share(found.place)
    if lock is not None and not lock.is_on(found.place):
        lock.release()
        return None
    return lock
