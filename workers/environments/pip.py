"""pip, as a process of its own: configured as the user has it, and what it says if it fails."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from farm.errors import DeviceError
from farm.host.temporary import temporary_folder

Say = Callable[[str], None]
_FULL_WORDS = ("No space left on device", "Disk quota exceeded")
_UNREACHED = "connection broken by"
_VERSIONS = "Available versions:"
_SHOWN = 300  # letters of what pip says
_STEP = re.compile("Collecting|Processing|Downloading|Installing")
_FROM = re.compile(r" \(from .*\)$")
_QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Ran:
    """pip, once it has ended. said: line by line. failed: whether it did not do what was asked."""

    said: tuple[str, ...]
    failed: bool

    @property
    def disk_is_full(self) -> bool:
        """Whether that was the reason."""
        return any(words in line for words in _FULL_WORDS for line in self.said)

    @property
    def sentence(self) -> str:
        """Of one that failed: the first error, with the lines that belong to it."""
        text = self._error().removeprefix("ERROR: ").rstrip(".") or "nothing"
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
        unreached = any(_UNREACHED in line for line in self.said)
        why = " Packages could not be fetched: the network or the index did not answer."
        return f"pip says: {shown}.{why if unreached else ''}"

    def _error(self) -> str:
        begins = [n for n, line in enumerate(self.said) if line.startswith("ERROR:")]
        errors = [
            " ".join(" ".join(self.said[begin:end]).split())
            for begin, end in zip(begins, [*begins[1:], len(self.said)], strict=True)
        ]
        return errors[0] if errors else " ".join(" ".join(self.said[-1:]).split())


def check_pip() -> None:
    """Raise DeviceError where this Python has no pip."""
    if importlib.util.find_spec("pip") is None:
        raise DeviceError(
            f"Environments are made with pip, and {sys.executable} has none; "
            f"`{sys.executable} -m ensurepip` adds it."
        )


def run_pip(arguments: Sequence[str], scratch: Path, say: Say) -> Ran:
    """Run pip to its end, configured as the user has it.

    scratch: a folder for its temporary files. say: told each package that it looks at.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "pip", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**surroundings(), **_QUIET, "TMPDIR": str(scratch)},
        start_new_session=True,
    )
    said = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.rstrip())
            if _STEP.match(line):
                say(_FROM.sub("", said[-1]))
    finally:  # also when this process is told to end
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return Ran(tuple(said), failed=process.returncode != 0)


def surroundings() -> Mapping[str, str]:
    """This process's, without what would make another Python find the farm's own packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def released_versions(package: str) -> tuple[str, ...]:
    """The versions of a package that pip could install here, oldest first.

    Raises DeviceError: pip is not there, finds none, or cannot ask.
    """
    check_pip()
    with temporary_folder("versions") as scratch:
        ran = run_pip(["index", "versions", package, "--only-binary=:all:"], scratch, _nothing)
    listed = next((line for line in ran.said if line.startswith(_VERSIONS)), "")
    if ran.failed or not listed:
        raise DeviceError(f"The versions of {package} are not known. {ran.sentence}")
    newest_first = listed.removeprefix(_VERSIONS).split(",")
    return tuple(version.strip() for version in reversed(newest_first))


def _nothing(line: str) -> None:
    del line
