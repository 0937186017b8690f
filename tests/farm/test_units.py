"""Units: read what people write, and write what they read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.errors import OptionError
from farm.units import (
    format_bytes,
    format_joules,
    format_seconds,
    parse_bytes,
    parse_joules,
    parse_seconds,
    rounded_up,
)

quick = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("2m", 120.0),
        ("1h30m", 5400.0),
        ("30d", 2592000.0),
        ("1h 30m 5s", 5405.0),
        ("1.5h", 5400.0),
        ("5ms", 0.005),
        ("51.2us", 51.2e-6),
        ("51.2 µs", 51.2e-6),
        (" 1e-3 s ", 1e-3),
        ("0", 0.0),
    ],
)
def test_times(text, seconds):
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "-5s", "5 parsecs", "5M", "s", "1h-30m", "1..5s"]
)
def test_what_is_not_a_time(text):
    with pytest.raises(OptionError) as caught:
        parse_seconds(text)
    assert str(caught.value) == (
        f"'{text}' is not a time; write for example 90s, 2m, 1h30m, 30d or 5ms."
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4096", 4096),
        ("64KiB", 65536),
        ("1.5GiB", 1610612736),
        ("10MB", 10_000_000),
        ("1 TB", 10**12),
        ("12B", 12),
        ("7.5KiB", 7680),
        ("10.1MB", 10_100_000),
        ("1KiB 3B", 1027),
    ],
)
def test_sizes(text, count):
    assert parse_bytes(text) == count
    assert isinstance(parse_bytes(text), int)


@pytest.mark.parametrize(
    "text", ["", "big", "-1", "5kib", "5 s", "10 000", "1e9999", "1" * 5000, "1e3" * 20 + "!"]
)
def test_what_is_not_a_size(text):
    with pytest.raises(
        OptionError, match=r"is not a size; write for example 4096, 64KiB or 1\.5GiB"
    ):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["7.5", "0.3KiB", "1e-400"])
def test_what_is_not_a_whole_number_of_bytes(text):
    with pytest.raises(OptionError) as caught:
        parse_bytes(text)
    assert str(caught.value).startswith(f"'{text}' is not a whole number of bytes; write for ")


@pytest.mark.parametrize(
    ("parse", "sentence"),
    [
        (parse_bytes, "'1e400' is too large a size; 9223372036854775807 bytes are the most."),
        (parse_seconds, "'1e400' is too long a time; 1000000000 seconds are the most."),
        (parse_joules, "'1e400' is too large an energy; 1e+18 J are the most."),
    ],
)
def test_what_is_too_large(parse, sentence):
    with pytest.raises(OptionError) as caught:
        parse("1e400")
    assert str(caught.value) == sentence


@pytest.mark.parametrize(("text", "joules"), [("0.5", 0.5), ("20mJ", 0.02), ("3uJ", 3e-6)])
def test_energies(text, joules):
    assert parse_joules(text) == pytest.approx(joules)


def test_what_is_not_an_energy():
    with pytest.raises(
        OptionError, match=r"'1kWh' is not an energy; write for example 0\.5J, 20mJ"
    ):
        parse_joules("1kWh")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (format_seconds(0.0000512), "51.2 µs"),
        (format_seconds(12e-9), "12.0 ns"),
        (format_seconds(1e-12), "0.00 ns"),
        (format_seconds(0.152), "152 ms"),
        (format_seconds(1.0), "1.00 s"),
        (format_seconds(3600.0), "3600 s"),
        (format_seconds(-0.002), "-2.00 ms"),
        (format_seconds(0.0), "0 s"),
        (format_joules(0.0012), "1.20 mJ"),
        (format_bytes(16384), "16.0 KiB"),
        (format_bytes(1000), "1000 B"),
        (format_bytes(3 << 30), "3.00 GiB"),
        (format_bytes(2**63 - 1), "8.00 EiB"),
        (format_bytes(-2048), "-2.00 KiB"),
        (format_bytes(0), "0 B"),
    ],
)
def test_what_is_written(text, written):
    assert text == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(9.9999e-6, "10.0 µs"), (0.9999999, "1.00 s"), (99.99e-3, "100 ms"), (999.9e-9, "1.00 µs")],
)
def test_rounding_up_to_the_next_step_keeps_three_digits(value, written):
    assert format_seconds(value) == written


def test_rounding_up_to_the_next_unit_of_size():
    assert format_bytes((1 << 20) - 1) == "1.00 MiB"


@quick
@given(st.floats(1e-9, 900.0))
def test_times_that_are_written_can_be_read(seconds):
    text = format_seconds(seconds).replace("ns", "e-9s").replace(" ", "")
    assert parse_seconds(text) == pytest.approx(seconds, rel=0.006)


@pytest.mark.parametrize(
    ("seconds", "written"), [(0.0, "1s"), (95.2, "96s"), (119.5, "2m"), (200.0, "4m")]
)
def test_times_for_an_option_are_not_below_what_was_meant(seconds, written):
    assert rounded_up(seconds) == written
    assert parse_seconds(written) >= seconds


@quick
@given(st.integers(0, 999), st.integers(0, 5))
def test_sizes_that_are_written_can_be_read(count, power):
    assert parse_bytes(format_bytes(count * 1024**power)) == count * 1024**power
