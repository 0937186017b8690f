"""What is looked at before a head is joined, and what is said when Ray does not start."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from farm.errors import DeviceError, InfrastructureError, OptionError
from workers.cluster import head, lifecycle
from workers.cluster.head import Head, Versions, check_token, look, make_token, parse_head
from workers.cluster.patience import Deadline, patiently

HEAD = Head("10.0.0.5", 6379, Path("token"))


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("10.0.0.5", "10.0.0.5", 6379), (" bench-1.local:7000 ", "bench-1.local", 7000)],
)
def test_addresses(address, host, port):
    assert parse_head(address, HEAD.token) == Head(host, port, HEAD.token)


@pytest.mark.parametrize("address", ["", "ray://a:1", "a:0", "a:65536", "a:b", "a b", "a:"])
def test_what_is_no_address_is_said(address):
    with pytest.raises(OptionError, match="is not the address of a head; give HOST or HOST:PORT"):
        parse_head(address, HEAD.token)


@pytest.mark.parametrize(
    "address",
    [
        "::1",
        "[::1]",
        "[2001:db8::5]:7000",
        "fe80::1%eth0",
        "[fe80::1%eth0]:7000",
        " ::ffff:10.0.0.5 ",
    ],
)
def test_ipv6_is_refused_in_a_sentence_of_its_own(address):
    with pytest.raises(OptionError) as caught:
        parse_head(address, HEAD.token)
    assert str(caught.value) == (
        f"'{address}' is an IPv6 address, and the machines of a cluster meet over IPv4; give the "
        "head's IPv4 address, or a name that has one."
    )


def test_a_token_is_made_once_and_for_this_user_alone(tmp_path):
    file = tmp_path / "deep" / "token"
    assert make_token(file)
    text = file.read_text()
    assert len(text.strip()) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert not make_token(file)
    assert file.read_text() == text
    check_token(file)


def test_tokens_that_cannot_be_used_are_said(tmp_path):
    file = tmp_path / "token"
    with pytest.raises(OptionError, match="There is no token file"):
        check_token(file)
    file.touch(mode=0o600)
    with pytest.raises(OptionError, match="is empty: copy the one"):
        check_token(file)
    file.chmod(0o640)
    with pytest.raises(OptionError, match=r"Others can read the token file .*: run `chmod 600"):
        check_token(file)


def test_other_versions_are_told_with_what_to_install(monkeypatch):
    ours = Versions.here()
    theirs = replace(ours, farm="9.9.9", ray="1.0.0")
    board = SimpleNamespace(versions=lambda: theirs)
    monkeypatch.setattr(head, "open_board", lambda _: board)
    with pytest.raises(DeviceError) as caught:
        look(HEAD)
    assert str(caught.value) == (
        f"The head at 10.0.0.5:6379 has the farm 9.9.9 (here: {ours.farm}) and Ray 1.0.0 (here: "
        f"{ours.ray}); install the same here."
    )


def test_of_python_the_minor_version_counts(monkeypatch):
    ours = Versions.here()
    minor = ours.python.rpartition(".")[0]
    board = SimpleNamespace(versions=lambda: replace(ours, python=f"{minor}.99"))
    monkeypatch.setattr(head, "open_board", lambda _: board)
    assert look(HEAD) is board
    board.versions = lambda: replace(ours, python="3.1.0")
    with pytest.raises(DeviceError, match=r"has Python 3\.1\.0"):
        look(HEAD)


def test_where_ray_does_not_start_the_way_without_it_is_named(monkeypatch):
    def fail(**_: object) -> None:
        raise RuntimeError("The node died.\nAdvice for programmers.")

    monkeypatch.setattr(lifecycle.ray, "init", fail)
    with pytest.raises(InfrastructureError) as caught:
        lifecycle._init({})
    assert str(caught.value) == (
        "Ray does not start on this machine: The node died. `--local` does without Ray."
    )


def test_a_call_that_does_not_return_is_left():
    never = threading.Event()
    with pytest.raises(TimeoutError):
        patiently(never.wait, Deadline(0.5))
    never.set()
    assert patiently(lambda: 7, Deadline(0.5)) == 7
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 // 0, Deadline(0.5))
