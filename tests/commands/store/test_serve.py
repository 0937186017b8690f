"""``farm serve``: what it refuses, and that it serves until it is asked to end."""

from __future__ import annotations

import re
import signal
import socket
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from db.store import Store
from tests.db.samples import RUN
from tests.tools.command import Command, start
from tests.tools.tuned_run import tuned


@pytest.fixture
def filled(farm: Command) -> Command:
    with Store.open(str(farm.store)) as store:
        tuned(store)
    return farm


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "bench-1"])
def test_others_need_a_token(filled: Command, host: str) -> None:
    said = filled.refused("serve", "--host", host)
    assert said == (
        f"Other machines reach {host}, so that a token is needed: --token $(openssl rand -hex 16)"
    )


@pytest.mark.parametrize("token", ["short", "with spaces and more of them", "ä" * 20])
def test_a_token_that_is_guessed_is_none(filled: Command, token: str) -> None:
    said = filled.refused("serve", "--token", token)
    assert said.startswith("--token is to have 16 letters and digits or more")


def test_a_port_that_is_in_use(filled: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = filled.refused("serve", "--port", port)
    assert said == (
        f"Port {port} of 127.0.0.1 is in use by another program; give another --port, or 0 for "
        "any free one."
    )


def test_an_address_that_is_no_machines(filled: Command) -> None:
    said = filled.refused("serve", "--host", "nowhere.invalid", "--token", "a" * 16)
    assert said.startswith("nowhere.invalid, port 8610 cannot be listened on: ")


def test_without_a_store(farm: Command) -> None:
    assert farm.refused("serve").startswith("There is no store yet at ")


def test_it_serves_until_it_is_asked_to_end(filled: Command) -> None:
    process = start(filled.folder, "serve", "--port", 0, "--token", "t" * 16)
    try:
        assert process.stdout is not None
        address = re.match(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert address is not None
        with pytest.raises(HTTPError, match="401"):
            urlopen(address[0], timeout=20)
        request = Request(address[0], headers={"Authorization": f"Bearer {'t' * 16}"})
        with urlopen(request, timeout=20) as answer:
            assert RUN.name in answer.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert "Traceback" not in said


def test_the_store_is_shown(filled: Command) -> None:
    process = start(filled.folder, "serve", "--port", 0)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        with urlopen(address, timeout=20) as answer:
            assert RUN.name in answer.read().decode()
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_an_address_is_told_that_others_can_open(filled: Command) -> None:
    token = "t" * 16
    process = start(filled.folder, "serve", "--host", "0.0.0.0", "--port", 0, "--token", token)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert re.fullmatch(rf"http://{re.escape(socket.gethostname())}:\d+/\?token={token}", address)
