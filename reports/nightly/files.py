"""Writes what a night says into files: each is whole, or as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from farm.errors import OptionError
from farm.host.places import write_file
from reports.nightly.junit import junit_xml
from reports.nightly.markdown import markdown
from tuner.nightly.report import NightReport

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
"""Names the file that a job of GitHub Actions shows as its summary."""


def check_places(junit: Path | None, summary: Path | None) -> None:
    """Raise OptionError for a place that cannot be written, before anything is measured."""
    for option, path in (("--junit", junit), ("--markdown", summary)):
        if path is None:
            continue
        if path.is_dir():
            raise OptionError(f"{option} {path} is a folder; name a file.")
        folder = path.absolute().parent
        if not folder.is_dir():
            raise OptionError(f"{option} {path} cannot be written: there is no folder {folder}.")
        if not os.access(path if path.exists() else folder, os.W_OK):
            raise OptionError(f"{option} {path} cannot be written: Permission denied.")


def write_reports(report: NightReport, junit: Path | None, summary: Path | None) -> None:
    """Write JUnit XML and Markdown where they are wanted, and what a job's summary takes.

    Raises OptionError: which of them could not be written, and why.
    """
    for what, path, write in _wanted(report, junit, summary):
        try:
            write(path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OptionError(f"{what} {path} cannot be written: {reason}.") from None


_Writer = Callable[[Path], None]


def _wanted(
    report: NightReport, junit: Path | None, summary: Path | None
) -> Iterator[tuple[str, Path, _Writer]]:
    """What to call each file, where it is, and what writes it."""
    if junit is not None:
        yield "--junit", junit, lambda path: _replace(path, junit_xml(report))
    if summary is not None:
        yield "--markdown", summary, lambda path: _replace(path, markdown(report))
    if shown := os.environ.get(SUMMARY_VARIABLE):
        what = f"The job's summary ({SUMMARY_VARIABLE})"
        yield what, Path(shown), lambda path: _append(path, markdown(report))


def _replace(path: Path, text: str) -> None:
    """Write a file beside its place first; what is no file, as /dev/stdout, at once."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
    else:
        write_file(path.resolve(), text.encode())


def _append(path: Path, text: str) -> None:
    """Add to the end of a file, which is as it was where that fails."""
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        content = text.encode()
        try:
            while content:
                content = content[file.write(content) :]
        except OSError:
            file.truncate(before)
            raise
