"""What libraries write to standard output behind Python's back."""

from __future__ import annotations

import os
import sys

import pytest

from farm.host.silence import silenced


def test_what_others_write_vanishes_and_pythons_own_stays(
    capfd: pytest.CaptureFixture[str],
) -> None:
    sys.stdout.write("before\n")
    with silenced():
        os.write(1, b"told by a library\n")
    sys.stdout.write("after\n")
    assert capfd.readouterr().out == "before\nafter\n"


def test_it_is_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), silenced():
        raise ZeroDivisionError
    os.write(1, b"heard\n")
    assert capfd.readouterr().out == "heard\n"
