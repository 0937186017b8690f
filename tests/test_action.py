"""The GitHub Action: its script, with a ``farm`` in its path that says what it was asked."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
(STEP,) = ACTION["runs"]["steps"]
FARM = """#!/bin/bash
printf '%s|%s' "$GITHUB_STEP_SUMMARY" "$FARM_STORE" >> asked.txt
printf '|%s' "$@" >> asked.txt
echo >> asked.txt
echo "::error::a name"
if [ "$2" = run ]; then code=$RUN_CODE; else code=$CHECK_CODE; fi
if [ "${code#-}" != "$code" ]; then kill "$code" $PPID; exit 0; fi
exit "$code"
"""
CHECK = "nightly|check|--junit=nightly.xml|--markdown=nightly.md|--|a suite.toml"


@dataclass(frozen=True)
class Ended:
    """How the step ended. asked: of ``farm``. output: the step's. said: standard output."""

    code: int
    asked: tuple[str, ...]
    output: str
    said: tuple[str, ...]


def run(folder: Path, run_code: object, check_code: object = 0, **inputs: str) -> Ended:
    """The step as a runner executes it."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "farm").write_text(FARM)
    (folder / "bin" / "farm").chmod(0o755)
    return step(folder, f"{folder / 'bin'}:{os.environ['PATH']}", run_code, check_code, **inputs)


def step(
    folder: Path, path: str, run_code: object, check_code: object = 0, **inputs: str
) -> Ended:
    given = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()}
    given |= {"suite": "a suite.toml", **inputs}
    codes = {"RUN_CODE": str(run_code), "CHECK_CODE": str(check_code)}
    names = {"GITHUB_OUTPUT": str(folder / "output.txt"), "GITHUB_STEP_SUMMARY": "summary.md"}
    ended = subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", STEP["run"]],
        cwd=folder,
        env={**{k.upper(): v for k, v in given.items()}, **codes, **names, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    asked, output = folder / "asked.txt", folder / "output.txt"
    return Ended(
        ended.returncode,
        tuple(asked.read_text().splitlines()) if asked.exists() else (),
        output.read_text() if output.exists() else "",
        tuple(ended.stdout.splitlines()),
    )


def test_every_input_comes_as_a_variable() -> None:
    assert STEP["env"] == {n.upper(): f"${{{{ inputs.{n} }}}}" for n in ACTION["inputs"]}
    assert "${{" not in STEP["run"]


@pytest.mark.parametrize(("measured", "judged"), [(0, 0), (1, 1), (3, 3), (1, 0), (0, 2)])
def test_the_code_is_that_of_the_check(tmp_path: Path, measured: int, judged: int) -> None:
    ended = run(tmp_path, measured, judged)
    assert ended.code == judged
    assert ended.asked == ("||nightly|run|--|a suite.toml", f"summary.md||{CHECK}")
    assert ended.output == f"code={judged}\n"


@pytest.mark.parametrize("code", [2, 130, 137])
def test_what_cannot_be_begun_or_is_ended_is_not_judged(tmp_path: Path, code: int) -> None:
    ended = run(tmp_path, code)
    assert (ended.code, len(ended.asked), ended.output) == (code, 1, f"code={code}\n")


@pytest.mark.parametrize(("signal", "code"), [("-TERM", 143), ("-INT", 130)])
def test_a_step_that_is_ended_is_not_fine(tmp_path: Path, signal: str, code: int) -> None:
    ended = run(tmp_path, signal)
    assert (ended.code, len(ended.asked), ended.output) == (code, 1, f"code={code}\n")


def test_a_runner_without_a_farm(tmp_path: Path) -> None:
    ended = step(tmp_path, str(tmp_path), 0)
    assert (ended.code, ended.output) == (2, "code=2\n")
    assert ended.said == ("::error::farm is not installed on this runner",)


def test_a_night_is_judged_without_measuring(tmp_path: Path) -> None:
    ended = run(tmp_path, 0, 1, measure="false", store="other.db")
    assert (ended.code, ended.asked) == (1, (f"summary.md|other.db|{CHECK}",))


@pytest.mark.parametrize("text", ["", "yes", "True", "false; true"])
def test_nothing_is_guessed_of_what_measure_may_mean(tmp_path: Path, text: str) -> None:
    ended = run(tmp_path, 0, measure=text)
    assert (ended.code, ended.asked, ended.output) == (2, (), "code=2\n")
    assert ended.said == ("::error::measure is true or false",)


@pytest.mark.parametrize("text", ["--help", "$(touch x)", "a'b\"c", "`touch x`", "; touch x", "*"])
def test_an_input_is_a_name_whatever_is_in_it(tmp_path: Path, text: str) -> None:
    ended = run(tmp_path, 0, suite=text, store=text, junit=text, markdown=text)
    assert ended.asked == (
        f"|{text}|nightly|run|--|{text}",
        f"summary.md|{text}|nightly|check|--junit={text}|--markdown={text}|--|{text}",
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["asked.txt", "bin", "output.txt"]


def test_a_report_that_is_not_wanted_is_not_written(tmp_path: Path) -> None:
    ended = run(tmp_path, 0, junit="", markdown="")
    assert ended.asked[1] == "summary.md||nightly|check|--|a suite.toml"


def test_reports_of_another_job_do_not_stay(tmp_path: Path) -> None:
    (tmp_path / "nightly.md").write_text("of yesterday")
    (tmp_path / "nightly.xml").mkdir()
    assert run(tmp_path, 2).code == 2
    assert not (tmp_path / "nightly.md").exists()
    assert (tmp_path / "nightly.xml").is_dir(), "farm says what is wrong with it"


def test_what_is_printed_commands_nothing(tmp_path: Path) -> None:
    first, *printed, last = run(tmp_path, 0).said
    assert printed == ["::error::a name"] * 2
    stop = re.fullmatch(r"::stop-commands::(farm-\d+)", first)
    assert stop is not None
    assert last == f"::{stop[1]}::"
