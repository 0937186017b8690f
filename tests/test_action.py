"""The GitHub Action: its script, with a ``farm`` in its path that says what it was asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
(STEP,) = ACTION["runs"]["steps"]
FARM = """#!/bin/sh
echo "$GITHUB_STEP_SUMMARY|$FARM_STORE|$*" >> asked.txt
if [ "$2" = run ]; then exit "$RUN_CODE"; fi
exit "$CHECK_CODE"
"""


def run(folder: Path, run_code: int, check_code: int, **inputs: str) -> tuple[int, list[str], str]:
    """Exit code, what ``farm`` was asked, and the step's outputs."""
    (folder / "farm").write_text(FARM)
    (folder / "farm").chmod(0o755)
    given = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()}
    given |= {"suite": "a suite.toml", **inputs}
    codes = {"RUN_CODE": str(run_code), "CHECK_CODE": str(check_code)}
    names = {"GITHUB_OUTPUT": str(folder / "output.txt"), "GITHUB_STEP_SUMMARY": "summary.md"}
    path = f"{folder}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", STEP["run"]],
        cwd=folder,
        env={**{k.upper(): v for k, v in given.items()}, **codes, **names, "PATH": path},
        check=False,
    )
    asked = (folder / "asked.txt").read_text().splitlines()
    output = folder / "output.txt"
    return ended.returncode, asked, output.read_text() if output.exists() else ""


def test_every_input_comes_as_a_variable() -> None:
    assert STEP["env"] == {n.upper(): f"${{{{ inputs.{n} }}}}" for n in ACTION["inputs"]}
    assert "${{" not in STEP["run"]


@pytest.mark.parametrize(("measured", "judged"), [(0, 0), (1, 1), (3, 3), (1, 0)])
def test_the_code_is_that_of_the_check(tmp_path: Path, measured: int, judged: int) -> None:
    code, asked, output = run(tmp_path, measured, judged)
    assert code == judged
    assert asked == [
        "||nightly run a suite.toml",
        "summary.md||nightly check a suite.toml --junit nightly.xml --markdown nightly.md",
    ]
    assert output == f"code={judged}\n"


def test_what_cannot_be_begun_is_not_judged(tmp_path: Path) -> None:
    code, asked, output = run(tmp_path, 2, 0)
    assert (code, len(asked), output) == (2, 1, "")


def test_a_night_is_judged_without_measuring(tmp_path: Path) -> None:
    code, asked, _ = run(tmp_path, 0, 1, measure="false", store="other.db")
    assert code == 1
    assert asked == [
        "summary.md|other.db|nightly check a suite.toml --junit nightly.xml --markdown nightly.md"
    ]
