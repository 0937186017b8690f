"""Rows of anything as a table, CSV, JSON, JUnit, Markdown or Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from rich.console import Console

from farm.errors import OptionError
from farm.text import printable, printable_lines
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


@pytest.mark.parametrize("name", ["a", "a.foo", "a.junit", "-"])
def test_an_ending_that_says_nothing_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=r"end with \.txt, \.csv, .*, or give --format"):
        format_of(Path(name))


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


def test_a_test_has_the_label_of_a_candidate_and_not_its_json() -> None:
    columns, row = ["label", "candidate", "trial"], ["int8, 2 threads", '{"engine": {}}', "0be3"]
    (suite,) = fromstring(_whole(as_junit.export(columns, [row])))
    assert suite[0].get("name") == "int8, 2 threads 0be3"
    assert 'candidate: {"engine": {}}' in (suite[0].findtext("system-out") or "")


def test_rows_of_anything_as_junit_pass() -> None:
    root = fromstring(_whole(as_junit.export(["count", "count"], [[1, 2], [None, START]])))
    assert [root[0].get(name) for name in ("tests", "failures", "errors")] == ["2", "0", "0"]
    assert format_of(Path("rows.xml")) is Format.JUNIT


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "]]><!-- --> <![CDATA[ &amp; &#60;b&#62; \"'",
    "\x00\x01\x1b[31m\x7f\x85\u202e\ufffe\uffff",
    "half\udc80",
    "=cmd|'/C calc'!A0",
    "@SUM(1+1)*cmd|'/C calc'!A0",
    "-2+3",
    "| a | b |\n|---|---|",
    "![x](https://example.org/x.png) [y](javascript:alert(1)) [z]: x",
    "x" * 10_000,
    "",
]


@pytest.fixture(params=HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def name(request: pytest.FixtureRequest) -> str:
    """What somebody called a model."""
    return str(request.param)


def test_hostile_names_in_csv(name: str) -> None:
    text = _whole(as_csv.export([name, "b"], [[name, 1.5], [name, None]]))
    read = list(csv.reader(io.StringIO(text)))
    shown = printable_lines(name)
    plain = f"'{shown}" if name[:1] in ("=", "@", "-") and name else shown
    assert read == [[plain, "b"], [plain, "1.5"], [plain, ""]]
    assert text.encode()
    assert all(c.isprintable() or c == "\n" for c in text)


def test_numbers_in_csv_are_no_formulas() -> None:
    rows = [[-1.5, "-1.5", "+1e-3", "-", "-inf"]]
    assert _whole(as_csv.export(["a"], rows)).splitlines()[1] == "-1.5,-1.5,+1e-3,'-,-inf"


def test_hostile_names_in_json(name: str) -> None:
    text = _whole(as_json.export([name, "b"], [[name, name]]))
    assert text.isascii()
    assert json.loads(text) == [{name: name, "b": name}]


def test_hostile_names_in_junit(name: str) -> None:
    rows = [[name, name, "timeout", "x"]]
    text = _whole(as_junit.export(["model", "candidate", "outcome", "message"], rows))
    (test,) = fromstring(text.encode())[0]
    assert test.get("classname") == (printable(name) or "row")
    assert test.get("name") == f"{printable(name)} x".strip()
    assert f"candidate: {printable(name)}" in (test.findtext("system-out") or "")
    (odd,) = fromstring(_whole(as_junit.export([name], [[1]])).encode())[0]
    assert odd.findtext("system-out") == f"{printable(name)}: 1"


def test_hostile_names_in_markdown(name: str) -> None:
    text = _whole(as_markdown.export([name, "b"], [[name, "x"]]))
    assert len(text.splitlines()) == 3
    assert all(c.isprintable() or c == "\n" for c in text)
    for line in text.splitlines():
        assert len(re.split(r"(?<!\\)\|", line.replace("\\\\", ""))) == 4, "two cells"
    assert not re.search(r"(?<!\\)<(?!br>)|\]\(|(?<!\\)&\w+;", text.replace("\\]", "")), text


def test_hostile_names_in_parquet(name: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from reports.export import as_parquet

    rows = [[name, name, 10**400], [None, 1, 0.5]]
    file = io.BytesIO(b"".join(as_parquet.export([name, "b", "c"], rows)))
    table = parquet.read_table(file)
    kept = name.replace("\udc80", "\\udc80")
    assert table.column_names[0] == kept
    assert table[0].to_pylist() == [kept, None]
    assert table["b"].to_pylist() == [kept, "1"]
