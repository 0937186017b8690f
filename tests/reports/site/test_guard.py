"""Who may look at pages that are served."""

from __future__ import annotations

import re

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from reports.site.guard import COOKIE, Guard, is_loopback

TOKEN = "0123456789abcdef0123456789abcdef"


def client(host: str, token: str = "", base: str = "http://127.0.0.1:8610") -> TestClient:
    guard = Guard(PlainTextResponse("inside"), host, token)
    return TestClient(guard, base_url=base, follow_redirects=False)


@pytest.fixture
def known() -> TestClient:
    """A client of a server that other machines reach."""
    return client("0.0.0.0", TOKEN, "http://bench-1:8610")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "bench-1", "127.0.0.1.example"])
def test_addresses_that_others_reach(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1:8610", "localhost:8610", "localhost", "[::1]:8610"])
def test_this_machines_names_are_answered(host: str) -> None:
    assert client("127.0.0.1").get("/", headers={"host": host}).text == "inside"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8610", "127.0.0.1.evil.example", "", "localhost.evil"]
)
def test_a_name_that_somebody_lets_point_here_is_not(host: str) -> None:
    answer = client("127.0.0.1").get("/", headers={"host": host})
    assert (answer.status_code, "inside" in answer.text) == (421, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(method: str) -> None:
    assert client("127.0.0.1").request(method, "/").status_code == 405


def test_every_answer_says_what_a_page_may_do(known: TestClient) -> None:
    for answer in (known.get("/"), client("127.0.0.1").get("/")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%00%ff"])
def test_without_the_token_nothing_is_shown(known: TestClient, query: str) -> None:
    answer = known.get(f"/runs{query}")
    assert (answer.status_code, "inside" in answer.text) == (401, False)


def test_the_token_is_kept_in_a_cookie_and_leaves_the_address(known: TestClient) -> None:
    answer = known.get(f"/runs?page=2&token={TOKEN}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/runs?page=2"
    cookie = answer.headers["set-cookie"]
    assert re.match(rf"{COOKIE}-[0-9a-f]{{8}}={TOKEN};", cookie)
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert known.get("/runs?page=2").text == "inside"


def test_no_address_leads_elsewhere(known: TestClient) -> None:
    answer = known.get(f"http://bench-1:8610//evil.example/x?token={TOKEN}")
    assert answer.headers["location"] == "/evil.example/x"


def test_programs_send_the_token_in_a_header(known: TestClient) -> None:
    assert known.get("/", headers={"authorization": f"Bearer {TOKEN}"}).text == "inside"
    assert known.get("/", headers={"authorization": f"Bearer {TOKEN}x"}).status_code == 401


def test_a_token_is_asked_for_on_this_machine_too_where_there_is_one() -> None:
    opened = client("127.0.0.1", TOKEN)
    assert opened.get("/").status_code == 401
    assert opened.get(f"/?token={TOKEN}").status_code == 303
    assert opened.get("/").text == "inside"


def test_a_proxy_may_call_it_by_another_name_where_a_token_is_asked_for() -> None:
    opened = client("127.0.0.1", TOKEN)
    named = {"host": "farm.example"}
    assert opened.get("/", headers=named).status_code == 401
    answer = opened.get("/", headers={**named, "authorization": f"Bearer {TOKEN}"})
    assert answer.text == "inside"


def test_two_servers_of_one_machine_keep_their_tokens_apart() -> None:
    other = "f" * 32
    opened = TestClient(Guard(PlainTextResponse("inside"), "0.0.0.0", TOKEN), "http://bench-1:1")
    opened.get(f"/?token={TOKEN}")
    beside = TestClient(
        Guard(PlainTextResponse("other"), "0.0.0.0", other),
        "http://bench-1:2",
        cookies=opened.cookies,
    )
    beside.get(f"/?token={other}")
    opened.cookies.update(beside.cookies)
    assert opened.get("/").text == "inside"
    assert beside.get("/").text == "other"
