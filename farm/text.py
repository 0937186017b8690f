"""Names and messages as they are shown: every character is one that can be seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def printable(text: str) -> str:
    r"""Text that moves no cursor, changes no colour, breaks no line and turns no direction.

    Names come from models and files, which may hold anything. What cannot be seen is written as
    Python writes it in a string: a carriage return as ``\r``, an escape as ``\x1b``, a mark of
    writing direction as ``\u202e``, half of a surrogate pair as ``\udc80``. Everything else stays.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """The same for text that may have several lines, as a cell of a table may."""
    return "\n".join(map(printable, text.split("\n")))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that offers the nearest known names, with a space behind it; empty if none is."""
    import difflib  # noqa: PLC0415  (this module is imported by every command)

    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}? " if near else ""


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last
