"""Pages on a store, as they are served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from db.reader import StoreReader
from db.store import Store
from reports.pages.html import plotly_text
from reports.site.app import site
from tests.db.nights import SUITE, follow, series
from tests.db.samples import MODEL, RUN, fill
from tests.tools.tuned_run import tuned

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b\u202e" + "x" * 10_000


def served(place: str, hostile: str = "") -> TestClient:
    with Store.open(place) as store:
        tuned(store, hostile)
        follow(store, series(hostile or "detector"), [0.0, 0.001])
    pages = site(StoreReader.open(place), "127.0.0.1")
    return TestClient(pages, base_url="http://127.0.0.1")


@pytest.fixture
def client(place: str) -> Iterator[TestClient]:
    with served(place) as opened:
        yield opened


def test_every_page_leads_on(client: TestClient) -> None:
    """All that the first page leads to, and all that these lead to."""
    seen, left = set[str](), ["/"]
    while left:
        address = left.pop()
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code == 200, address
        links = re.findall(r'(?:href|src)="(/[^"]*)"', answer.text)
        left += [link for link in links if link not in seen and link not in left]
    assert {
        "/runs",
        f"/runs/{RUN.name}",
        f"/models/{MODEL.sha256}",
        "/devices/cpu",
        f"/suites/{SUITE}",
        "/compare",
    } <= seen


def test_a_run_has_the_sections_of_its_report(client: TestClient) -> None:
    text = client.get(f"/runs/{RUN.name}").text
    assert "2.50x [2.40, 2.60]" in text
    assert "From the baseline to the winner on cpu" in text
    assert 'href="/trials/trial-4"' in text
    assert "Trials, the newest first" in text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("kws", f"/runs/{RUN.name}"),
        (MODEL.sha256[:8].upper(), f"/models/{MODEL.sha256}"),
        ("trial-3", "/trials/trial-3"),
        ("DYNAMIC int8", "/trials/trial-"),
        ("KWS", f"/runs/{RUN.name}"),
        ("detec", f"/suites/{SUITE}"),
        ("CPU", "/devices/cpu"),
    ],
)
def test_a_search_finds(client: TestClient, text: str, address: str) -> None:
    assert f'href="{address}' in client.get("/search", params={"q": text}).text


@pytest.mark.parametrize("text", ["%", "_", "'; DROP TABLE run; --", "\x00", "é" * 5000, "\\"])
def test_a_search_for_anything_is_a_search(client: TestClient, text: str) -> None:
    answer = client.get("/search", params={"q": text})
    assert answer.status_code == 200
    assert RUN.name not in answer.text


def test_two_trials_are_compared_by_the_blocks_of_both(client: TestClient) -> None:
    text = client.get("/compare", params={"a": "trial-3", "b": "trial-4"}).text
    assert "The second is 2.50 times as fast as the first (95 % interval 2.50 to 2.50)" in text
    assert "farm compare trial-3 trial-4" in text
    assert "Operators: second beside first" in text
    assert "baseline beside winner" not in text


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/runs/nothing", "There is no run"),
        ("/models/00", "There is no model"),
        ("/devices/nothing", "There is no device"),
        ("/suites/nothing", "There is no night of suite"),
        ("/trials/nothing", "There is no trial"),
        ("/compare?a=x&b=y", "There is no trial"),
        ("/nothing", "There is no such page."),
        ("/trials", "There is no such page."),
        ("/trials/", "There is no such page."),
        ("/suites/", "There is no such page."),
    ],
)
def test_what_is_not_there_is_said(client: TestClient, address: str, sentence: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert sentence in answer.text


@pytest.mark.parametrize("address", ["/runs/", "/models/", "/devices/"])
def test_a_list_is_there_with_a_slash_too(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert (answer.status_code, answer.url.path) == (200, address.rstrip("/"))


@pytest.mark.parametrize(
    ("address", "title"), [("/", "Newest winners"), ("/devices/cpu", "Best configuration")]
)
def test_a_winner_leads_to_its_model_run_and_trial(
    client: TestClient, address: str, title: str
) -> None:
    text = client.get(address).text
    rows = text[text.index(title) :].split("</section>")[0]
    for found in (f"/models/{MODEL.sha256}", f"/runs/{RUN.name}", "/trials/trial-"):
        assert f'<a href="{found}' in rows


def test_a_search_says_what_it_leaves_out(tmp_path: Path) -> None:
    from dataclasses import replace

    place = str(tmp_path / "farm.db")
    with Store.open(place) as store:
        tuned(store)
        for number in range(21):
            store.create_run(replace(RUN, name=f"many-{number:02}"))
    with TestClient(site(StoreReader.open(place), "127.0.0.1"), base_url="http://localhost") as at:
        many, int8, none = (
            at.get("/search", params={"q": q}).text for q in ("many-", "int8", "zzz")
        )
    assert "Search: 20 rows, and there is more" in many
    assert "<h2>Runs, the first 20</h2>" in many
    assert "Search: 1 row</h1>" in int8
    assert "<h2>Trials, the newest of each candidate</h2>" in int8
    assert (
        "<p>No run, model, device, suite, case or candidate has &#39;zzz&#39; in its name" in none
    )


@pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 30, "²", "3"])
def test_a_page_of_a_list_may_be_any(client: TestClient, page: str) -> None:
    assert client.get("/runs", params={"page": page}).status_code == 200


def test_a_list_goes_on_from_page_to_page(tmp_path: Path) -> None:
    from dataclasses import replace

    place = str(tmp_path / "farm.db")
    with Store.open(place) as store:
        fill(store)
        for number in range(60):
            store.create_run(replace(RUN, name=f"run-{number:02}"))
    with TestClient(site(StoreReader.open(place), "127.0.0.1"), base_url="http://localhost") as at:
        first, second = at.get("/runs").text, at.get("/runs?page=2").text
    assert "run-00" in first
    assert 'href="?page=2"' in first
    assert "run-59" in second
    assert "run-00" not in second
    assert 'href="?page=1"' in second


def sent(client: TestClient, address: str, accepted: str) -> tuple[Response, int]:
    """An answer, and how many bytes came for it."""
    with client.stream("GET", address, headers={"accept-encoding": accepted}) as answer:
        size = sum(map(len, answer.iter_raw()))
        return answer, size


def test_what_is_large_is_sent_compressed_and_once(tmp_path: Path) -> None:
    with served(str(tmp_path / "farm.db")) as client:
        page = client.get(f"/runs/{RUN.name}").text
        (plotly,) = re.findall(r'src="(/static/plotly\.js\?v=\w+)"', page)
        answer, size = sent(client, plotly, "gzip, br")
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        whole, whole_size = sent(client, plotly, "identity")
        assert "content-encoding" not in whole.headers
        assert whole_size == len(plotly_text().encode()) > 3 * size
        assert client.get(plotly).text == plotly_text()
        _, page_size = sent(client, f"/runs/{RUN.name}", "gzip")
        assert len(page) > 3 * page_size


def test_only_what_was_told_is_kept(tmp_path: Path) -> None:
    """A page is asked for anew each time, and so is a file by the address of another content."""
    with served(str(tmp_path / "farm.db")) as client:
        assert client.get("/runs").headers["cache-control"] == "private, no-cache"
        for address in ("/static/page.js", "/static/page.js?v=0123456789abcdef"):
            assert client.get(address).headers["cache-control"] == "no-cache"
        assert client.get("/static/nothing.js").status_code == 404


def test_hostile_names_are_text_on_every_page(place: str) -> None:
    with served(place, HOSTILE) as client:
        addresses = [
            *("/", "/runs", f"/runs/{RUN.name}", "/models", f"/models/{MODEL.sha256}"),
            *("/devices/cpu", "/series", f"/suites/{SUITE}", "/trials/trial-4"),
            *("/search?q=script", "/compare?a=trial-3&b=trial-4"),
        ]
        for address in addresses:
            text = client.get(address).text
            assert "<img" not in text, address
            assert "alert(1)</script>" not in text, address
            assert "\x1b" not in text, address
            assert "\u202e" not in text, address
        assert "&lt;img src=x onerror=alert(2)&gt;" in client.get("/models").text
        said = client.get("/search", params={"q": HOSTILE}).text
        assert "<img" not in said
