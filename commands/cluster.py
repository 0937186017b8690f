"""Tuning on the machines of a head's cluster, for the commands that can."""

from __future__ import annotations

import shlex
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
    """A head, and what its machines offer. profiles, cores of the machine: by device."""

    head: Any
    profiles: dict[str, DeviceProfile]
    cores: dict[str, int]

    @classmethod
    def at(cls, address: str, token: Path | None) -> Cluster:
        """Look at a head. Raises OptionError, DeviceError."""
        from workers.cluster.head import look, parse_head
        from workers.cluster.offers import offers

        head = parse_head(address, token_file(token))
        made = {offer.profile.name: offer for offer in offers(look(head))}
        return cls(
            head,
            {name: offer.profile for name, offer in made.items()},
            {name: offer.cores for name, offer in made.items()},
        )

    def require(self, devices: Sequence[str]) -> None:
        """Raise DeviceError for a device that no machine offers."""
        for name in devices:
            if name not in self.profiles:
                raise DeviceError(
                    f"No machine offers device '{name}' to the head at {self.head.address}; "
                    f"offered: {', '.join(self.profiles) or 'none'}. "
                    "See `farm worker join --help`."
                )

    def options(self, token: Path | None) -> str:
        """What has to be given to go on with a run of these machines, with a space before it."""
        given = "" if token is None else f" --token-file {shlex.quote(str(token))}"
        return f" --address {self.head.address}{given}"

    def availability(self, profile: DeviceProfile) -> Availability:
        """What is offered is there: its own machine has looked."""
        return Availability(available=True, cores=self.cores[profile.name])

    def executor(
        self, profiles: Sequence[DeviceProfile], say: Callable[[str], None]
    ) -> AbstractContextManager[Any]:
        """Workers on the machines of these devices. say: takes what happens to them."""
        from workers.cluster.joined import JoinedCluster
        from workers.cluster.pool import RayExecutor

        names = [profile.name for profile in profiles]
        return RayExecutor(profiles, None, JoinedCluster(self.head, names, say))
