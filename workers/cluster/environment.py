"""What Ray is told through the environment, before it is imported; and where it keeps its files.

Ray takes much of its configuration from variables named ``RAY_...``, which its own processes
inherit. Those that a user has set for other work are not for the farm's clusters: they go.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farm import own_modules
from farm.errors import InfrastructureError

# The longest path of a Unix socket is 107 bytes, and 80 of them follow on this folder.
_LONGEST_FOLDER = 26


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
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
        RAY_AUTH_MODE="token",
        **variables,
    )


def files_folder() -> Path:
    """Where Ray keeps sessions, logs and sockets: in a folder of this user's alone.

    Its name and those in it tell user and process, so that what a killed run leaves is found.
    """
    user = os.getuid()
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108  (with a folder of one's own in it)
        folder = Path(base) / f"farm-ray-{user}"
        if len(os.fsencode(folder)) <= _LONGEST_FOLDER:
            break
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != user:
        raise InfrastructureError(f"{folder}, where Ray is to keep its files, is somebody else's.")
    folder.chmod(0o700)
    sessions = folder / "s"  # Ray opens this one to everybody
    sessions.mkdir(exist_ok=True)
    return sessions


@contextmanager
def shelter(folder: Path) -> Iterator[Path]:
    """A place to start Ray from, where its processes do not meet a user's modules.

    Ray's workers look for modules in the folder that they were started from, and along
    PYTHONPATH, before they look at what is installed. The place is kept as long as the context.

    folder: in which it is made; named for this process, so that what a kill leaves is found.
    """
    place = Path(tempfile.mkdtemp(prefix=f"modules-{os.getpid()}-", dir=folder))
    try:
        own_modules.link_into(place)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


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
