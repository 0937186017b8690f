"""``farm worker``: what is refused before a head is asked."""

from __future__ import annotations

import pytest

from tests.tools.command import Command


@pytest.mark.parametrize("name", ["ge rät", "gerät", "a,b", "a:b", "../a", "-a", "²", "x" * 61])
def test_a_name_is_one_that_a_folder_can_have_everywhere(name, tmp_path, capsys):
    command = Command(tmp_path, capsys)
    told = command.refused("worker", "join", "127.0.0.1:9", "--device", "fake", f"--as={name}")
    assert told.startswith("--as takes up to 60 letters of ASCII, digits,")


@pytest.mark.parametrize("host", ["::1", "[::1]", "fe80::1%eth0", "2001:db8:1:2:3:4:5:6"])
@pytest.mark.parametrize(
    "command",
    [("worker", "join", "--device", "fake"), ("worker", "list"), ("head", "start", "--host")],
    ids=lambda words: " ".join(words[:2]),
)
def test_an_ipv6_address_is_refused_as_it_was_given(command, host, tmp_path, capsys):
    token = ("--token-file", str(tmp_path / "token"))
    told = Command(tmp_path, capsys).refused(*command, host, *token)
    assert told.startswith(f"'{host}' is an IPv6 address, and the machines of a cluster meet over")
    assert not (tmp_path / "token").exists()
