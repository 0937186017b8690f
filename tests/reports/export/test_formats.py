"""Rows of anything as a table, CSV, JSON, JUnit, Markdown or Parquet."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from rich.console import Console

from reports.export import as_csv, as_json, as_junit, as_markdown
from reports.export.formats import Format, exporter, format_of
from reports.tables.layout import Rows
from reports.tables.rows import rows_table
from tests.db.samples import START


def rendered(table: Rows) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _whole(parts: Iterator[str]) -> str:
    return "".join(parts)


def test_no_cell_moves_the_cursor() -> None:
    shown = rendered(rows_table(["na\rme"], [["\x1b[31mred\u202e"], [Path("half\udc80")]]))
    assert r"na\rme" in shown
    assert r"\x1b[31mred\u202e" in shown
    assert r"half\udc80" in shown


def test_brackets_are_no_markup() -> None:
    text = rendered(rows_table(["[a]", "b[/b]"], [["[/x]", None], ["[bold]y", 1.5]]))
    assert [line.split() for line in text.splitlines() if line.strip(" ─")] == [
        ["[a]", "b[/b]"],
        ["[/x]"],
        ["[bold]y", "1.5"],
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [("x" * 10**8, "100,000,000 characters"), (b"x" * 10**8, "100,000,000 bytes")],
)
def test_of_a_long_cell_the_beginning_is_shown(value: str | bytes, said: str) -> None:
    start = time.process_time()
    shown = rendered(rows_table(["a"], [[value]]))
    assert time.process_time() - start < 1
    assert shown.count("x") == 1000
    assert f"… (cut: {said})" in shown


def test_rows_as_csv_can_be_shown_on_a_terminal() -> None:
    text = _whole(as_csv.export(["na\rme"], [["\x1b[31mred\r\n"], ["half\udc80"], [None], [1.5]]))
    assert text == 'na\\rme\n"\\x1b[31mred\\r\n"\nhalf\\udc80\n""\n1.5\n'


def test_rows_as_json_are_a_list_of_objects() -> None:
    rows = [["a\nb", 1], [None, 2.5]]
    text = _whole(as_json.export(["x", "y"], rows))
    assert text == json.dumps([{"x": x, "y": y} for x, y in rows], indent=2) + "\n"
    assert _whole(as_json.export(["x"], [])) == "[]\n"


def test_columns_of_one_name_get_a_number_in_json() -> None:
    (found,) = json.loads(_whole(as_json.export(["id", "id", "id_2", "id"], [[1, 2, 3, 4]])))
    assert found == {"id": 1, "id_3": 2, "id_2": 3, "id_4": 4}


def test_rows_are_written_as_they_come() -> None:
    endless = repeat([1])
    assert next(as_csv.export(["a"], endless)) == "a\n"
    assert next(as_json.export(["a"], endless)).startswith("[\n")


def test_odd_values_become_text() -> None:
    row = [b"\x00", math.inf, math.nan, 1, None, Path]
    names = list("abcdef")
    found = json.loads(_whole(as_json.export(names, [row])))[0]
    assert (found["a"], found["b"], found["c"]) == ("b'\\x00'", "inf", "nan")
    assert (found["d"], found["e"]) == (1, None)
    assert isinstance(found["f"], str)


def test_rows_as_markdown_hold_no_markup() -> None:
    rows = [["a|b", 1.5], ["two\n_lines_", None], ["<b>*x*`y`\x1b", START]]
    rows += [["[x](javascript:1)", "~~a~~"]]
    assert _whole(as_markdown.export(["na|me", "b"], rows)).splitlines() == [
        r"| na\|me | b |",
        "|---|---|",
        r"| a\|b | 1.5 |",
        r"| two<br>\_lines\_ |  |",
        r"| \<b\>\*x\*\`y\`\\x1b | 2026-11-21T06:53:12.250000+00:00 |",
        r"| [x\](javascript:1) | \~\~a\~\~ |",
    ]


def test_rows_as_parquet_have_types() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from reports.export import as_parquet

    rows = [[1, 1, "x", b"y", START, None], [2, 2.5, 3, b"", None, None]]
    file = io.BytesIO(b"".join(as_parquet.export(list("aabcde"), rows)))
    table = parquet.read_table(file)
    assert table.column_names == ["a", "a_2", "b", "c", "d", "e"]
    assert [str(field.type) for field in table.schema] == [
        *("int64", "double", "string", "binary", "timestamp[us, tz=UTC]", "null"),
    ]
    assert table["b"].to_pylist() == ["x", "3"]
    assert table["d"].to_pylist() == [START, None]


def test_no_rows_as_parquet_are_a_table_without_rows() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from reports.export import as_parquet

    file = io.BytesIO(b"".join(as_parquet.export(["a", "b"], [])))
    table = parquet.read_table(file)
    assert (table.column_names, table.num_rows) == (["a", "b"], 0)


@pytest.mark.parametrize("chosen", [each for each in Format if each is not Format.TABLE])
def test_every_format_has_an_exporter_and_an_ending(chosen: Format) -> None:
    if chosen is Format.PARQUET:
        pytest.importorskip("pyarrow")
    assert callable(exporter(chosen))
    assert format_of(Path("a.b" + chosen.ending.upper())) is chosen
    assert format_of(Path("a")) is None


def test_rows_as_junit_are_tests() -> None:
    columns = ["model", "candidate", "outcome", "message", "latency"]
    rows: list[list[object]] = [
        ["kws", "int8 <fast>", "ok", "", 1e-3],
        ["kws", "int4", "rejected", "accuracy 0.5 is below the limit", None],
        ["kws", "c\x1bode", "timeout", "", None],
    ]
    root = fromstring(_whole(as_junit.export(columns, rows)))
    (suite,) = root
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "1"]
    fast, slow, late = suite
    assert (fast.get("name"), fast.get("classname")) == ("int8 <fast>", "kws")
    assert fast.find("failure") is None
    assert "latency: 0.001" in (fast.findtext("system-out") or "")
    failure = slow.find("failure")
    assert failure is not None
    assert failure.attrib == {"type": "rejected", "message": "accuracy 0.5 is below the limit"}
    assert late.find("error") is not None
    assert late.get("name") == r"c\x1bode"


def test_rows_of_anything_as_junit_pass() -> None:
    root = fromstring(_whole(as_junit.export(["count", "count"], [[1, 2], [None, START]])))
    assert [root[0].get(name) for name in ("tests", "failures", "errors")] == ["2", "0", "0"]
    assert format_of(Path("rows.xml")) is Format.JUNIT
