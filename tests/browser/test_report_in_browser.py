"""Reports as people meet them: in a browser, by keyboard, in the dark and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from benchmarks.inputs.made_suite import SUITE, make_suite
from db.reader import StoreReader
from db.store import Store
from reports.pages.html import report_html
from reports.pages.of_run import run_page
from reports.pages.of_suite import suite_page
from reports.pages.section import Chart, Page, Section
from tests.browser.conftest import DESKTOP, PHONE, Browser
from tests.browser.looking import element, elements, scrolled
from tests.db.samples import RUN
from tests.tools.tuned_run import tuned

_MOST_BYTES = 8_000_000
_MEASURED = """
    const chart = arguments[0], whole = chart.getBoundingClientRect();
    const inner = chart._fullLayout._size;
    const texts = [...chart.querySelectorAll("text")];
    const beyond = texts.filter((text) => text.textContent.trim()).filter((text) => {
        const box = text.getBoundingClientRect();
        const clipped = text.closest("[clip-path]") !== null;
        return !clipped && (box.left < whole.left - 1 || box.right > whole.right + 1
            || box.top < whole.top - 1 || box.bottom > whole.bottom + 1);
    });
    return {
        width: inner.w / whole.width, height: inner.h / whole.height,
        beyond: beyond.map((text) => text.textContent), name: chart.getAttribute("aria-label"),
    };
"""
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)><b>%{x}</b>" + "x" * 9000


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of 500 series over 100 nights."""
    folder = tmp_path_factory.mktemp("suite")
    make_suite(str(folder / "farm.db"), 500, 100)
    with StoreReader.open(str(folder / "farm.db")) as store:
        return written(folder, report_html(suite_page(store, SUITE), "now"))


