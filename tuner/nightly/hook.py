"""A command of the user's that is told of a regression."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

from farm.units import format_seconds

LONGEST = 60.0
"""Seconds after which the command is ended."""

_STANDARD_ERROR = 2


def tell(command: str, verdict: str, longest: float = LONGEST) -> str:
    """Run a command of the shell with the verdict, a JSON text, on its standard input.

    What it prints goes to standard error. Whatever it does, the verdict stays what it is.

    Returns what went wrong with it as a sentence, "" for nothing.
    """
    try:
        # A shell of its own process group, so that it can be ended with all that it started.
        child = subprocess.Popen(  # noqa: S602 (it is the user's own command line)
            command,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=_STANDARD_ERROR,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"--on-regression '{command}' cannot be started: {error}."
    try:
        child.communicate(verdict.encode(), timeout=longest)
    except subprocess.TimeoutExpired:
        return f"--on-regression '{command}' was ended after {format_seconds(longest)}."
    finally:
        _end(child)
    if child.returncode:
        return f"--on-regression '{command}' ended with exit code {child.returncode}."
    return ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the shell and what it started, where it has not ended by itself."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
