"""Tuning on the machines of a head's cluster, for the commands that can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.options import token_file
from farm.device import Availability, DeviceProfile
from farm.errors import DeviceError


@dataclass(frozen=True, slots=True)
class Cluster:
    """A head, and what its machines offer."""

    head: Any
    profiles: dict[str, DeviceProfile]

    @classmethod
    def at(cls, address: str, token: Path | None, wanted: Sequence[str]) -> Cluster:
        """Look at a head. Raises OptionError, DeviceError, also for a device that is missing."""
        from workers.cluster.head import look, parse_head
        from workers.cluster.offers import offers

        head = parse_head(address, token_file(token))
        profiles = {made.profile.name: made.profile for made in offers(look(head))}
        for name in wanted:
            if name not in profiles:
                raise DeviceError(
                    f"No machine offers device '{name}' to the head at {head.address}; offered: "
                    f"{', '.join(profiles) or 'none'}. See `farm worker join --help`."
                )
        return cls(head, profiles)

    def availability(self, profile: DeviceProfile) -> Availability:
        """What is offered is there: its own machine has looked."""
        del profile
        return Availability(available=True)

    def executor(
        self, profiles: Sequence[DeviceProfile], say: Callable[[str], None]
    ) -> AbstractContextManager[Any]:
        """Workers on the machines of these devices. say: takes what happens to them."""
        from workers.cluster.joined import JoinedCluster
        from workers.cluster.pool import RayExecutor

        names = [profile.name for profile in profiles]
        return RayExecutor(profiles, None, JoinedCluster(self.head, names, say))
