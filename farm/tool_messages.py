"""What tools written in C++ say, without what only their authors can use."""

from __future__ import annotations

import re

_CODES = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |Exception from \S+:\d+:")
_PLACE = re.compile(r"(?P<file>\S+\.(?:cc|cpp|cu|cuh|h|hpp)):\d+:? ")
_BEFORE_PARAMETERS = re.compile(r"[\w:<>,&*~\s]*(?:::|\s)(?:\w|[<>~])+(?=\()")
_BEHIND_PARAMETERS = re.compile(
    r"(?:>?::<lambda|\s*(?:const|noexcept)\b|\s*\[with [^\]]*\]|[>:]+)*"
)

_CONDITION = re.compile(r"\S.{,300}? was (?:false|true)\. (?=\S)")  # before what it means


def without_sources(text: str) -> str:
    """A message in one line, without error codes, source files, C++ signatures and checks."""
    text = " ".join(_CODES.sub(" ", text).split())
    while place := _PLACE.search(text):
        rest = text[place.end() :]
        end = _checked_end(rest) if "/" in place["file"] else _name_end(rest)
        text = " ".join(f"{text[: place.start()]} {rest[end:]}".split())
    return text


def _name_end(text: str) -> int:
    """Where the function's name ends that follows a file's: one word before the message."""
    name = re.match(r"\w+ (?=\S)", text)
    return name.end() if name else 0


def _checked_end(text: str) -> int:
    """Where a C++ signature at the beginning ends, with what was checked and found false there."""
    end = _signature_end(text)
    behind = text[end:].lstrip()
    condition = _CONDITION.match(behind) if end else None
    return len(text) - len(behind) + condition.end() if condition else end


def _signature_end(text: str) -> int:
    """Where a C++ signature at the beginning ends; 0 where there is none."""
    start = _BEFORE_PARAMETERS.match(text)
    end = start.end() if start else 0
    while end < len(text) and text[end] == "(":
        end = _closing(text, end)
        if behind := _BEHIND_PARAMETERS.match(text, end):
            end = behind.end()
    return end


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that opens at ``start`` is closed, or the end of the text."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    return len(text)
