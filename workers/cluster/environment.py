"""What Ray is told through the environment, before it is imported; and where it keeps its files.

Ray takes much of its configuration from variables named ``RAY_...``, which its own processes
inherit. Those that a user has set for other work are not for the farm's clusters: they go.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farm.host import own_modules
from farm.host.temporary import OwnedFolder

# The longest path of a Unix socket is 107 bytes, and 65 of them follow on this folder.
_LONGEST_FOLDER = 40


def for_own_cluster() -> None:
    """For a cluster of this process: on loopback alone, and closed to other users by a token."""
    _set(
        # Ray's way not to listen beyond loopback; other nodes could not join.
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
        RAY_AUTH_TOKEN=secrets.token_hex(32),
    )


def for_head(token: Path) -> None:
    """For a cluster of several machines. token: the file that holds its token."""
    _set(RAY_AUTH_TOKEN_PATH=str(token.absolute()))


def _set(**variables: str) -> None:
    """Set these, and no others; what is right already stays, as threads may be reading it."""
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # What CUDA may see is the user's to say; each device's child processes see its own GPU.
        "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
        "RAY_AUTH_MODE": "token",
        # By itself it starts an idle process for every processor, beside those of the actors.
        "RAY_prestart_worker_first_driver": "0",
        "RAY_enable_worker_prestart": "0",
        **variables,
    }
    for name in [name for name in os.environ if name.startswith("RAY_") and name not in wanted]:
        del os.environ[name]
    os.environ.update(wanted)


class Files:
    """What one Ray has among the temporary files; what a killed one leaves, the next run clears.

    sessions: where Ray keeps its sessions, logs and sockets. shelter: where its processes are
    started. Ray's workers look for modules in the folder that they were started from, and along
    PYTHONPATH, before they look at what is installed; there they find the farm's first.
    """

    def __init__(self) -> None:
        self._folder = OwnedFolder("ray", within=_LONGEST_FOLDER)
        self.sessions = self._folder.path / "s"  # Ray opens this one to everybody
        self.shelter = self._folder.path / "m"
        self.sessions.mkdir()
        self.shelter.mkdir()
        own_modules.link_into(self.shelter)

    def remove(self) -> None:
        """Remove all of it."""
        self._folder.remove()


def variables_in(place: Path) -> dict[str, str]:
    """Environment variables of a process that is started in a shelter."""
    path = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


@contextmanager
def standing_in(place: Path) -> Iterator[None]:
    """Have the shelter's folder and variables while something is started in this process."""
    path = os.environ.get("PYTHONPATH")
    here = os.open(".", os.O_RDONLY)  # not by name: it may be deleted by now
    os.environ["PYTHONPATH"] = variables_in(place)["PYTHONPATH"]
    os.chdir(place)
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)
        del os.environ["PYTHONPATH"]
        if path is not None:
            os.environ["PYTHONPATH"] = path