@pytest.fixture(scope="module", params=["", HOSTILE], ids=["tuned", "hostile"])
def run(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> str:
    """A report of a run, once with names that would like to be more than names."""
    folder = tmp_path_factory.mktemp("run")
    with Store.open(str(folder / "farm.db")) as store:
        tuned(store, request.param)
        return written(folder, report_html(run_page(store, RUN.name), "now"))


def written(folder: Path, html: str) -> str:
    file = folder / "report.html"
    file.write_text(html, "utf-8")
    return file.as_uri()


def test_a_suite_of_500_series_is_read_and_clicked_through(browser: Browser, suite: str) -> None:
    assert Path(suite.removeprefix("file://")).stat().st_size <= _MOST_BYTES
    browser.open(suite)
    rows = elements(browser, "#verdicts tbody tr")
    assert len(rows) == 500
    first = [cell.text for cell in rows[0].find_elements(By.TAG_NAME, "td")]
    assert first[:2] == ["case-0 on cpu, latency", "regression"]
    assert first[2].startswith("1.0")
    assert first[4] == "1.040 from shop-floor-030, confirmed"
    said = element(browser, "#said")
    assert said.text.startswith("case-0 on cpu, latency: 100 nights, the last one regression")

    rows[3].find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert said.text.startswith("case-119 on cpu, energy: ")
    assert browser.driver.switch_to.active_element.get_attribute("id") == "series"
    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert said.text.startswith("case-126 on cpu, latency: ")

    element(browser, "#filter").send_keys("case-499")
    assert said.text.startswith("case-499 on cpu, energy: 100 nights, the last one no change")
    element(browser, "#filter").send_keys("nothing")
    assert said.text == "No series has this in its name."
    element(browser, "#filter").clear()
    element(browser, "#filter").send_keys("case-7 on")
    marks = element(browser, "#marks").text
    assert "onnxruntime 1.30.0 → 1.31.0" in marks
    assert "level changed to 1.040 [1.030, 1.050], confirmed (change change-7)" in marks
    element(browser, "#history details summary").click()
    assert len(elements(browser, "#rows tr")) == 100
    for link in elements(browser, "nav a"):
        link.click()
    assert len(list(scrolled(browser))) == 2
    assert browser.complaints() == []
    assert browser.requests() == [f"{suite}"]


_TICKS = """
    const chart = arguments[0], named = (axis) => [...chart.querySelectorAll(`.${axis}tick text`)];
    const boxes = named("x").map((text) => text.getBoundingClientRect());
    boxes.sort((a, b) => a.left - b.left);
    return {
        overlap: boxes.slice(1).some((box, at) => box.left < boxes[at].right),
        x: named("x").map((text) => text.textContent),
        y: named("y").map((text) => text.textContent),
    };
"""


def test_one_point_alone_has_axes_that_can_be_read(browser: Browser, tmp_path: Path) -> None:
    """No tick covers another, is a negative size, or a part of a second."""
    point = {"type": "scatter", "mode": "markers", "y": [0.17]}
    size = {"rangemode": "tozero"}
    alone = Chart(({**point, "x": [0.03]},), {"xaxis": {"type": "log"}, "yaxis": size})
    night = Chart(({**point, "x": ["2026-11-30 13:13:00"]},), {"xaxis": {"type": "date"}})
    charts = (("alone", alone), ("night", night))
    sections = tuple(Section(name, name, "", chart) for name, chart in charts)
    browser.open(written(tmp_path, report_html(Page("t", "", sections), "now")))
    drawn = [browser.driver.execute_script(_TICKS, chart) for chart in scrolled(browser)]
    assert [each["overlap"] for each in drawn] == [False, False]
    assert len(drawn[0]["x"]) > 1
    assert not [
        text for text in drawn[0]["x"] + drawn[0]["y"] if text.startswith("\N{MINUS SIGN}")
    ]
    assert drawn[1]["x"]
    assert not [text for text in drawn[1]["x"] if "." in text]


def test_a_run_is_drawn_whole(browser: Browser, run: str) -> None:
    browser.open(run)
    assert len(list(scrolled(browser))) == 9
    verdict = element(browser, "#verdicts tbody tr").text
    assert "2.50x [2.40, 2.60]" in verdict
    for summary in elements(browser, "details summary"):
        summary.click()
    assert elements(browser, "main img") == []
    assert elements(browser, "main b") == []
    assert len(elements(browser, "body > script")) == 2
    assert browser.complaints() == []
    assert browser.requests() == [run]


@pytest.mark.parametrize(
    ("dark", "size"), [(False, DESKTOP), (True, PHONE)], ids=["light", "dark-phone"]
)
def test_nobody_is_left_out(browser: Browser, run: str, dark: bool, size: tuple[int, int]) -> None:
    browser.open(run, dark=dark, size=size)
    list(scrolled(browser))
    assert browser.faults() == []
    wide = "return document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.driver.execute_script(wide) <= 0


@pytest.mark.parametrize("dark", [False, True])
def test_drawings_can_be_read_on_a_phone(browser: Browser, run: str, dark: bool) -> None:
    """Most of each is its bars and points, and no text of it is beyond its border."""
    browser.open(run, dark=dark, size=PHONE)
    drawn = list(scrolled(browser))
    assert len(drawn) == 9
    for chart in drawn:
        found = browser.driver.execute_script(_MEASURED, chart)
        assert found["width"] > 0.7, found
        assert found["height"] > 0.4, found
        assert found["beyond"] == [], found


def test_nobody_is_left_out_of_a_suite(browser: Browser, suite: str) -> None:
    browser.open(suite, size=PHONE)
    assert browser.faults() == []


def test_a_fault_would_be_found(browser: Browser, suite: str) -> None:
    browser.open(suite)
    browser.driver.execute_script(
        "document.querySelector('main').append(document.createElement('img'));"
        "document.getElementById('said').style.color = '#ccc';"
    )
    found = {fault.split(":")[0] for fault in browser.faults()}
    assert found == {"image-alt", "color-contrast"}


def test_drawings_follow_the_scheme(browser: Browser, run: str) -> None:
    browser.open(run)
    fill = "return getComputedStyle(document.querySelector('#verdicts .xtick text')).fill"
    next(scrolled(browser))
    light = browser.driver.execute_script(fill)
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    WebDriverWait(browser.driver, 10).until(
        lambda driver: driver.execute_script(fill) not in (light, None)
    )


def test_the_first_key_leads_to_the_content(browser: Browser, run: str) -> None:
    browser.open(run)
    element(browser, "body").send_keys(Keys.TAB)
    skip = browser.driver.switch_to.active_element
    assert skip.text == "To the content"
    skip.send_keys(Keys.ENTER)
    assert browser.driver.execute_script("return document.activeElement.id") == "main"


def test_what_a_long_table_leaves_out_is_no_series(browser: Browser, tmp_path: Path) -> None:
    make_suite(str(tmp_path / "farm.db"), 502, 2)
    with StoreReader.open(str(tmp_path / "farm.db")) as store:
        browser.open(written(tmp_path, report_html(suite_page(store, SUITE), "now")))
    rows = elements(browser, "#verdicts tbody tr")
    assert rows[-1].text == "and 2 more"
    assert len(elements(browser, "button.series")) == len(rows) - 1 == 500
    assert len(elements(browser, "#series option")) == 502
    assert browser.complaints() == []


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (3.2e-4, "s", "320 µs"),
        (0.9999, "s", "1000 ms"),
        (1500.0, "s", "1500 s"),
        (14_548_992, "B", "13.9 MiB"),
        (1023, "B", "1020 B"),
        (28_096, "packet", "28,096 packets"),
        (1234.5, "1/s", "1235 1/s"),
        (0.98768, "1", "0.9877"),
        (None, "s", "-"),
    ],
)
def test_values_of_nights_have_their_units(
    browser: Browser, suite: str, value: float | None, unit: str, told: str
) -> None:
    if browser.driver.current_url != suite:
        browser.open(suite)
    script = "return quantity(arguments[0], arguments[1])"
    assert browser.driver.execute_script(script, value, unit) == told
