"""Every drawing of a report has its numbers in a table, and its sentence for screen readers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from db.store import Store
from reports.pages.html import report_html
from reports.pages.numbers import numbers
from reports.pages.of_run import run_page
from reports.pages.of_suite import suite_page
from reports.pages.section import Chart, Page
from tests.db.nights import SUITE, follow, series
from tests.db.samples import RUN
from tests.tools.tuned_run import tuned


@pytest.fixture
def page(tmp_path: Path, request: pytest.FixtureRequest) -> Page:
    with Store.open(str(tmp_path / "farm.db")) as store:
        tuned(store)
        follow(store, series("detector"), [0.0, 0.001])
        return run_page(store, RUN.name) if request.param == "run" else suite_page(store, SUITE, 9)


def test_a_mark_is_a_row_with_the_ends_of_its_bar() -> None:
    bar = {"array": [0.5, 0.0], "arrayminus": [0.25, 0.0]}
    first = {"name": "front", "x": [1.0, 2.0], "y": ["a &lt;b&gt;", "c"], "error_x": bar}
    second = {"name": "beaten", "x": [3.0], "y": ["d"], "hovertext": ["int8, slow"]}
    chart = Chart((first, second), {"xaxis": {"title": {"text": "latency, ms"}}})
    found = numbers(chart)
    assert found.columns == ("drawn as", "latency in ms", "name", "what")
    assert found.rows == (
        ("front", "1 [0.75, 1.5]", "a <b>", ""),
        ("front", "2", "c", ""),
        ("beaten", "3", "d", "int8, slow"),
    )
    assert found.numbers == {1}


@pytest.mark.parametrize("page", ["run", "suite"], indirect=True)
def test_no_drawing_is_without_a_table_and_a_sentence(page: Page) -> None:
    text = report_html(page, "now")
    body = text[text.index("<main") : text.index("</main>")]
    drawn = [each for each in page.sections if each.chart or each.svg]
    assert drawn
    for each in drawn:
        (own,) = re.findall(rf'<section id="{each.name}".*?</section>', body, re.DOTALL)
        assert "<table" in own, each.name
        assert f'aria-describedby="{each.name}-summary"' in own
        assert f'id="{each.name}-summary">' in own
        if each.chart and not (each.table and each.has_numbers):
            assert "<summary>Numbers of the drawing</summary>" in own
            assert len(re.findall("<tr>", own)) > sum(len(t["x"]) for t in each.chart.traces)
        if each.name.startswith(("pareto", "health-")):
            assert not each.has_numbers  # the beaten, and single blocks, are in no row of these
