"""Reads the pages of the documentation: their commands, and what tests are told about them.

A block that begins with three backquotes and ``sh`` holds commands. Directly before it there may
be comments, each on a line of its own, which readers of the page do not see:

``<!-- not run: REASON -->``
    the commands are not run, for example because they install something
``<!-- before: COMMANDS -->``
    these are run first
``<!-- with: WORD=TEXT ... -->``
    in the commands the text, in which the shell expands ``$(...)``, takes the place of the word

Directly before a block in another language:

``<!-- file: PATH -->``
    the block is the content of this file, which is there before any command is run
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_COMMENT = re.compile(r"<!-- ([a-z ]+): (.+) -->")
_FENCE = re.compile(r"```(\w*)")
_REPLACEMENT = re.compile(r"(\S+?)=(\$\([^)]*\)|\S+)")
_KNOWN = {"sh": {"not run", "before", "with"}}
_KNOWN_ELSEWHERE = {"file"}
_NO_COMMANDS = {"c", "csv", "ini", "json", "python", "toml"}
_LIKE_A_COMMAND = re.compile(
    r"\s*(\$ )?(\S*bin/)?(apt-get|createdb|export|farm|make|pip|python3?|sudo) [^=|]"
)
_INLINE = re.compile(r"`((?:\.venv/bin/)?farm [^`]+)`")
_OPTIONAL = re.compile(r"[\[\]]|\.\.\.")


@dataclass(frozen=True)
class Block:
    """A fenced block. line: of its first line. notes: what the comments before it say."""

    page: Path
    line: int
    language: str
    text: str
    notes: Mapping[str, str]

    @property
    def has_commands(self) -> bool:
        return self.language == "sh"

    @property
    def is_run(self) -> bool:
        return self.has_commands and "not run" not in self.notes

    @property
    def script(self) -> str:
        """The commands as they are run."""
        text = self.text
        for word, other in _REPLACEMENT.findall(self.notes.get("with", "")):
            assert word in text, f"{self.page}:{self.line}: there is no {word} to be replaced"
            text = text.replace(word, other)
        return f"{self.notes.get('before', ':')}\n{text}"

    @property
    def farm_commands(self) -> Iterator[str]:
        """The ``farm`` commands, each without what comes before `farm`."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        for line in joined.splitlines():
            if match := re.match(r"(?:\S*bin/)?farm (.+)", line.strip()):
                yield match[1]


@dataclass(frozen=True)
class Page:
    """A page in Markdown. prose: its numbered lines outside of all blocks."""

    path: Path
    blocks: tuple[Block, ...]
    prose: tuple[tuple[int, str], ...]

    @property
    def inline_farm_commands(self) -> Iterator[str]:
        """The ``farm`` commands within sentences, without `farm` and marks of what is optional."""
        for found in _INLINE.findall(" ".join(text.strip() for _, text in self.prose)):
            yield _OPTIONAL.sub("", found.partition("farm ")[2])

    @property
    def stray_commands(self) -> Iterator[str]:
        """Lines that look like commands outside of all blocks for commands, with their place."""
        lines = [(number, text) for number, text in self.prose if text.startswith("    ")]
        for block in self.blocks:
            if not block.has_commands and block.language not in _NO_COMMANDS:
                lines += enumerate(block.text.splitlines(), block.line)
        for number, text in lines:
            if _LIKE_A_COMMAND.match(text):
                yield f"{self.path}:{number}: {text.strip()}"


def read_page(path: Path) -> Page:
    """Read a page. Raises AssertionError for a comment that would go unheard."""
    blocks: list[Block] = []
    prose: list[tuple[int, str]] = []
    notes: dict[str, str] = {}
    content: list[str] | None = None
    language, begun = "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if content is not None and line != "```":
            content.append(line)
        elif content is not None:
            blocks.append(_checked(Block(path, begun, language, "\n".join(content), notes)))
            content, notes = None, {}
        elif fence := _FENCE.fullmatch(line):
            content, language, begun = [], fence[1], number + 1
        elif comment := _COMMENT.fullmatch(line):
            notes[comment[1]] = comment[2]
        else:
            assert not notes, f"{path}:{number}: {notes} must stand directly before a block"
            assert not line.lstrip().startswith("<!--"), f"{path}:{number}: a comment for nobody"
            prose.append((number, line))
    assert content is None, f"{path}:{begun}: the block has no end"
    return Page(path, tuple(blocks), tuple(prose))


def _checked(block: Block) -> Block:
    unknown = block.notes.keys() - _KNOWN.get(block.language, _KNOWN_ELSEWHERE)
    assert not unknown, f"{block.page}:{block.line}: a '{block.language}' block has no {unknown}"
    return block
