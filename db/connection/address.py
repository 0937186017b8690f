"""Where a store is: what the user wrote after ``--store``, understood."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from farm.errors import OptionError
from farm.host.folders import data_folder, expanded

_LOCK_BYTES = 1 << 16  # twice what a reader's lock file takes


@dataclass(frozen=True, slots=True)
class Address:
    """A store's place.

    path: of the SQLite file; None for a store in memory and for a server.
    """

    url: URL
    path: Path | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is SQLite, on disk or in memory."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def is_read_without_locks(self) -> bool:
        """Whether a reader must do without the lock files that it shares with a writer.

        It may not make them in a folder that it cannot write to, and cannot on a disk without
        room; a writer at work has made them already.
        """
        if self.path is None or self.path.with_name(self.path.name + "-wal").exists():
            return False
        return not os.access(self.path.parent, os.W_OK) or not _has_room(self.path.parent)

    def sqlite_uri(self, *, read_only: bool) -> str:
        """What SQLite opens. A mode or another parameter that the user gave is kept."""
        if self.path is None:
            return ":memory:"
        given = {key: value for key, value in self.url.query.items() if key != "uri"}
        mode = {"mode": "ro"} if read_only else {}
        if read_only and self.is_read_without_locks:
            mode |= {"immutable": "1"}
        return f"{self.path.absolute().as_uri()}?{urlencode({'mode': 'rwc'} | given | mode)}"

    def __str__(self) -> str:
        """For messages: the file's path, or the URL without its password."""
        if self.is_sqlite:
            return str(self.path or ":memory:")
        return self.url.render_as_string(hide_password=True)


def parse_address(text: str | None) -> Address:
    """Understand a path, a SQLAlchemy URL, or None for the default place.

    Raises OptionError: empty, a folder, not a URL, a home folder that is unknown, a database that
    is neither SQLite nor PostgreSQL, or a driver for the latter that is not psycopg.
    """
    if text is None:
        return _sqlite_file(default_path())
    if not text.strip():
        raise OptionError("--store is empty. Give the path of a file, or leave it out.")
    if "://" not in text:
        return _memory() if text == ":memory:" else _sqlite_file(expanded(text))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise OptionError(
            f"--store {text} is not a database URL. Give the path of a file, or a URL such as "
            "postgresql://user@host/farm."
        ) from None
    match url.get_backend_name():
        case "sqlite":
            return _sqlite_url(url)
        case "postgresql" | "postgres":
            return Address(_with_driver(url))
        case other:
            raise OptionError(
                f"--store names the database {other}, but a store can be SQLite or PostgreSQL. "
                "Give the path of a file, or a URL such as postgresql://user@host/farm."
            )


def default_path() -> Path:
    """``farm.db`` in the user's data folder. Raises OptionError where that is unknown."""
    return data_folder() / "farm.db"


def _has_room(folder: Path) -> bool:
    """Whether a disk can take the lock files of a reader; where it cannot be asked, it has."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return True
    return found.f_bavail * found.f_frsize >= _LOCK_BYTES


def _sqlite_url(url: URL) -> Address:
    database = (url.database or "").removeprefix("file:")
    if database in {"", ":memory:"}:
        return _memory()
    return replace(_sqlite_file(expanded(database)), url=url)


def _sqlite_file(path: Path) -> Address:
    if path.is_dir():
        raise OptionError(
            f"The store {path} is a folder; give a file, such as {path / 'farm.db'}."
        )
    return Address(URL.create("sqlite", database=str(path)), path)


def _memory() -> Address:
    return Address(URL.create("sqlite", database=":memory:"))


def _with_driver(url: URL) -> URL:
    if url.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise OptionError(
            f"--store names the driver {url.drivername}, but the farm talks to PostgreSQL with "
            "psycopg. Write postgresql:// in its place."
        )
    return url.set(drivername="postgresql+psycopg")
