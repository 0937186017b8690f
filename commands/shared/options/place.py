"""Where a run's devices are: on this machine, or on those of a head's cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from commands.shared.options.cluster import Cluster
from commands.shared.options.common import device_names, known_profiles
from farm.errors import DeviceError, OptionError
from farm.text import printable

if TYPE_CHECKING:
    from farm.devices.profile import Availability, DeviceProfile


@dataclass(frozen=True, slots=True)
class Place:
    """The devices that can be named, and how they are worked with.

    cluster: None for this machine. token: of a cluster, as it was given. local: without Ray.
    """

    cluster: Cluster | None
    profiles: Mapping[str, DeviceProfile]
    token: Path | None
    local: bool

    @classmethod
    def of(
        cls, address: str | None, token: Path | None, profiles: Path | None, *, local: bool
    ) -> Place:
        """What options name. Raises OptionError, DeviceError."""
        if address is None:
            return cls(None, known_profiles(profiles), token, local)
        if local or profiles is not None:
            raise OptionError(
                "--address takes devices of other machines: no --local, no --profiles."
            )
        cluster = Cluster.at(address, token)
        return cls(cluster, cluster.profiles, token, local)

    def availability(self, profile: DeviceProfile) -> Availability:
        """Whether a device is there."""
        from workers.discovery import device_availability

        found = self.cluster.availability if self.cluster else device_availability
        return found(profile)

    def devices(self, texts: list[str] | None) -> tuple[str, ...]:
        """What --devices names. Raises DeviceError when no machine of a cluster offers it."""
        names = device_names(texts, "cpu")
        if self.cluster is not None:
            self.cluster.require(names)
        return names

    def require(self, run: str, devices: Sequence[str]) -> None:
        """Raise DeviceError when a run is about a device that is not known where it goes on."""
        if self.cluster is not None:
            self.cluster.require(devices)
        elif missing := [name for name in devices if name not in self.profiles]:
            raise DeviceError(
                f"Run {run} is about device '{missing[0]}', which no profile here has: if "
                "another machine offers it, give --address; if it is from a file, give --profiles."
            )

    def to_resume(self, run: str) -> str:
        """What goes after ``--resume`` to go on with a run here."""
        return run if self.cluster is None else f"{run}{self.cluster.options(self.token)}"

    def executors(
        self, console: Console
    ) -> Callable[[Sequence[DeviceProfile]], AbstractContextManager[Any]]:
        """How executors are made; Ray is imported only where it is used."""
        from farm.host.folders import give_home
        from workers.trials.stored.cache import default_folder

        cache = default_folder()  # may be unknown, which is said before anything starts

        def say(sentence: str) -> None:
            console.print(escape(printable(sentence)), highlight=False, soft_wrap=True)

        def make(profiles: Sequence[DeviceProfile]) -> AbstractContextManager[Any]:
            if self.cluster is not None:
                return self.cluster.executor(profiles, say)
            if self.local:
                from workers.executor import LocalExecutor

                return LocalExecutor(profiles, cache, self.profiles)
            from workers.cluster.pool import RayExecutor

            give_home(cache.parent)
            return RayExecutor(profiles, cache, known=self.profiles)

        return make


def require_here(profiles: Sequence[DeviceProfile], cannot: str) -> None:
    """Raise DeviceError for a device that is not on this machine.

    cannot: what cannot be done without it, with ``{}`` for its name.
    """
    from workers.discovery import device_availability

    for profile in profiles:
        found = device_availability(profile)
        if not found.available:
            raise DeviceError(
                f"{cannot.format(profile.name)}: {found.reason} (remedy: {found.remedy})."
            )
