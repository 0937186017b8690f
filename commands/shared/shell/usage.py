"""Wrong usage: a value of another form in one sentence, as all bad input; the rest as Typer tells.

Whatever was typed is told in characters that can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from commands.shared.shell.help import Group
from farm.errors import OptionError
from farm.text import printable


class PrintableUsage(Group):
    """The root of the commands. Arguments that are echoed move no cursor and change no colour."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Parse the arguments of the root."""
        with _clear_messages():
            return super().make_context(*arguments, **named)

    def invoke(self, *arguments: Any, **named: Any) -> Any:
        """Parse those of a command, and run it."""
        with _clear_messages():
            return super().invoke(*arguments, **named)


@contextmanager
def _clear_messages() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # By what it can do: Typer has these errors from Click, or by now of its own.
        if told := _expected(error):
            raise OptionError(told) from None
        if hasattr(error, "format_message") and hasattr(error, "message"):
            error.message = printable(error.message)
        raise


def _expected(error: Exception) -> str:
    """What an option takes and what came; empty where that is not what is wrong."""
    param, details = getattr(error, "param", None), getattr(error.__cause__, "errors", None)
    if param is None or details is None:
        return ""
    first = details(include_url=False)[0]
    limits = first.get("ctx", {})
    match first["type"]:
        case "int_parsing" | "int_parsing_size" | "int_from_float":
            what = "a whole number"
        case "float_parsing":
            what = "a number"
        case "greater_than_equal":
            what = f"{limits['ge']} or more"
        case "less_than_equal":
            what = f"{limits['le']} or less"
        case "value_error" if choices := param.type_descriptor.choices:
            what = f"one of {', '.join(map(str, choices))}"
        case _:
            return ""
    return f"{max(param.opts, key=len)} takes {what}, got '{first['input']}'."
