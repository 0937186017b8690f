"""A worker's files: workloads and artifacts, each in a folder named by its content.

A folder is written beside its place and renamed when complete, so that a killed worker leaves
nothing half-written that a later one would take for whole.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farm.errors import InfrastructureError
from farm.folders import cache_folder
from workers.jobs import Part, Workload


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/farm``, by default ``~/.cache/farm``. Raises OptionError."""
    return cache_folder()


class Cache:
    """Workloads and artifacts under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add_workload(self, workload: Workload) -> None:
        """Write a workload's files, unless they are there."""
        with self.complete(self.workload(workload.key)) as folder:
            if folder is None:
                return
            (folder / "model.onnx").write_bytes(workload.model)
            for part, content in workload.parts.items():
                (folder / f"{part}.npz").write_bytes(content)
            for part, content in workload.labels.items():
                (folder / f"{part}.labels.npy").write_bytes(content)

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

    def reference(self, key: str, part: Part) -> Path:
        """The float model's outputs on one part; written on first need."""
        return self.workload(key) / f"{part}.reference.npz"

    def second_reference(self, key: str, part: Part) -> Path:
        """What it answers when it is asked again; there for models that answer differently."""
        return self.workload(key) / f"{part}.again.npz"

    def artifact(self, key: str) -> Path:
        """Folder of an artifact."""
        return self.root / "artifacts" / key

    @contextmanager
    def complete(self, target: Path) -> Iterator[Path | None]:
        """A folder to fill, which becomes ``target`` on success; None if that exists already.

        Raises InfrastructureError when the disk does not take it.
        """
        if target.exists():
            yield None
            return
        with self._draft(target.parent) as draft:
            yield draft
            _rename(draft, target)

    @contextmanager
    def complete_file(self, target: Path) -> Iterator[Path]:
        """A file to write in an existing folder, which becomes ``target`` on success.

        Raises InfrastructureError when the disk does not take it.
        """
        with self._draft(target.parent) as draft:
            yield draft / target.name
            _rename(draft / target.name, target)

    @contextmanager
    def _draft(self, parent: Path) -> Iterator[Path]:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=parent))
            try:
                yield draft
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        except OSError as error:
            raise InfrastructureError(
                f"The cache folder {self.root} cannot be written: {error.strerror or error}. "
                "Make room, or name another folder by XDG_CACHE_HOME."
            ) from error


def _rename(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError:
        if not target.exists():  # else another worker was quicker, with the same content
            raise
