"""Reads what matters here from ELF object files and ``ar`` archives, of any processor.

Only little-endian files; every target of the farm is one. Layout: System V ABI, "Object Files".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from farm.errors import CompileError
from farm.units import Bytes

_ARCHIVE = b"!<arch>\n"
_MEMBER_HEADER = 60
_WRITE, _ALLOCATE, _EXECUTE = 1, 2, 4  # section flags
_SYMBOL_TABLE, _NO_BITS = 2, 8  # section types
_LOCAL = 0  # binding of a symbol
# Names that no library defines: assemblers make them up.
_PSEUDO = frozenset({"", "_GLOBAL_OFFSET_TABLE_"})


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes that an object file takes on the device.

    code: instructions. constants: read-only data. variables: data that can be written, zero or
    not; a package has none.
    """

    code: Bytes
    constants: Bytes
    variables: Bytes


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    flags: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the fields are: in 32-bit and 64-bit files they have other widths and another order.

    header: offset of the section table, its entries' size and their number, at ``header_at``.
    section: type, flags, offset, size and index of the linked section.
    symbol: name, and then info and section index in the order that ``symbol_fields`` gives.
    """

    header: str
    header_at: int
    count_at: int
    section: str
    symbol: str
    symbol_fields: tuple[int, int, int]


_LAYOUTS = {
    1: _Layout("<I", 32, 46, "<4xII4xIII", "<IIIBBH", (0, 3, 5)),
    2: _Layout("<Q", 40, 58, "<4xIQ8xQQI", "<IBBHQQ", (0, 1, 3)),
}


def object_sizes(path: Path) -> Sizes:
    """What one object file takes on the device.

    Raises CompileError: not an ELF file.
    """
    content = path.read_bytes()
    code = constants = variables = 0
    for section in _sections(content, path):
        if not section.flags & _ALLOCATE:
            continue
        if section.flags & _EXECUTE:
            code += section.size
        elif section.flags & _WRITE or section.kind == _NO_BITS:
            variables += section.size
        else:
            constants += section.size
    return Sizes(Bytes(code), Bytes(constants), Bytes(variables))


def undefined_symbols(*paths: Path) -> frozenset[str]:
    """Names that object files and archives, all of them together, need from elsewhere.

    Raises CompileError: not an ELF file or an archive of such files.
    """
    defined: set[str] = set()
    used: set[str] = set()
    for path in paths:
        for content in _objects(path.read_bytes()):
            for name, is_defined in _global_symbols(content, path):
                (defined if is_defined else used).add(name)
    return frozenset(used - defined - _PSEUDO)


def machines(path: Path) -> frozenset[int]:
    """The processors that an object file, or those in an archive, are for: ELF's ``e_machine``.

    Empty where it is neither, so that a file of unknown origin can be asked.
    """
    try:
        found = {_machine(content, path) for content in _objects(path.read_bytes())}
    except (CompileError, ValueError):
        return frozenset()
    return frozenset(found)


def _machine(content: bytes, path: Path) -> int:
    _layout(content, path)
    return int.from_bytes(content[18:20], "little")


def _objects(content: bytes) -> Iterator[bytes]:
    """The object files in a file: itself, or an archive's without its tables of names."""
    if not content.startswith(_ARCHIVE):
        yield content
        return
    at = len(_ARCHIVE)
    while at + _MEMBER_HEADER <= len(content):
        header = content[at : at + _MEMBER_HEADER]
        size = int(header[48:58])
        at += _MEMBER_HEADER
        if header[:16].strip() not in {b"/", b"//", b"/SYM64/"}:
            yield content[at : at + size]
        at += size + size % 2


def _global_symbols(content: bytes, path: Path) -> Iterator[tuple[str, bool]]:
    """Name, and whether it is defined here, of every symbol that other files can see."""
    layout = _layout(content, path)
    name_field, info_field, section_field = layout.symbol_fields
    sections = _sections(content, path)
    for section in sections:
        if section.kind != _SYMBOL_TABLE:
            continue
        names = sections[section.link].offset
        table = content[section.offset : section.offset + section.size]
        for fields in struct.iter_unpack(layout.symbol, table):
            if fields[info_field] >> 4 != _LOCAL:
                yield _text(content, names + fields[name_field]), fields[section_field] != 0


def _sections(content: bytes, path: Path) -> list[_Section]:
    layout = _layout(content, path)
    (start,) = struct.unpack_from(layout.header, content, layout.header_at)
    entry_size, count = struct.unpack_from("<HH", content, layout.count_at)
    return [
        _Section(*struct.unpack_from(layout.section, content, start + index * entry_size))
        for index in range(count)
    ]


def _layout(content: bytes, path: Path) -> _Layout:
    little_endian = content[5:6] == b"\x01"
    layout = _LAYOUTS.get(content[4]) if content[:4] == b"\x7fELF" and little_endian else None
    if layout is None:
        raise CompileError(
            f"{path.name} is not a little-endian ELF object file; the compiler wrote something "
            "else. Choose another compiler."
        )
    return layout


def _text(content: bytes, start: int) -> str:
    return content[start : content.index(b"\0", start)].decode("ascii", errors="replace")
