"""The store as it is served, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.inputs.made_suite import SUITE, make_suite
from db.store import Store
from tests.browser.conftest import PHONE, Browser
from tests.browser.looking import element, elements, scrolled
from tests.db.samples import RUN
from tests.tools.command import start
from tests.tools.tuned_run import tuned


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that has a run and a suite."""
    folder: Path = tmp_path_factory.mktemp("served")
    make_suite(str(folder / "farm.db"), 12, 40)
    with Store.open(str(folder / "farm.db")) as store:
        tuned(store)
    return folder


@pytest.fixture(scope="module")
def served(folder: Path, browser: Browser) -> Iterator[str]:
    """The address of a server on this store."""
    with serving(folder) as address:
        yield address.rstrip("/")


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """The address that a server on the store of a folder tells."""
    process = start(folder, "serve", "--port", 0, *options)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_no_column_of_the_first_page_is_out_of_sight(browser: Browser, served: str) -> None:
    browser.open(f"{served}/", size=(1100, 900))
    tables = elements(browser, ".scroll")
    assert len(tables) == 3
    assert element(browser, "table.wide td a").is_displayed()
    for each in tables:
        assert int(each.get_property("scrollWidth")) <= int(each.get_property("clientWidth"))


def test_a_search_leads_to_a_run_with_its_drawings(browser: Browser, served: str) -> None:
    browser.open(f"{served}/")
    assert len(list(scrolled(browser))) == 1
    element(browser, "[name=q]").send_keys("kws", Keys.ENTER)
    WebDriverWait(browser.driver, 10).until(lambda driver: driver.title.startswith("Search: "))
    (link,) = (each for each in elements(browser, "td a") if each.text == RUN.name)
    link.click()
    assert "2.50x [2.40, 2.60]" in element(browser, "#verdicts tbody tr").text
    assert len(list(scrolled(browser))) == 9
    assert browser.complaints() == []
    assert {url.split("/")[2] for url in browser.requests()} == {served.split("/")[2]}


def test_series_are_followed(browser: Browser, served: str) -> None:
    browser.open(f"{served}/suites/{SUITE}")
    assert element(browser, "#said").text.startswith("case-0 on cpu, latency: 40 nights")
    assert len(list(scrolled(browser))) == 2
    assert browser.complaints() == []


@pytest.mark.parametrize(
    ("address", "dark"),
    [
        ("/", False),
        (f"/runs/{RUN.name}", True),
        (f"/runs/{RUN.name}", False),
        (f"/suites/{SUITE}", True),
        ("/models", False),
        ("/devices/cpu", True),
        ("/series", False),
        ("/trials/trial-4", True),
        ("/compare?a=trial-3&b=trial-4", False),
        ("/compare", False),
        ("/search?q=kws", True),
        ("/nothing", False),
    ],
)
def test_nobody_is_left_out(browser: Browser, served: str, address: str, dark: bool) -> None:
    browser.open(f"{served}{address}", dark=dark, size=PHONE)
    assert browser.faults() == []
    wide = "return document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.driver.execute_script(wide) <= 0


def test_a_link_from_elsewhere_with_the_token_opens_the_pages(
    browser: Browser, folder: Path
) -> None:
    with serving(folder, "--token", "t" * 16) as address:
        browser.open(f"data:text/html,<a href='{address}'>the farm</a>")
        element(browser, "a").click()
        WebDriverWait(browser.driver, 10).until(
            lambda driver: driver.current_url == address.split("?")[0]
        )
        assert browser.driver.title == "The store - farm"
        browser.open(f"{address.split('?')[0]}runs/{RUN.name}")
        assert browser.driver.title == f"Run {RUN.name} - farm"
        browser.driver.delete_all_cookies()
        browser.driver.refresh()
        assert "A token is needed" in element(browser, "body").text
