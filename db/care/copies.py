"""Copies of a store in files of their own, and what other stores have, in this one.

A copy is made beside its place and moved there once it is whole: killed at any moment, it is not
there, and nothing else was touched.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Table, delete, func, select, text
from sqlalchemy.orm import Session

from db.care.lost import leave_out_lost
from db.care.merge import Merged, merge, saving
from db.connection.address import Address, parse_address
from db.connection.engine import LOCK_TIMEOUT, translated, undo_half_done
from db.reader import StoreReader
from db.schema import (
    ArtifactRow,
    Base,
    CandidateRow,
    MachineRow,
    ModelRow,
    RankingRow,
    RunRow,
    SeriesRow,
    SoftwareRow,
)
from db.store import Store
from farm.errors import OptionError, StoreError, StoreFull

_PAGES = 1024  # copied at a time, between which others may write
_PARENTS = (RankingRow, ArtifactRow, SeriesRow, CandidateRow, ModelRow, SoftwareRow, MachineRow)
Progress = Callable[[float], None]
"""Told the share that is done, from 0 to 1."""


def backup(url: str | None, place: Path, progress: Progress = lambda _: None) -> None:
    """Copy a whole store into an SQLite file. Others may work with the store meanwhile.

    Raises OptionError: something is in that place already, it is the store's own, or its disk is
    full. Raises StoreError: there is no store, or it is damaged.
    """
    address = parse_address(url)
    with StoreReader.open(url) as store:
        if address.path is None:
            with _draft(place, address) as draft, Store.open(str(draft)) as target:
                _merge(store, target, None)
            return
        with _draft(place, address) as draft, translated(address):
            _copy_pages(address, draft, progress)


def export(url: str | None, place: Path, runs: Collection[str] | None = None) -> Merged:
    """Copy runs, with what they point to, into an SQLite file that is a store.

    runs: their names; None for all, with nights, calibrations and cost models. Of a damaged store
    what can be read is copied, and what of that points to what is not there is left out.

    Raises OptionError, StoreError: see :func:`backup`.
    """
    with (
        StoreReader.open(url) as store,
        _draft(place, parse_address(url)) as draft,
        Store.open(str(draft)) as target,
    ):
        found = _saved(store, target, runs)
        if runs is not None:
            with target.writing() as session:
                _remove_unused(session)
            target.compact()
        return found


def import_from(other: str, store: Store) -> Merged:
    """Copy into a store what another one has and it has not, in one transaction.

    other: a path or URL. It is not changed, though its schema be older.

    Raises OptionError: it is the store itself. Raises StoreError: there is no such store, it was
    written by a newer farm, or one of them fails; nothing is copied then.
    """
    address = parse_address(other)
    same_file = address.path is not None and _is_same(address.path, Path(store.place))
    if same_file or str(address) == store.place:
        raise OptionError(f"{address} is the store itself; give another one to import from.")
    with (
        _named_by_argument(address),
        _unchanged(address) as readable,
        StoreReader.open(readable) as source,
    ):
        return _merge(source, store, None)


def _merge(source: StoreReader, target: Store, runs: Collection[str] | None) -> Merged:
    with source.reading() as reading, target.writing() as writing:
        return merge(reading, writing, runs)


def _saved(source: StoreReader, target: Store, runs: Collection[str] | None) -> Merged:
    """Merge what can be read of a store, which may be damaged, into one that is SQLite."""
    with (
        source.reading() as reading,
        target.writing() as writing,
        saving(reading) as unread,
    ):
        writing.execute(text("PRAGMA defer_foreign_keys = ON"))  # to the end of the transaction
        found = merge(reading, writing, runs)
        left_out = leave_out_lost(writing)
        kept = writing.scalar(select(func.count()).select_from(RunRow)) or 0
        return replace(found, runs=kept, unread=tuple(sorted(unread)), left_out=left_out)


@contextmanager
def _draft(place: Path, store: Address) -> Iterator[Path]:
    """A file beside a place, which is moved there in the end, and else is gone."""
    if store.path is not None and _is_same(place, store.path):
        raise OptionError(f"{place} is the store itself; give another place for the copy.")
    if os.path.lexists(place):
        raise OptionError(f"{place} exists already, and is not overwritten; give another place.")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as folder:
            draft = Path(folder) / place.name
            with _told_as(draft, str(place)):
                yield draft
            draft.rename(place)
    except StoreFull:
        raise OptionError(
            f"The copy {place} does not fit on its disk; free some space, or give another place."
        ) from None
    except OSError as error:
        raise OptionError(
            f"The copy cannot be written to {place}: {error.strerror or error}."
        ) from None


@contextmanager
def _told_as(copy: Path, name: str) -> Iterator[None]:
    """Errors of a temporary copy name what it is a copy of, or becomes."""
    try:
        yield
    except StoreError as error:
        raise type(error)(str(error).replace(str(copy), name)) from None


@contextmanager
def _named_by_argument(address: Address) -> Iterator[None]:
    """Errors of a store that no ``--store`` names do not say that another one be given."""
    try:
        yield
    except StoreError as error:
        said = str(error)
        if str(address) not in said:
            raise
        for give in ("give", "Give"):
            said = said.replace(f"{give} another --store", f"{give} another file to import")
        raise type(error)(said) from None


def _copy_pages(address: Address, draft: Path, progress: Progress) -> None:
    """Copy an SQLite file page by page, as it was at one moment; it is proven to be whole."""

    def told(_status: int, left: int, total: int) -> None:
        progress(1.0 - left / total if total else 1.0)

    uri = address.sqlite_uri(read_only=True)
    with closing(sqlite3.connect(uri, uri=True)) as source, closing(sqlite3.connect(draft)) as to:
        source.backup(to, pages=_PAGES, progress=told)
        to.execute("PRAGMA journal_mode = DELETE")
        (found,) = to.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise StoreError(
            f"The store at {address} is damaged, and so would be its copy: {found}. "
            "`farm store check` says more."
        )


@contextmanager
def _unchanged(address: Address) -> Iterator[str]:
    """What can be read of a store without changing it: of a file, a copy of that moment."""
    if address.path is None:
        yield address.url.render_as_string(hide_password=False)
        return
    if not address.path.exists():
        raise StoreError(f"There is no store at {address} to import from.")
    undo_half_done(address, LOCK_TIMEOUT)
    with tempfile.TemporaryDirectory(prefix="farm-import-") as folder, translated(address):
        copy = Path(folder) / "farm.db"
        try:
            _copy_pages(address, copy, lambda _: None)
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
                raise
            raise StoreFull(
                f"{address} is read by a copy, and {folder} has no room for it; free some space, "
                "or set TMPDIR to another folder."
            ) from None
        with _told_as(copy, str(address)):
            yield str(copy)


def _remove_unused(session: Session) -> None:
    """Delete what no run that was copied points to."""
    for row in _PARENTS:
        own = row.__table__
        assert isinstance(own, Table)
        used = [
            select(key.parent).where(key.parent.is_not(None))
            for table in Base.metadata.sorted_tables
            for key in table.foreign_keys
            if key.column.table is own
        ]
        key = next(iter(own.primary_key))
        session.execute(delete(own).where(*(key.not_in(each) for each in used)))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()
