"""The views of the store: as their reference says, the same in every database."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from db.questions.best import Best
from db.questions.failures import Failure
from db.questions.latest import Newest
from db.questions.nightly.series import NightOfSeries, OpenRegression
from db.questions.predicted import Predicted
from db.questions.sql import query
from db.store import Store

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "store.md"
_ROW = re.compile(r"\| `(\w+)` \|[^|]*\| (.+) \|")
RECORDS = {
    "best": Best,
    "failures": Failure,
    "latest": Newest,
    "predicted": Predicted,
    "history": NightOfSeries,
    "regressions": OpenRegression,
}


def documented(heading: str) -> dict[str, list[str]]:
    """The columns of each view or table by the page, in its order."""
    section = _PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    rows = map(_ROW.fullmatch, section.partition("\n## ")[0].splitlines())
    return {row[1]: _names(row[2]) for row in rows if row}


def _names(cell: str) -> list[str]:
    """Column names, without what is explained of them."""
    return re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", cell))


@pytest.fixture(scope="module")
def empty_url(new_place: Callable[[], str]) -> str:
    url = new_place()
    Store.open(url).close()
    return url


def test_views_have_the_columns_that_are_documented(empty_url: str) -> None:
    views = documented("Views")
    assert views.keys() == {"trials", *RECORDS}
    for view, columns in views.items():
        assert query(empty_url, f"SELECT * FROM {view}") == (tuple(columns), ()), view


def test_tables_have_the_columns_that_are_documented(empty_url: str) -> None:
    for table, columns in documented("Tables").items():
        found, _ = query(empty_url, f"SELECT * FROM {table}")
        assert sorted(found) == sorted(columns), table


@pytest.mark.parametrize("view", RECORDS)
def test_records_have_the_columns_of_their_view(view: str) -> None:
    columns = set(RECORDS[view].__dataclass_fields__)
    assert columns <= set(documented("Views")[view])
