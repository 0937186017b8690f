"""Wrong usage as Typer tells it, in characters that can be seen, whatever was typed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from commands.shared.help import Group
from farm.text import printable


class PrintableUsage(Group):
    """The root of the commands. Arguments that are echoed move no cursor and change no colour."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Parse the arguments of the root."""
        with _printable_messages():
            return super().make_context(*arguments, **named)

    def invoke(self, *arguments: Any, **named: Any) -> Any:
        """Parse those of a command, and run it."""
        with _printable_messages():
            return super().invoke(*arguments, **named)


@contextmanager
def _printable_messages() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # By what it can do: Typer has these errors from Click, or by now of its own.
        if hasattr(error, "format_message") and hasattr(error, "message"):
            error.message = printable(error.message)
        raise
