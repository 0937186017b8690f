"""What tests look for on a page."""

from __future__ import annotations

from collections.abc import Iterator

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.conftest import Browser


def element(browser: Browser, selector: str) -> WebElement:
    return browser.driver.find_element(By.CSS_SELECTOR, selector)


def elements(browser: Browser, selector: str) -> list[WebElement]:
    return browser.driver.find_elements(By.CSS_SELECTOR, selector)


def scrolled(browser: Browser) -> Iterator[WebElement]:
    """Each drawing when it is in sight and drawn."""
    for chart in elements(browser, ".chart"):
        browser.driver.execute_script("arguments[0].scrollIntoView()", chart)
        WebDriverWait(browser.driver, 20).until(
            lambda _, of=chart: of.find_elements(By.CSS_SELECTOR, "svg.main-svg")
        )
        yield chart
