"""How long reports take to be written, and pages of a large store to be served.

- A suite of 500 series over 100 nights as one HTML file: seconds from opening the store to the
  text, without starting Python, and bytes. Targets: 2 s and 8 MB.
- ``farm serve`` on a made-up store of 100,000 trials (``inputs/made_store.py``), asked over HTTP
  as a browser does: the first page, its very first time and the median of 20, and searches for
  words that find nothing, models, candidates, runs and trials, the slowest of their medians.
  Target: 300 ms.
- without a target: the other pages.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from sqlalchemy import create_engine

from benchmarks.common import ROOT, Report, Unit, options
from benchmarks.inputs.made_store import Made, in_sqlite, run_of, sha
from benchmarks.inputs.made_suite import SUITE, make_suite
from db.connection.address import parse_address
from db.reader import StoreReader
from db.store import Store
from reports.pages.html import report_html
from reports.pages.of_suite import suite_page

TRIALS, SERIES, NIGHTS = 100_000, 500, 100
TIMES, FEW = 20, 5
SEARCHES = ("nothing-has-this", "model-3", "option 17", "run-99", "00", "case-4")


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    report = Report(__file__, parser.parse_args().json)
    with tempfile.TemporaryDirectory(prefix="farm-page-speed-") as folder:
        written(report, str(Path(folder) / "suite.db"))
        place = str(Path(folder) / "farm.db")
        fill(place)
        with subprocess.Popen(
            [sys.executable, ROOT / "cli.py", "serve", "--store", place, "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                served(report, server)
            finally:
                server.terminate()
    return report.close()


def written(report: Report, place: str) -> None:
    """The report of a suite."""
    make_suite(place, SERIES, NIGHTS)
    seconds = []
    for _ in range(FEW):
        begin = time.perf_counter()
        with StoreReader.open(place) as store:
            text = report_html(suite_page(store, SUITE, NIGHTS), "now")
        seconds.append(time.perf_counter() - begin)
    note = f"median {median(seconds):.2f} s"
    label = f"report of {SERIES} series x {NIGHTS} nights, the slowest of {FEW}"
    report.at_most(label, max(seconds), 2.0, Unit.SECONDS, note)
    report.at_most("its size in MB", len(text.encode()) / 1e6, 8.0, Unit.TIMES)


def fill(place: str) -> None:
    """Make the large store."""
    made = Made(TRIALS)
    Store.open(place).close()
    engine = create_engine(parse_address(place).url)
    with engine.begin() as connection:
        for table, columns, rows in made.tables():
            in_sqlite(connection, table, columns, rows)
    engine.dispose()


def served(report: Report, server: subprocess.Popen[str]) -> None:
    """Ask the pages."""
    assert server.stdout is not None
    found = re.match(r"http://\S+", server.stdout.readline())
    assert found is not None, "the server did not start"
    address = found[0].rstrip("/")
    first = asked(f"{address}/")
    report.at_most("first page, the first time", first, 0.3, Unit.SECONDS)
    again = median(asked(f"{address}/") for _ in range(TIMES))
    report.at_most(f"first page, median of {TIMES}", again, 0.3, Unit.SECONDS)
    searches = {
        text: median(asked(f"{address}/search?q={text.replace(' ', '+')}") for _ in range(TIMES))
        for text in SEARCHES
    }
    slowest = max(searches, key=lambda text: searches[text])
    note = f"'{slowest}'"
    report.at_most("search, slowest median", searches[slowest], 0.3, Unit.SECONDS, note)
    pages = (
        "runs?page=20",
        f"runs/{run_of(700)}",
        f"models/{sha(7)}",
        "devices/cpu",
        "series?page=9",
    )
    for page in (*pages, "suites/suite-1"):
        seconds = median(asked(f"{address}/{page}") for _ in range(FEW))
        report.show(page, seconds, Unit.SECONDS)


def asked(address: str) -> float:
    """Seconds until a page is there whole."""
    begin = time.perf_counter()
    with urlopen(address, timeout=60) as answer:
        assert answer.status == 200
        answer.read()
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
