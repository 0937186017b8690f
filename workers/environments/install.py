"""Making an environment, and ending it.

An environment is built beside its place and renamed when it is complete: whatever is killed or
fails leaves nothing that counts as installed, and the next install removes it. One process at a
time installs or removes; it holds the lock on the folder of all environments.
"""

from __future__ import annotations

import errno
import importlib.metadata
import platform
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from farm.devices.environment import Environment
from farm.errors import DeviceError
from farm.host.locks import Lock
from farm.host.privacy import sending_nothing
from farm.text import did_you_mean
from workers.environments.installed import (
    DRAFT,
    Installed,
    environments_folder,
    installed_environments,
    python_of,
    write_record,
)
from workers.environments.pip import Ran, Say, check_pip, run_pip, surroundings
from workers.nvidia.presence import driver_availability

ALWAYS = ("numpy",)  # what a child imports besides its engine
_IMPORT_SECONDS = 120.0
_FULL = {errno.ENOSPC, errno.EDQUOT}
_OPTIONS = ("--require-hashes", "--only-binary=:all:", "--no-input", "--progress-bar=off")


def install(environment: Environment, say: Say) -> Installed:
    """Make an environment, which may take minutes. Where it is installed already, do nothing.

    say: told what is being done, line by line.

    Raises DeviceError: it is not for this machine, or not for its driver, another one gives its
    engines, pip is not there or fails, the disk is full, or what was installed cannot be imported.
    """
    if reason := environment.unsuited:
        raise DeviceError(f"Environment {environment.name} cannot be installed here: {reason}.")
    with _alone() as root:
        here = installed_environments()
        if found := here.get(environment.name):
            return _as_described(found, environment)
        _check_engines(environment, here)
        _check_driver(environment)
        check_pip()
        with _draft(root, environment.name) as draft:
            versions = _build(environment, draft, say)
            write_record(draft, environment, versions)
            place = draft.rename(root / environment.name)
    return Installed(environment, place, versions)


def remove(name: str) -> Installed:
    """End an environment; what it was is returned.

    Raises DeviceError: it is not installed, or a living process uses it.
    """
    with _alone() as root:
        here = installed_environments()
        if name not in here:
            names = ", ".join(sorted(here)) or "none"
            raise DeviceError(
                f"Environment '{name}' is not installed. {did_you_mean(name, here)}Installed "
                f"environments: {names}."
            )
        found = here[name]
        lock = Lock.take_free(found.place)
        if lock is None:
            raise DeviceError(
                f"Environment {name} is in use: a run works with it. Wait for its end, then "
                "remove it."
            )
        with lock, _draft(root, name) as draft:  # moved first: nobody meets half of it
            found.place.rename(draft / name)
    return found


def _as_described(found: Installed, environment: Environment) -> Installed:
    """What is installed. Raises DeviceError where that is of another description, or broken."""
    name = environment.name
    again = f"`farm devices remove {name}` first, then install it again."
    if found.broken:
        raise DeviceError(f"Environment {name} is installed, but {found.broken}; {again}")
    if found.environment.digest != environment.digest:
        raise DeviceError(
            f"Environment {name} is installed, with other packages or engines than its file names "
            f"now; {again}"
        )
    return found


def _check_driver(environment: Environment) -> None:
    name = environment.name
    runs = driver_availability(f"environment {name}", environment.pinned)
    if not runs.available:
        raise DeviceError(
            f"Environment {name} cannot be used here: {runs.reason}; {runs.remedy} first."
        )


def _check_engines(environment: Environment, here: Mapping[str, Installed]) -> None:
    if environment.by_name_only:
        return
    for name, other in here.items():
        if other.environment.by_name_only:
            continue
        if both := set(environment.engines) & set(other.environment.engines):
            raise DeviceError(
                f"Environment {name} is installed and gives {', '.join(sorted(both))}, too, and "
                f"an engine runs in one environment; `farm devices remove {name}` first."
            )


@contextmanager
def _alone() -> Iterator[Path]:
    """The folder of all environments, for one process at a time, without drafts of killed ones."""
    root = environments_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(f"The folder {root} cannot be made: {error.strerror}.") from None
    lock = Lock.take_free(root)
    if lock is None:
        raise DeviceError(
            "Another process installs or removes an environment at this moment; wait for its end."
        )
    with lock:
        for left in root.glob(f"{DRAFT}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield root


@contextmanager
def _draft(root: Path, name: str) -> Iterator[Path]:
    """A folder that is removed at the end, unless it was renamed. Raises DeviceError."""
    draft = None
    try:
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=root))
        draft.chmod(0o755)
        yield draft
    except OSError as error:
        if error.errno in _FULL:
            raise _disk_full(root, name) from None
        raise DeviceError(
            f"The folder {root} cannot be changed: {error.strerror or error}."
        ) from None
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _build(environment: Environment, folder: Path, say: Say) -> dict[str, str]:
    """Fill a folder with a virtual environment; its versions. Raises DeviceError, OSError."""
    say(f"Making a virtual environment for {environment.name}")
    venv.create(folder, symlinks=True, with_pip=False)
    scratch = folder / "tmp"
    scratch.mkdir()
    requirements = scratch / "requirements.txt"
    requirements.write_text(environment.requirements, encoding="utf-8")
    python = python_of(folder)
    into = ["--python", str(python), "install", "--requirement", str(requirements)]
    ran = run_pip([*into, *_OPTIONS], scratch, say)
    if ran.failed:
        raise _failed(environment.name, folder.parent, ran)
    shutil.rmtree(scratch)
    say("Importing what was installed")
    _check_modules(environment, python)
    packages = (folder / "lib").glob("python*/site-packages")
    found = importlib.metadata.distributions(path=list(map(str, packages)))
    return {"python": platform.python_version(), **{each.name: each.version for each in found}}


def _failed(name: str, root: Path, ran: Ran) -> DeviceError:
    if ran.disk_is_full:
        return _disk_full(root, name)
    return DeviceError(f"Environment {name} was not installed. {ran.sentence}")


def _disk_full(root: Path, name: str) -> DeviceError:
    return DeviceError(
        f"Environment {name} was not changed: the disk of {root} is full. Make room there."
    )


def _check_modules(environment: Environment, python: Path) -> None:
    """Raise DeviceError for a module that cannot be imported, for want of a library perhaps."""
    for module in (*ALWAYS, *environment.modules):
        command = [str(python), "-I", "-c", sending_nothing(f"import {module}")]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_IMPORT_SECONDS,
                env=surroundings(),
                check=False,
            )
            ended = done.returncode
            last = (done.stderr.strip().splitlines() or [f"it ended with exit code {ended}"])[-1]
        except subprocess.TimeoutExpired:
            ended, last = 1, f"no answer within {_IMPORT_SECONDS:g} s"
        if ended:
            raise DeviceError(
                f"Environment {environment.name} was not installed: its module {module} cannot be "
                f"imported: {last.rstrip('.')}."
            )
