"""What the machines of a cluster offer, and who uses it: notes on the head's board.

A note is worth as much as the node that wrote it: those of nodes that the head does not take for
alive any more are as good as gone, so that nobody has to clean up after a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter

from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError
from workers.cluster.head import Board


@dataclass(frozen=True, slots=True)
class Offer:
    """A device that a machine offers.

    node: name of the Ray node. host, address, cores: of the machine. since: when it joined, in
    UTC. counts_energy: whether a counter tells of the device's energy.
    """

    profile: DeviceProfile
    node: str
    host: str
    address: str
    cores: int
    since: str
    counts_energy: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """Who uses a device. node: name of the driver's node. process: its id."""

    node: str
    host: str
    process: int
    since: str

    def __str__(self) -> str:
        return f"process {self.process} on host {self.host} since {self.since}"


_OFFER: TypeAdapter[Offer] = TypeAdapter(Offer)
_USE: TypeAdapter[Use] = TypeAdapter(Use)
_NOBODY = ""  # the text of a note of use that was given back


def now() -> str:
    """This moment in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def check_free(board: Board, device: str) -> None:
    """Raise DeviceError when a machine offers a device of this name."""
    for other in offers(board):
        if other.profile.name == device:
            raise DeviceError(
                f"Device {device} is offered already, by host {other.host} since {other.since}; "
                "give this one another name with --as."
            )


def offer(board: Board, made: Offer) -> None:
    """Offer a device. Raises DeviceError when another machine offers one of this name."""
    name = made.profile.name
    text = _OFFER.dump_json(made).decode()
    _add_note(board, f"offer:{name}", text, lambda _: check_free(board, name))


def offers(board: Board) -> list[Offer]:
    """What living nodes offer, by device name."""
    alive = board.living_nodes()
    devices = {key.rpartition(":")[0] for key in board.keys("offer:")}
    told = (board.get(f"{device}:{_last_note(board, device)}") for device in devices)
    made = [_OFFER.validate_json(text) for text in told if text]
    return sorted((o for o in made if o.node in alive), key=lambda o: o.profile.name)


def take(board: Board, device: str, user: Use) -> None:
    """Take a device for oneself. Raises DeviceError when somebody uses it."""

    def check(last: int) -> None:
        other = _user(board, device, last)
        if other is not None and other.node != user.node:
            raise DeviceError(
                f"Device {device} is being used by {other}; try again when it is free."
            )

    _add_note(board, f"use:{device}", _USE.dump_json(user).decode(), check)


def leave(board: Board, device: str, node: str) -> None:
    """Give back a device that a driver's node has taken. The last number is never used again."""
    last = _last_note(board, f"use:{device}")
    user = _user(board, device, last)
    if user is not None and user.node == node:
        board.put(f"use:{device}:{last}", _NOBODY)


def user_of(board: Board, device: str) -> Use | None:
    """Who uses a device; None for nobody."""
    return _user(board, device, _last_note(board, f"use:{device}"))


def _add_note(board: Board, key: str, text: str, check: Callable[[int], None]) -> None:
    """Write a note in place of the last one of its kind.

    check: raises where the last note, of this number, still holds.

    Notes are numbered. The board adds one only once, so that of several who find the last one
    void at the same moment, one gets the next number, and the others see it.
    """
    while True:
        last = _last_note(board, key)
        check(last)
        if board.put(f"{key}:{last + 1}", text, overwrite=False):
            return


def _last_note(board: Board, key: str) -> int:
    """Number of the last note; 0 where there is none."""
    numbers = (int(found.rpartition(":")[2]) for found in board.keys(f"{key}:"))
    return max(numbers, default=0)


def _user(board: Board, device: str, number: int) -> Use | None:
    text = board.get(f"use:{device}:{number}") if number else None
    found = _USE.validate_json(text) if text else None
    return found if found is not None and found.node in board.living_nodes() else None
