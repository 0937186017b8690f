"""How a night is begun by a program that knows nothing of this shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tuner.nightly.suites.schedule import Schedule
from tuner.nightly.suites.suite import Suite


@dataclass(frozen=True, slots=True)
class Invocation:
    """The words of a night's commands.

    farm: the command, its path being absolute. store, profiles: as options have them, with
    absolute paths; empty where the default is meant. variables: of the environment, that say
    where the farm's folders are.
    """

    suite: Suite
    schedule: Schedule
    farm: tuple[str, ...]
    store: str = ""
    profiles: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def run(self) -> tuple[str, ...]:
        """Measures a night."""
        profiles = ("--profiles", self.profiles) if self.profiles else ()
        return (*self.command("run"), *profiles, *self._store)

    @property
    def check(self) -> tuple[str, ...]:
        """Says what the last night says."""
        return (*self.command("check"), *self._store)

    @property
    def name(self) -> str:
        """Of what starts it: fit for a file's name."""
        return f"farm-nightly-{self.suite.name}"

    @property
    def folder(self) -> Path:
        """Of the suite."""
        return self.suite.path.parent

    def command(self, name: str) -> tuple[str, ...]:
        """A command of ``farm nightly`` on the suite, without options."""
        return (*self.farm, "nightly", name, str(self.suite.path))

    @property
    def _store(self) -> tuple[str, ...]:
        return ("--store", self.store) if self.store else ()
