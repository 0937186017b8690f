"""What the command finds itself in: standard streams, the current folder, variables, arguments."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence

from farm.errors import OptionError

_FOLDERS = ("FARM_STORE", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TMPDIR", "HOME")
_STREAMS = ("stdin", "stdout", "stderr")


def open_streams() -> None:
    """Make the standard streams usable, whatever the command was started with.

    One that is closed leads nowhere from here on: else the next file that is opened gets its
    number, and what a library prints goes into that. Characters that a terminal of another
    encoding than UTF-8 does not have are written as Python writes them in a string.
    """
    for number in range(len(_STREAMS)):
        _open_nowhere(number)
    for number, name in enumerate(_STREAMS):
        stream = getattr(sys, name)
        if stream is None:
            # Never closed, like the stream in whose place it is.
            stream = open(os.devnull, "w" if number else "r", encoding="utf-8")  # noqa: SIM115, PTH123
            setattr(sys, name, stream)
        if number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_streams() -> None:
    """Write what is still in buffers, as long as an error of that can be told. Raises OSError."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def abandon_streams() -> None:
    """Send nowhere what cannot be written any more.

    Python would try again as it ends, complain, and replace the exit code by 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def check_names(arguments: Sequence[str]) -> None:
    """Refuse names that are bytes without a meaning: no record can hold them.

    Raises OptionError, also where the current folder does not exist any more.
    """
    for argument in arguments:
        _check(f"'{argument}'", argument, "rename it")
    for name in _FOLDERS:
        value = os.environ.get(name, "")
        _check(f"{name}, which is '{value}',", value, "set it to another folder")
    try:
        here = os.getcwd()  # noqa: PTH109  (a path of it would only be turned into text again)
    except FileNotFoundError:
        raise OptionError(
            "The current folder does not exist any more; change to another one."
        ) from None
    _check(f"The current folder, '{here}',", here, "rename it, or change to another one")


def _check(what: str, text: str, remedy: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise OptionError(
            f"{what} is not text in UTF-8, so that no record can name it; {remedy}."
        ) from None


def _open_nowhere(number: int) -> None:
    """Take the number of a stream if it is closed, and nothing else has got it by now."""
    with contextlib.suppress(OSError):
        os.fstat(number)
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
