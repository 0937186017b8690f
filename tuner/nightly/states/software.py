"""The software of another night: an installed environment that has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tuner.nightly.states.good import ENVIRONMENT
from workers.environments.installed import installed_environments
from workers.environments.resolve import ensure, environment_of_versions


def environment_gives(name: str, engine: str) -> bool:
    """Whether an installed environment is one that an engine can run in."""
    found = installed_environments().get(name)
    return found is not None and engine in found.environment.engines


def environment_with(engine: str, versions: Mapping[str, str], say: Callable[[str], None]) -> str:
    """The name of an installed environment in which an engine has these versions.

    The environment that it ran in then, if that is installed still; else one that is made of the
    versions. say: told what is being done, line by line.

    Raises DeviceError: it cannot be installed.
    """
    name, _, digest = versions.get(ENVIRONMENT, "").partition(" ")
    found = installed_environments().get(name)
    if found is not None and found.environment.digest == digest and not found.broken:
        return name
    packages = {package: v for package, v in versions.items() if package != ENVIRONMENT}
    return ensure(environment_of_versions(engine, packages, say), say).environment.name
