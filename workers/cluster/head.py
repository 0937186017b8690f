"""A head: the process where machines meet; and what is looked at before Ray is asked to join it.

Ray itself notices a wrong token after 20 s and a dead address after minutes.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import IPv6Address
from pathlib import Path
from threading import Lock
from typing import Any

from farm import __version__
from farm.errors import DeviceError, OptionError
from workers.cluster import environment
from workers.cluster.patience import Deadline, patiently

DEFAULT_PORT = 6379
CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 8.0
_TOKEN_BYTES = 32
_IDENTITY, _VERSION = "identity", "version"


@dataclass(frozen=True, slots=True)
class Versions:
    """What has to be the same on all machines of a cluster."""

    farm: str
    ray: str
    python: str

    @classmethod
    def here(cls) -> Versions:
        """This machine's."""
        return cls(__version__, version("ray"), platform.python_version())


@dataclass(frozen=True, slots=True)
class Head:
    """Where a head is. token: file with the text that all of its cluster's machines know."""

    host: str
    port: int
    token: Path

    @property
    def address(self) -> str:
        """``HOST:PORT``."""
        return f"{self.host}:{self.port}"


def parse_head(address: str, token: Path) -> Head:
    """Understand ``HOST`` or ``HOST:PORT``. Raises OptionError."""
    refuse_ipv6(address)
    match = re.fullmatch(r"([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?", address.strip())
    port = int(match[2] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port < 1 << 16:
        raise OptionError(
            f"'{address}' is not the address of a head; give HOST or HOST:PORT, for example "
            f"10.0.0.5:{DEFAULT_PORT}."
        )
    return Head(match[1], port, token)


def refuse_ipv6(address: str) -> None:
    """Raise OptionError for an IPv6 address, with or without brackets, port and interface."""
    bare = re.sub(r"^\[(.*)\](:[0-9]*)?$", r"\1", address.strip())
    try:
        IPv6Address(bare)
    except ValueError:
        return
    raise OptionError(
        f"'{address}' is an IPv6 address, and the machines of a cluster meet over IPv4; give the "
        "head's IPv4 address, or a name that has one."
    )


def make_token(file: Path) -> bool:
    """Write a new token that only this user can read, unless the file is there; whether it was.

    Raises OSError.
    """
    if file.exists():
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600, exist_ok=False)
    file.write_text(secrets.token_hex(_TOKEN_BYTES) + "\n", encoding="ascii")
    return True


def check_token(file: Path) -> None:
    """Raise OptionError when there is no token in a file, or others may read it."""
    if not file.is_file():
        raise OptionError(
            f"There is no token file {file}: copy the one of the head's machine (`farm head "
            "start` names it) and give it with --token-file."
        )
    if file.stat().st_mode & 0o077:
        raise OptionError(f"Others can read the token file {file}: run `chmod 600 {file}` first.")
    if not file.read_text(encoding="utf-8", errors="replace").strip():
        raise OptionError(f"The token file {file} is empty: copy the one of the head's machine.")


def reaches(head: Head, seconds: float = CONNECT_SECONDS) -> str:
    """This machine's own address as the head sees it. Raises OSError when nothing answers."""
    with socket.create_connection((head.host, head.port), timeout=seconds) as connection:
        own: str = connection.getsockname()[0]
        return own


def open_board(head: Head) -> Board:
    """The board of a head that answers and knows this token, found within seconds.

    Raises OptionError, DeviceError.
    """
    check_token(head.token)
    try:
        reaches(head)
    except OSError as error:
        raise DeviceError(
            f"No head answers at {head.address}: {error.strerror or error}. Start it there with "
            "`farm head start`, or check the address and the firewall."
        ) from None
    environment.for_head(head.token)
    with _SILENCE, _silent():
        return _answer(head)


def look(head: Head) -> Board:
    """The board of a head that has the versions of this machine. Raises as ``open_board`` does."""
    board = open_board(head)
    theirs, ours = board.versions(), Versions.here()
    different = [
        f"{name} {getattr(theirs, key)} (here: {getattr(ours, key)})"
        for key, name in (("farm", "the farm"), ("ray", "Ray"), ("python", "Python"))
        if _significant(key, theirs) != _significant(key, ours)
    ]
    if different:
        raise DeviceError(
            f"The head at {head.address} has {' and '.join(different)}; install the same here."
        )
    return board


def _significant(key: str, versions: Versions) -> str:
    """What has to be equal: of Python major and minor version, of the others everything."""
    text: str = getattr(versions, key)
    return text.rpartition(".")[0] if key == "python" else text


# Standard error is the whole process's: two threads that move it at once would lose it for good.
_SILENCE = Lock()


@contextmanager
def _silent() -> Iterator[None]:
    """Ray's C++ part warns on standard error of what is said here in a sentence."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _answer(head: Head) -> Board:
    """Its board, within seconds: what is no head at all may never answer."""
    from ray.exceptions import AuthenticationError  # noqa: PLC0415  (after ``environment``)

    try:
        return patiently(lambda: Board(head), Deadline(_ANSWER_SECONDS))
    except AuthenticationError:
        raise OptionError(
            f"The head at {head.address} does not know the token in {head.token}: copy the "
            "token file of its machine."
        ) from None
    except DeviceError:
        raise
    except Exception:  # noqa: BLE001  (Ray raises classes of its own for whatever it reads)
        raise DeviceError(f"What answers at {head.address} is not a head of the farm.") from None


class Board:
    """What a head knows of its cluster, asked without joining it."""

    _METADATA = (b"CLUSTER_METADATA", b"cluster")
    _FARM = b"farm"

    def __init__(self, head: Head) -> None:
        raylet: Any = importlib.import_module("ray._raylet")  # not before ``environment``
        self.head = head
        self._client: Any = raylet.GcsClient(address=head.address)
        told = self._client.internal_kv_get(*self._METADATA)
        if told is None:
            raise DeviceError(f"What answers at {head.address} is not a head of the farm.")
        self._metadata: dict[str, str] = json.loads(told)

    def versions(self) -> Versions:
        """What the head's machine runs."""
        told = self._metadata
        return Versions(
            self.get(_VERSION) or "unknown",
            told.get("ray_version", "unknown"),
            told.get("python_version", "unknown"),
        )

    def identity(self) -> str:
        """What tells this head from a later one at its address."""
        return self.get(_IDENTITY) or ""

    def introduce(self) -> None:
        """Have a new head say who it is; nobody joins before."""
        self.put(_IDENTITY, secrets.token_hex(8))
        self.put(_VERSION, __version__)

    def get(self, key: str) -> str | None:
        """The text under a key of the farm's."""
        value: bytes | None = self._client.internal_kv_get(key.encode(), self._FARM)
        return None if value is None else value.decode()

    def put(self, key: str, text: str, *, overwrite: bool = True) -> bool:
        """Put a text under a key; whether it is new there."""
        added: int = self._client.internal_kv_put(
            key.encode(), text.encode(), overwrite, self._FARM
        )
        return bool(added)

    def keys(self, prefix: str) -> list[str]:
        """The farm's keys that begin so."""
        found: list[bytes] = self._client.internal_kv_keys(prefix.encode(), self._FARM)
        return sorted(key.decode() for key in found)

    def living_nodes(self) -> set[str]:
        """Names (see ``node``) of the nodes that the head takes for alive."""
        nodes = self._client.get_all_node_info(timeout=CONNECT_SECONDS).values()
        return {
            dict(node.labels)["farm-node"]
            for node in nodes
            if node.state == 0 and "farm-node" in node.labels
        }
