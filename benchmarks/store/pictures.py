"""Takes the pictures of reports and served pages that the documentation shows.

    python -m benchmarks.store.pictures --store farm.db --run digits-20261129-213642

--run is a tuned run of that store, shown in the light, on a phone and as it is served; the
history in the dark is of a made-up suite (``inputs/made_suite.py``). They are written into
``docs/pictures``. Needs chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from benchmarks.common import ROOT
from benchmarks.inputs.made_suite import SUITE, make_suite

FOLDER = ROOT / "docs" / "pictures"
DESKTOP, PHONE = (1100, 1560), (390, 1200)
_DRAWN = """
return [...document.querySelectorAll('.chart')]
    .filter((each) => each.getBoundingClientRect().top < innerHeight)
    .every((each) => each.querySelector('svg.main-svg'))
"""


def main() -> int:
    """Take all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--run", required=True)
    given = parser.parse_args()
    farm = [sys.executable, str(ROOT / "cli.py")]
    with tempfile.TemporaryDirectory(prefix="farm-pictures-") as folder:
        run, suite = Path(folder) / "run.html", Path(folder) / "suite.html"
        made = str(Path(folder) / "suite.db")
        make_suite(made, 60, 100)
        for name, store, file in ((given.run, given.store, run), (SUITE, made, suite)):
            subprocess.run([*farm, "report", name, "--store", store, "-o", file], check=True)
        with Chrome(options=_options(), service=Service(shutil.which("chromedriver"))) as driver:
            take(driver, run.as_uri(), "report-light", DESKTOP)
            take(driver, run.as_uri(), "report-phone", PHONE)
            take(driver, f"{suite.as_uri()}#history", "report-dark", (1100, 760), dark=True)
            serve = [*farm, "serve", "--store", given.store, "--port", "0"]
            with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                take(driver, server.stdout.readline().split()[0], "serve", (1100, 900))
                server.terminate()
    return 0


def take(
    driver: Chrome, address: str, name: str, size: tuple[int, int], *, dark: bool = False
) -> None:
    """One picture, when what can be seen is drawn."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**screen, "mobile": size == PHONE}
    )
    driver.get(address)
    WebDriverWait(driver, 30).until(lambda each: each.execute_script(_DRAWN))
    assert driver.save_screenshot(str(FOLDER / f"{name}.png"))


def _options() -> Options:
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    return options


if __name__ == "__main__":
    sys.exit(main())
