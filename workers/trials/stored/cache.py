"""A worker's files: workloads, reference outputs and artifacts, each in a folder of its own.

A folder is named by its content, written beside its place and renamed when complete, so that a
killed worker leaves nothing half-written that a later one would take for whole. What is there is
checked by the hashes of its files before it is used, and made anew where it is damaged.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from farm.artifact.folder import HASHES_FILE
from farm.errors import InfrastructureError
from farm.host.folders import cache_folder
from farm.host.temporary import owned_folder
from workers.jobs import Part, Workload
from workers.trials.stored.hashes import Stamp, damage, stamp, write_hashes
from workers.trials.stored.usage import DRAFT, Usage, cache_limit, evict, locked, moved_away


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/farm``, by default ``~/.cache/farm``. Raises OptionError."""
    return cache_folder()


class Cache:
    """Workloads, references and artifacts under one root folder, as one process uses them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._usage = Usage(root)
        self._whole: dict[Path, Stamp] = {}
        self._remarks: list[str] = []

    def keep_limit(self) -> None:
        """Remove the entries that were not used for longest, and what killed processes left.

        Raises InfrastructureError when they cannot be removed. Raises OptionError: the limit
        cannot be understood.
        """
        limit = cache_limit()
        with self._writing():
            if self.root.is_dir():
                evict(self.root, limit)

    def close(self) -> None:
        """Leave the entries to others."""
        self._usage.end()

    def take_remarks(self) -> tuple[str, ...]:
        """Which entries were damaged and made anew, since this was asked last."""
        found, self._remarks = tuple(self._remarks), []
        return found

    def add_workload(self, workload: Workload) -> None:
        """Write a workload's files, unless they are there. Raises InfrastructureError."""
        with self.complete(self.workload(workload.key)) as folder:
            if folder is None:
                return
            (folder / "model.onnx").write_bytes(workload.model)
            for part, content in workload.parts.items():
                (folder / f"{part}.npz").write_bytes(content)
            for part, content in workload.labels.items():
                (folder / f"{part}.labels.npy").write_bytes(content)

    def check_workload(self, key: str) -> None:
        """Raise InfrastructureError where a workload that was added is not whole any more.

        A candidate is not to blame for that. It costs a look at the files, not at their content.
        """
        folder = self.workload(key)
        if not self._is_known(folder) and (found := damage(folder)):
            raise InfrastructureError(
                f"The cache was changed during the run, from outside: of {folder}, {found}. It is "
                "written again when the run goes on."
            )

    def workload(self, key: str) -> Path:
        """Folder of a workload."""
        return self.root / "workloads" / key

    def model(self, key: str) -> Path:
        """The workload's model file."""
        return self.workload(key) / "model.onnx"

    def inputs(self, key: str, part: Part) -> Path:
        """Samples of one part."""
        return self.workload(key) / f"{part}.npz"

    def labels(self, key: str, part: Part) -> Path:
        """Labels of one part; the file is absent where there are none."""
        return self.workload(key) / f"{part}.labels.npy"

    def references(self, key: str, part: Part) -> Path:
        """Folder of the float model's outputs on one part; written on first need."""
        return self.root / "references" / f"{key}-{part}"

    def artifact(self, key: str) -> Path:
        """Folder of an artifact."""
        return self.root / "artifacts" / key

    @contextmanager
    def complete(self, target: Path) -> Iterator[Path | None]:
        """A folder to fill, which becomes ``target`` on success; None if that is there and whole.

        Raises InfrastructureError when the disk does not take it.
        """
        with self._writing():
            self._usage.note(target)
            there = self._is_whole(target)
        if there:
            yield None
            return
        with self._writing():
            target.parent.mkdir(parents=True, exist_ok=True)
            draft, lock = owned_folder(target.parent, DRAFT)
            with lock:
                try:
                    yield draft
                    write_hashes(draft)
                    written = stamp(draft)
                    if _rename(draft, target):
                        self._whole[target] = written
                finally:
                    shutil.rmtree(draft, ignore_errors=True)

    def _is_whole(self, target: Path) -> bool:
        """Whether an entry can be used; what is there and cannot be is thrown away."""
        if not os.path.lexists(target):
            return False
        if self._is_known(target):
            return True
        with suppress(OSError):  # another process may be throwing it away at this moment
            seen = stamp(target)
            if not damage(target):
                self._whole[target] = seen
                return True
        return self._thrown_away(target)

    def _is_known(self, target: Path) -> bool:
        """Whether an entry was found whole before, and nobody wrote to it since."""
        try:
            return target in self._whole and self._whole[target] == stamp(target)
        except OSError:
            return False

    def _thrown_away(self, target: Path) -> bool:
        """Move a damaged entry away; whether another process had done so, and made it anew."""
        with locked(self.root):
            found = damage(target)
            if not found:
                return True
            if os.path.lexists(target / HASHES_FILE):  # else an earlier version of the farm
                name = target.relative_to(self.root)
                self._remarks.append(f"The cache's {name} was damaged and was made anew: {found}.")
            trash = moved_away(target)
        shutil.rmtree(trash, ignore_errors=True)
        return False

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InfrastructureError(
                f"The cache folder {self.root} cannot be written: {error.strerror or error}. "
                "Make room, or name another folder by XDG_CACHE_HOME."
            ) from error


def _rename(draft: Path, target: Path) -> bool:
    """Put a draft in its place; False where another worker was quicker, with the same content."""
    try:
        draft.rename(target)
    except OSError:
        if not target.exists():
            raise
        return False
    return True
