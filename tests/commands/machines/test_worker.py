"""``farm worker``: what is refused before a head is asked."""

from __future__ import annotations

import pytest

from tests.command import Command


@pytest.mark.parametrize("name", ["ge rät", "gerät", "a,b", "a:b", "../a", "-a", "²", "x" * 61])
def test_a_name_is_one_that_a_folder_can_have_everywhere(name, tmp_path, capsys):
    command = Command(tmp_path, capsys)
    told = command.refused("worker", "join", "127.0.0.1:9", "--device", "fake", f"--as={name}")
    assert told.startswith("--as takes up to 60 letters of ASCII, digits,")
