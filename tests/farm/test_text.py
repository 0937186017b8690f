"""Text that is shown has no character that cannot be seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.text import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/layer.0/Conv [brackets] 100 % é 层 🙂", "/layer.0/Conv [brackets] 100 % é 层 🙂"),
        ("", ""),
        ("a\rb", r"a\rb"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b2J", r"\x9b2J"),
        ("\x00\x07\x08\x7f", r"\x00\x07\x08\x7f"),
        ("abc\u202ecba\u2066", r"abc\u202ecba\u2066"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("half\udc80", r"half\udc80"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_stay_lines() -> None:
    assert printable_lines("one\r\ntwo\n") == "one\\r\ntwo\n"


@given(st.text(st.characters(exclude_categories=())))
def test_the_result_can_be_printed_in_one_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert printable(shown) == shown
