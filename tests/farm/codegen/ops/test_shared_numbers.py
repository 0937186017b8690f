"""Numbers that kernels and the planning of their scratch memory both know are the same."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from farm.codegen.ops.integer import packing


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("columns.h", "NEAR_WORDS"),
        ("columns.h", "NEAR_TAPS_END"),
        ("columns.h", "NEAR_STRIDE"),
        ("near_vectors.h", "HALVED_ROWS"),
        ("windows.h", "NEAR_BYTES"),
    ],
)
def test_limits_of_near_rows_are_those_of_the_kernels(header: str, name: str) -> None:
    text = (resources.files("farm.codegen") / "kernels" / header).read_text(encoding="utf-8")
    assert re.findall(rf"\b{name} = (\d+)", text) == [str(getattr(packing, name))]


def test_what_decides_has_no_numbers_of_its_own() -> None:
    folder = resources.files("farm.codegen") / "kernels"
    for header, function in (
        ("columns.h", "rows_are_near"),
        ("near_vectors.h", "rows_are_halved"),
        ("windows.h", "windows_are_near"),
    ):
        text = (folder / header).read_text(encoding="utf-8")
        pattern = rf"{function}\(ConvShape shape\) {{\n.*?return (.*?;)\n}}"
        (body,) = re.findall(pattern, text, re.DOTALL)
        limits = set(re.findall(r"[<>]=? (\d+)", body.replace("LANES > 2", "")))
        assert limits == set(), f"{function} compares with a number: {body}"
