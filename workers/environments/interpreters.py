"""Which Python runs the artifacts of one device."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress

from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError
from farm.host.locks import Lock
from workers.environments.installed import (
    Installed,
    environments_of,
    installed_environments,
    kept,
)
from workers.fingerprint import PACKAGES

_ASK_SECONDS = 30.0
_VERSIONS = """
import importlib.metadata, json, platform, sys
found = {"python": platform.python_version()}
for package in sys.argv[1:]:
    try:
        found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class Interpreters:
    """The Python of each engine of a device, as it was when this was made.

    The profile's own, if it names one; else that of the installed environment that gives the
    engine; else the farm's own. Nobody can remove an environment before this is closed.
    """

    def __init__(self, profile: DeviceProfile) -> None:
        self._of_profile = profile.interpreter
        self._environments: dict[str, Installed] = {}
        self._pinned: dict[str, Installed] = {}
        self._locks: list[Lock] = []
        if not self._of_profile:
            for engine, found in environments_of(profile.engines).items():
                if self._keeps(found):
                    self._environments[engine] = found

    def of(self, engine: str) -> str:
        """The interpreter of an engine's child processes; empty for the farm's own."""
        found = self._environments.get(engine)
        return self._of_profile if found is None else str(found.interpreter)

    def named(self, name: str) -> Installed:
        """The installed environment of this name, which stays until this is closed.

        Raises DeviceError: it is not installed, or broken.
        """
        if name not in self._pinned:
            here = installed_environments()
            if name not in here or not self._keeps(here[name]):
                names = ", ".join(sorted(here)) or "none"
                raise DeviceError(
                    f"Environment {name} is not installed. Installed environments: {names}."
                )
            self._pinned[name] = here[name]
        found = self._pinned[name]
        if found.broken:
            raise DeviceError(
                f"Environment {name} cannot be used: {found.broken}; `farm devices remove {name}` "
                "first, then have it made again."
            )
        return found

    def versions(self) -> dict[str, str]:
        """Versions in interpreters that are not the farm's own.

        By ``ENGINE: PACKAGE`` in an environment, whose name and hash are ``ENGINE: environment``;
        by ``interpreter: PACKAGE`` in the profile's own.
        """
        if self._of_profile:
            return {f"interpreter: {p}": v for p, v in _versions_in(self._of_profile).items()}
        return {
            f"{engine}: {package}": version
            for engine, found in sorted(self._environments.items())
            for package, version in found.named_versions.items()
        }

    def close(self) -> None:
        """Let the environments be removed; again does nothing."""
        for lock in self._locks:
            lock.release()
        self._locks.clear()
        self._pinned.clear()

    def _keeps(self, found: Installed) -> bool:
        """Keep an environment from being removed; False where it just was."""
        lock = kept(found)
        if lock is not None:
            self._locks.append(lock)
        return lock is not None


def _versions_in(interpreter: str) -> dict[str, str]:
    """Of the packages that take part in a measurement; nothing where it does not answer."""
    command = [interpreter, "-I", "-c", _VERSIONS, *PACKAGES]
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(command, capture_output=True, timeout=_ASK_SECONDS, check=True)
        found: dict[str, str] = json.loads(done.stdout)
        return found
    return {}
