"""The whole of ``farm clean``: what takes room and is not in use, found first, then removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from db.reader import StoreReader
from db.removal import OldRun, old_runs
from db.store import Store
from farm.host.folders import folder_size
from farm.host.temporary import is_in_use
from farm.units import Bytes
from tuner.runs.lease import is_gone
from workers.leftovers import Leftovers, clear_leftovers, find_leftovers
from workers.trials.stored.usage import KINDS, drafts, entries, evict, in_use, moved_away

_COMPILERS_FOLDER = "zig"  # in the cache: what Zig builds once per target


class Area(StrEnum):
    """What can be chosen to be cleared."""

    CACHE = "cache"
    TEMPORARY = "temporary"
    RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Clearable:
    """One kind of thing that takes room.

    place: where it is. count, size: of what can go; bytes of runs are about. kept: how many stay,
    because a living process uses them.
    """

    area: Area
    what: str
    place: str
    count: int
    size: Bytes
    kept: int = 0


class Cleaning:
    """What can be cleared of the chosen areas, as it was when this was made.

    cache: its root. store: None where there is none. before: runs that ended later stay.
    """

    def __init__(
        self,
        areas: frozenset[Area],
        cache: Path,
        store: StoreReader | None,
        before: datetime,
    ) -> None:
        self._cache = cache
        self._store = store
        self._areas = areas
        self._before = before
        self._leftovers = Leftovers((), ())
        self._runs: tuple[OldRun, ...] = ()
        if Area.TEMPORARY in areas:
            self._leftovers = find_leftovers(kept=True)
        if Area.RUNS in areas and store is not None:
            self._runs = old_runs(store, before, is_gone)
        self.found = tuple(self._find())

    def clear(self, store: Store | None) -> None:
        """Remove it; what came into use meanwhile stays. store: the same one, for writing.

        Raises StoreError, and OSError where the cache cannot be written.
        """
        if Area.CACHE in self._areas and self._cache.is_dir():
            evict(self._cache, Bytes(0))
            if not is_in_use("compile"):
                trash = moved_away(self._cache / _COMPILERS_FOLDER)
                shutil.rmtree(trash, ignore_errors=True)
        if Area.TEMPORARY in self._areas:
            clear_leftovers(kept=True)
        if self._runs and store is not None:
            still = {run.name for run in old_runs(store, self._before, is_gone)}
            for name in (run.name for run in self._runs if run.name in still):
                store.delete_run(name, is_gone)
            store.compact()

    def _find(self) -> Iterator[Clearable]:
        if Area.CACHE in self._areas:
            yield from self._in_cache()
        if Area.TEMPORARY in self._areas:
            for what, paths in (
                ("temporary folders", self._leftovers.folders),
                ("sessions of Ray", self._leftovers.sessions),
            ):
                yield _of_folders(Area.TEMPORARY, what, paths)
        if Area.RUNS in self._areas and self._store is not None:
            size = Bytes(sum(run.size for run in self._runs))
            place = self._store.place
            yield Clearable(Area.RUNS, "runs", place, len(self._runs), size)

    def _drafts(self) -> list[Path]:
        found = []
        for path, lock in drafts(self._cache):
            lock.release()
            found.append(path)
        return found

    def _in_cache(self) -> Iterator[Clearable]:
        known, used = entries(self._cache), in_use(self._cache)
        for kind in KINDS:
            place = self._cache / kind
            of_kind = [entry for entry in known if entry.path.parent == place]
            free = [entry for entry in of_kind if entry.path not in used]
            size = Bytes(sum(entry.size for entry in free))
            kept = len(of_kind) - len(free)
            yield Clearable(Area.CACHE, kind, str(place), len(free), size, kept)
        yield _of_folders(Area.CACHE, "half-written", self._drafts())
        compilers = self._cache / _COMPILERS_FOLDER
        if compilers.is_dir():
            kept = int(is_in_use("compile"))
            size = Bytes(0) if kept else folder_size(compilers)
            yield Clearable(Area.CACHE, "compiler's", str(compilers), 1 - kept, size, kept)


def _of_folders(area: Area, what: str, paths: tuple[Path, ...] | list[Path]) -> Clearable:
    place = str(paths[0].parent) if paths else ""
    return Clearable(area, what, place, len(paths), Bytes(sum(map(folder_size, paths))))
