"""A machine that offers a device to a head, for as long as it is wanted.

Ray's nodes never come back by themselves: one that was cut off ends when it sees the head again,
and what it was running is lost by then. So the node is watched here, ended when the head is out
of reach for long, with whatever runs on it, and started anew when the head answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError, FarmError
from workers.cluster.head import Head, look, reaches
from workers.cluster.node import Node, member_node, new_name
from workers.cluster.offers import Offer, check_free, now, offer
from workers.discovery import device_availability
from workers.fingerprint import fingerprint
from workers.gpus.alone import self_contained
from workers.leftovers import clear_leftovers
from workers.meters.energy_window import energy_window

_LOOK_SECONDS = 1.0
# Longer than the head waits for a node (2 to 4 s): whoever is out of reach so long is out.
_PATIENCE_SECONDS = 10.0
Say = Callable[[str], None]


def join(head: Head, profile: DeviceProfile, name: str, say: Say) -> None:
    """Offer a device under a name until this is interrupted.

    say: takes a sentence whenever something changes.

    Raises OptionError, DeviceError, InfrastructureError: the head, the token, the versions, the
    device or Ray are not what they should be. After it has joined once it does not give up.
    """
    found = device_availability(profile)
    if not found.available:
        raise DeviceError(f"Device {profile.name}: {found.reason} (remedy: {found.remedy})")
    offered = replace(self_contained(profile), name=name)
    check_free(look(head), name)
    joined = False
    while True:
        try:
            node = _joined(head, offered)
        except FarmError as error:
            if not joined:
                raise
            say(f"Not joined again: {error}")
            time.sleep(_PATIENCE_SECONDS)
            continue
        try:
            say(f"Device {name} is offered to the head at {head.address}. Ctrl-C ends that.")
            joined = True
            why = _watch(node, head)
        finally:
            node.stop()
        say(f"{why}; joining again when the head at {head.address} answers ...")
        _wait_for(head)


def _joined(head: Head, profile: DeviceProfile) -> Node:
    clear_leftovers()  # of actors that Ray has ended; nothing else on this machine may ever do it
    board = look(head)
    node = member_node(
        head, new_name("worker"), lambda name: name in board.living_nodes(), [profile.name]
    )
    try:
        machine = fingerprint()
        here = (machine.hostname, reaches(head), machine.cores)
        counts_energy = energy_window(profile) is not None
        offer(board, Offer(profile, node.name, *here, now(), counts_energy))
    except BaseException:
        node.stop()
        raise
    return node


def _watch(node: Node, head: Head) -> str:
    """Return why the node cannot go on, when it cannot."""
    last = time.monotonic()
    while node.alive:
        time.sleep(_LOOK_SECONDS)
        try:
            reaches(head)
            last = time.monotonic()
        except OSError:
            if time.monotonic() - last > _PATIENCE_SECONDS:
                return "The head is out of reach"
    return "The head has given this machine up"


def _wait_for(head: Head) -> None:
    while True:
        try:
            reaches(head)
        except OSError:
            time.sleep(_LOOK_SECONDS)
        else:
            return
