"""Notes on a head's board: who offers a device, and who uses it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from farm.devices.profile import load_profiles
from farm.errors import DeviceError
from workers.cluster.offers import Offer, Use, leave, offer, offers, take, user_of

PROFILE = load_profiles()["fake"]
ALIVE = {"driver-a", "driver-b"}


class Board:
    """What a head's board promises, in this process."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._lock = threading.Lock()
        self.alive = set(ALIVE)

    def get(self, key: str) -> str | None:
        return self._texts.get(key)

    def put(self, key: str, text: str, *, overwrite: bool = True) -> bool:
        with self._lock:
            new = key not in self._texts
            if new or overwrite:
                self._texts[key] = text
            return new

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self._texts if key.startswith(prefix))

    def living_nodes(self) -> set[str]:
        return self.alive


@pytest.fixture
def board() -> Any:
    return Board()


def use(node: str) -> Use:
    return Use(node, "host", 7, "2030-01-01 00:00:00 UTC")


def test_a_device_is_used_by_one_until_it_is_given_back(board):
    for _ in range(12):  # so that numbers of two digits come, too
        take(board, "one", use("driver-a"))
        assert user_of(board, "one") == use("driver-a")
        with pytest.raises(DeviceError, match="is being used by process 7 on host host since"):
            take(board, "one", use("driver-b"))
        leave(board, "one", "driver-b")  # it has not taken it
        assert user_of(board, "one") == use("driver-a")
        leave(board, "one", "driver-a")
        assert user_of(board, "one") is None


def test_a_device_of_a_dead_user_is_free(board):
    take(board, "one", use("driver-a"))
    board.alive = {"driver-b"}
    assert user_of(board, "one") is None
    take(board, "one", use("driver-b"))
    leave(board, "one", "driver-a")
    assert user_of(board, "one") == use("driver-b")


def test_names_that_begin_alike_are_different_devices(board):
    take(board, "one", use("driver-a"))
    take(board, "one-more", use("driver-b"))
    assert user_of(board, "one") == use("driver-a")


def made(node: str, name: str = "one") -> Offer:
    return Offer(
        replace(PROFILE, name=name), node, "host", "10.0.0.7", 4, "2030-01-01 00:00:00 UTC"
    )


def test_a_device_is_offered_by_one_until_its_node_is_gone(board):
    offer(board, made("driver-a"))
    offer(board, made("driver-b", "one-more"))
    with pytest.raises(DeviceError, match="Device one is offered already, by host host since"):
        offer(board, made("driver-b"))
    assert [o.node for o in offers(board)] == ["driver-a", "driver-b"]
    for number in range(12):  # so that numbers of two digits come, too
        board.alive = {f"driver-{number}"}
        offer(board, made(f"driver-{number}"))
        assert offers(board) == [made(f"driver-{number}")]
    board.alive = set()
    assert offers(board) == []


@pytest.mark.parametrize(
    ("claim", "holder"),
    [
        (lambda board, node: take(board, "one", use(node)), lambda board: user_of(board, "one")),
        (lambda board, node: offer(board, made(node)), lambda board: offers(board)[0]),
    ],
    ids=["use", "offer"],
)
def test_of_two_who_see_a_void_note_one_gets_the_device(board, claim, holder):
    """Each asks for the last note when the other has done so, too."""
    seen = threading.Barrier(2, timeout=10)
    read, first = board.living_nodes, threading.local()

    def living_nodes() -> set[str]:
        if not getattr(first, "done", False):
            first.done = True
            seen.wait()
        return read()

    claim(board, "driver-dead")
    board.living_nodes = living_nodes
    got: list[str] = []

    def run(node: str) -> None:
        try:
            claim(board, node)
        except DeviceError:
            return
        got.append(node)

    threads = [threading.Thread(target=run, args=(node,)) for node in sorted(ALIVE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    board.living_nodes = read
    assert [holder(board).node] == got
