"""Tuning on the machines of a head's cluster, for the commands that can."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.shared.options.common import token_file
from farm.errors import DeviceError

if TYPE_CHECKING:
    from farm.devices.profile import Availability, DeviceProfile


@dataclass(frozen=True, slots=True)
class Cluster:
    """A head, and what its machines offer.

    profiles, cores of the machine, users of what is being used: by device. counting: devices
    whose energy a counter tells.
    """

    head: Any
    profiles: dict[str, DeviceProfile]
    cores: dict[str, int]
    users: dict[str, str]
    counting: frozenset[str] = frozenset()

    @classmethod
    def at(cls, address: str, token: Path | None) -> Cluster:
        """Look at a head. Raises OptionError, DeviceError."""
        from workers.cluster.head import look, parse_head
        from workers.cluster.offers import offers, user_of

        head = parse_head(address, token_file(token))
        board = look(head)
        made = {offer.profile.name: offer for offer in offers(board)}
        used = {name: user_of(board, name) for name in made}
        return cls(
            head,
            {name: offer.profile for name, offer in made.items()},
            {name: offer.cores for name, offer in made.items()},
            {name: str(user) for name, user in used.items() if user is not None},
            frozenset(name for name, offer in made.items() if offer.counts_energy),
        )

    def require(self, devices: Sequence[str]) -> None:
        """Raise DeviceError for a device that no machine offers, or that somebody uses."""
        for name in devices:
            if name not in self.profiles:
                raise DeviceError(
                    f"No machine offers device '{name}' to the head at {self.head.address}; "
                    f"offered: {', '.join(self.profiles) or 'none'}. "
                    "See `farm worker join --help`."
                )
            if name in self.users:
                raise DeviceError(
                    f"Device {name} is being used by {self.users[name]}; try again when it is "
                    "free."
                )

    def options(self, token: Path | None) -> str:
        """What has to be given to go on with a run of these machines, with a space before it."""
        given = "" if token is None else f" --token-file {shlex.quote(str(token))}"
        return f" --address {self.head.address}{given}"

    def availability(self, profile: DeviceProfile) -> Availability:
        """What is offered is there: its own machine has looked."""
        from farm.devices.profile import Availability

        return Availability(
            available=True,
            cores=self.cores[profile.name],
            counts_energy=profile.name in self.counting,
        )

    def executor(
        self, profiles: Sequence[DeviceProfile], say: Callable[[str], None]
    ) -> AbstractContextManager[Any]:
        """Workers on the machines of these devices. say: takes what happens to them."""
        from workers.cluster.joined import JoinedCluster
        from workers.cluster.pool import RayExecutor

        names = [profile.name for profile in profiles]
        return RayExecutor(profiles, None, JoinedCluster(self.head, names, say))
