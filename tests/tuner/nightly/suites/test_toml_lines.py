"""On which line of a TOML text something stands."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.nightly.suites.lines import Lines

TEXT = '''\
# A comment with [[case]] and a = 1.
name = "shop-floor"
metrics = [
  "latency",  # [not.a.table]
  "energy",
]
notes = """
model = "no key"
[[case]]
"""

[[case]]
model = "a.onnx"
shape = { batch = 1, "two words" = 2 }
  [case.more]
  deep.er = 1

[[case]]
model = 'b.onnx'
[case.more]
it = [[1,
       2]]

[environment.next]
packages = ["onnxruntime==1.32.0"]
'''


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ((), 1),
        (("name",), 2),
        (("metrics",), 3),
        (("metrics", 1), 3),
        (("notes",), 7),
        (("case", 0), 12),
        (("case", 0, "model"), 13),
        (("case", 0, "nothing"), 12),
        (("case", 0, "shape", "two words"), 14),
        (("case", 0, "more"), 15),
        (("case", 0, "more", "deep", "er"), 16),
        (("case", 1, "model"), 19),
        (("case", 1, "more", "it", 0, 1), 21),
        (("environment", "next", "packages", 0), 25),
        (("environment", "nothing"), 1),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lines(keys: tuple[str | int, ...], line: int, ending: str) -> None:
    assert Lines(TEXT.replace("\n", ending))[keys] == line


def test_a_list_of_tables_in_one_line() -> None:
    lines = Lines('x = 1\ncase = [{model = "a"}, {model = "b"}]')
    assert lines["case", 1, "model"] == 2


def test_no_text() -> None:
    assert Lines("")["name",] == 1


@given(st.lists(st.sampled_from(["key", "table", "case", "blank", "long"]), max_size=12))
def test_every_key_has_the_line_on_which_it_was_written(kinds: list[str]) -> None:
    written: dict[str, int] = {}
    lines: list[str] = []
    for number, kind in enumerate(kinds):
        name = f"k{number}"
        match kind:
            case "table":
                lines.append(f"[t{number}]")
            case "case":
                lines.append("[[case]]")
            case "blank":
                lines += ["", "# [comment]"]
            case _:
                written[name] = len(lines) + 1
                lines += (
                    [f"{name} = ["] + ["  1,"] * 2 + ["]"] if kind == "long" else [f"{name}=1"]
                )
    text = "\n".join(lines)
    found = Lines(text)
    for keys in places(tomllib.loads(text)):
        if str(keys[-1]).startswith("k"):
            assert found[keys] == written[str(keys[-1])]


def places(value: object, *before: str | int):
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield (*before, key)
        yield from places(inner, *before, key)
