"""JUnit XML: a test for each row, for programs that show what continuous integration found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from farm.text import printable
from reports.export.values import in_text, unique

_NAMES = ("label", "case_name", "metric", "night", "trial", "message")
_CLASSES = ("suite", "model", "device")
_FAILURES = {"regression", "rejected"}
_FINE = {"", "ok", "no change", "improvement", "inconclusive", "not yet", "None"}


def export(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A test for each row, whose columns are its output.

    One with an ``outcome`` or ``verdict`` that is not fine does not pass: a regression or a broken
    limit fails, everything else is an error. All other rows pass.
    """
    names = unique([printable(name) for name in columns])
    suite = Element("testsuite", name="farm")
    for row in rows:
        cells = {
            name: "" if value is None else printable(str(in_text(value)))
            for name, value in zip(names, row, strict=True)
        }
        _add(suite, cells)
    tags = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}
    for name, tag in tags.items():
        suite.set(name, str(len(suite.findall(tag))))
    root = Element("testsuites", name="farm")
    root.append(suite)
    indent(root)
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _add(suite: Element, cells: Mapping[str, str]) -> None:
    names = _NAMES if cells.get("label") else ("candidate", *_NAMES)  # which is JSON beside one
    named = [cells[name] for name in names if cells.get(name)] or list(cells.values())[:1]
    classes = [cells[name] for name in _CLASSES if cells.get(name)] or ["row"]
    test = SubElement(
        suite, "testcase", name=" ".join(named) or "row", classname=".".join(classes), time="0"
    )
    said = cells.get("outcome") or cells.get("verdict") or ""
    if said not in _FINE:
        what = "failure" if said in _FAILURES else "error"
        SubElement(test, what, type=said, message=cells.get("message") or said)
    SubElement(test, "system-out").text = "\n".join(f"{k}: {v}" for k, v in cells.items())
