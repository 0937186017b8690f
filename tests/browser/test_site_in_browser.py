"""The store as it is served, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.made_suite import SUITE, make_suite
from db.store import Store
from tests.browser.conftest import PHONE, Browser
from tests.browser.looking import element, elements, scrolled
from tests.command import start
from tests.db.samples import RUN
from tests.tuned_run import tuned


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[str]:
    """The address of a server on a store with a run and a suite."""
    folder: Path = tmp_path_factory.mktemp("served")
    make_suite(str(folder / "farm.db"), 12, 40)
    with Store.open(str(folder / "farm.db")) as store:
        tuned(store)
    process = start(folder, "serve", "--port", 0)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0].rstrip("/")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_search_leads_to_a_run_with_its_drawings(browser: Browser, served: str) -> None:
    browser.open(f"{served}/")
    assert len(list(scrolled(browser))) == 1
    element(browser, "[name=q]").send_keys("kws", Keys.ENTER)
    WebDriverWait(browser.driver, 10).until(lambda driver: driver.title.startswith("Search: "))
    (link,) = (each for each in elements(browser, "td a") if each.text == RUN.name)
    link.click()
    assert "2.50x [2.40, 2.60]" in element(browser, "#verdicts tbody tr").text
    assert len(list(scrolled(browser))) == 8
    assert browser.complaints() == []
    assert {url.split("/")[2] for url in browser.requests()} == {served.split("/")[2]}


def test_series_are_followed(browser: Browser, served: str) -> None:
    browser.open(f"{served}/suites/{SUITE}")
    assert element(browser, "#said").text.startswith("case-0 on cpu, latency: 40 nights")
    assert len(list(scrolled(browser))) == 2
    assert browser.complaints() == []


@pytest.mark.parametrize(
    ("address", "dark"),
    [("/", False), (f"/runs/{RUN.name}", True), ("/compare", False), ("/search?q=kws", True)],
)
def test_nobody_is_left_out(browser: Browser, served: str, address: str, dark: bool) -> None:
    browser.open(f"{served}{address}", dark=dark, size=PHONE)
    assert browser.faults() == []
    wide = "return document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.driver.execute_script(wide) <= 0
