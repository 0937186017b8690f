"""Every command of the documentation is run, page by page, as a new user would.

Each page has a folder, a home and a store of its own. A new page is found by itself; what its
comments can say is in ``tests/tools/documents.py``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typer

import cli
from tests.tools.documents import Page, read_page
from tests.tools.short_farm import shortened

ROOT = Path(cli.__file__).resolve().parent
DOCS = ROOT / "docs"
RUN = [
    ROOT / "README.md",
    *sorted((DOCS / "tutorial").glob("*.md")),
    *sorted((DOCS / "how-to").glob("*.md")),
    *sorted((DOCS / "reference").glob("*.md")),
]
ALL = [*RUN, *sorted((DOCS / "explanation").glob("*.md")), DOCS / "README.md"]
WITH_RAY = {"first-tune.md"}  # elsewhere its start would only take time
TIMEOUT = 900  # seconds, for a page on a machine that does much else

# What the comments of a page can call, beside `export FARM_TEST_TRIALS=2`: see short_farm.py.
PRELUDE = """\
set -e
trap 'echo "failed: $BASH_COMMAND" >&2' ERR

# Not by `farm query`, whose start takes twenty times as long.
answer() {
    python -c 'if True:
        import sqlite3, sys
        print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone(), sep=",")
    ' "$HOME/.local/share/farm/farm.db" "$1"
}

# One of the two trials that ran in most blocks side by side: `raced 1`, `raced 2`. Where a loaded
# machine let the budget end after fewer blocks than a comparison needs, they are measured again.
raced() {
    local pair blocks
    pair=$(met) blocks=${pair##*,}
    if [ "$blocks" -lt 8 ]; then
        farm compare $(echo "$pair" | cut -d , -f 1,2 --output-delimiter ' ') --measure >&2
        pair=$(met)
    fi
    echo "$pair" | cut -d , -f "$1"
}

met() {
    answer "SELECT a.trial_id, b.trial_id, count(*) FROM block_sample a JOIN block_sample b
            ON a.block_id = b.block_id AND a.trial_id < b.trial_id
            JOIN block k ON k.id = a.block_id
            WHERE k.kept = 1 GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT 1"
}

profiled() { answer "SELECT trial_id FROM operator_profile LIMIT 1"; }

newest_run() { answer "SELECT name FROM run ORDER BY created_at DESC LIMIT 1"; }

# A run of which something is in the store.
quick_bench() { farm bench model.onnx --device fake; }

# The processor with one engine, for what would take each of its engines some seconds.
one_engine() {
    mkdir -p profiles
    cat > profiles/quick.toml << END
name = "quick"
kind = "cpu"
description = "This machine's processor, with one engine"
engines = ["onnxruntime-cpu"]
END
    echo quick --profiles profiles
}

# A run that was told to end while it was confirming its winner.
interrupted_tune() {
    farm tune model.onnx --data samples.npz 2> progress.txt &
    until grep confirmation progress.txt; do sleep 0.1; jobs %1; done
    kill -TERM $!
    wait $! || [ $? = 130 ]
}
"""


def identify(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def ended(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Path, Future[subprocess.CompletedProcess[str]]]]:
    """How the commands of each page that is asked for end; two pages at a time, for they wait."""
    name = test_the_commands_of_a_page_work.__name__
    wanted = [item for item in request.session.items if getattr(item, "originalname", "") == name]
    paths = [item.callspec.params["path"] for item in wanted]
    with ThreadPoolExecutor(2) as pool:
        yield {path: pool.submit(_run, path, tmp_path_factory.mktemp("page")) for path in paths}


def _run(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    page = read_page(path)
    _settle(folder)
    for block in page.blocks:
        if "file" in block.notes:
            file = folder / block.notes["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text + "\n")
    told = [f"echo '== {path.name}:{b.line}'\n{b.script}\n" for b in page.blocks if b.is_run]
    return subprocess.run(
        ["bash", "-c", "\n".join([PRELUDE, *told])],
        cwd=folder,
        env=_environment(folder, page),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def _settle(folder: Path) -> None:
    """Make a clone of the repository in which the farm is installed, with a model and data.

    The installation is complete for make, so that `make demo` goes on with what comes after it.
    """
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "examples", folder / "examples")
    for name in ("model", "spotting", "images"):
        shutil.copy(ROOT / "examples" / "digits.onnx", folder / f"{name}.onnx")
    shutil.copy(ROOT / "examples" / "digits.npz", folder / "samples.npz")
    _install(folder / ".venv")
    (folder / "home").mkdir()


def _install(folder: Path) -> None:
    """A virtual environment that has what this one has, and the command with short searches."""
    venv.create(folder, symlinks=True)
    packages = Path(
        sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    )
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "bin" / "pip").touch()
    command = folder / "bin" / "farm"
    program = shlex.join([sys.executable, str(ROOT / "tests" / "tools" / "short_farm.py")])
    command.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    command.chmod(0o755)
    (folder / ".runtime").touch()


def _environment(folder: Path, page: Page) -> dict[str, str]:
    """Of a new user, who is not called by make."""
    own = ("XDG_", "FARM_", "MAKE", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {
        **kept,
        "HOME": str(folder / "home"),
        "PATH": f"{folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "FARM_TEST_LOCAL": "" if page.path.name in WITH_RAY else "1",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [p for p in RUN if any(b.is_run for b in read_page(p).blocks)], ids=identify
)
def test_the_commands_of_a_page_work(
    path: Path, ended: Mapping[Path, Future[subprocess.CompletedProcess[str]]]
) -> None:
    done = ended[path].result()
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout


@pytest.mark.parametrize("path", RUN, ids=identify)
def test_every_command_is_run_or_says_why_not(path: Path) -> None:
    assert list(read_page(path).stray_commands) == [], "commands go into a block of language sh"


@pytest.mark.parametrize("path", ALL, ids=identify)
def test_commands_that_are_not_run_exist(path: Path) -> None:
    page = read_page(path)
    whole = [c for block in page.blocks if not block.is_run for c in block.farm_commands]
    assert {c: fault for c in whole if (fault := _fault(c))} == {}
    named = {c: fault for c in page.inline_farm_commands if (fault := _fault(c))}
    assert {c: fault for c, fault in named.items() if not _LEFT_OUT.search(fault)} == {}


_LEFT_OUT = re.compile("MissingParameter|requires an argument")  # as a sentence may


def _fault(text: str) -> str:
    """What the command line has against a command; "" for nothing. Nothing is executed."""
    command, arguments = typer.main.get_command(cli.app), shlex.split(text, comments=True)
    context = None
    try:
        while arguments and not _acts_at_once(command, arguments):
            context = command.make_context(command.name, arguments, parent=context)
            if not hasattr(command, "resolve_command"):
                break
            rest = [*context._protected_args, *context.args]
            if not rest:
                break
            _, command, arguments = command.resolve_command(context, rest)
    except Exception as error:  # noqa: BLE001 (they are of Typer's own Click, without a public name)
        return f"{type(error).__name__}: {error}"
    return ""


def _acts_at_once(command: Any, arguments: list[str]) -> bool:
    """Whether an option is there, --help or --install-completion, that acts when it is read."""
    context = typer.Context(command)
    at_once = {name for p in command.get_params(context) if p.callback for name in p.opts}
    own = arguments[:1] if hasattr(command, "resolve_command") else arguments
    return not at_once.isdisjoint(own)


SHORT = ("--budget", "2s", "--trials", "1")


@pytest.mark.parametrize(
    ("given", "ran"),
    [
        (["tune", "m", "--budget", "5m"], ["tune", "m", "--budget", "5m", *SHORT]),
        (["tune", "--resume", "r"], ["tune", "--resume", "r"]),
        (["package", "m"], ["package", "m"]),
    ],
)
def test_only_searches_are_shortened(
    given: list[str], ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FARM_TEST_LOCAL", "FARM_TEST_TRIALS"):
        monkeypatch.delenv(name, raising=False)
    assert shortened(given) == ran


@pytest.mark.parametrize("page", ["```\nfarm tune m\n```\n", "Text.\n\n    farm tune m\n"])
def test_a_command_in_no_block_for_commands(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(page)
    (found,) = read_page(tmp_path / "page.md").stray_commands
    assert found.endswith(": farm tune m")


@pytest.mark.parametrize(
    "page",
    [
        "<!-- not run: needs root -->\n\n```sh\nsudo x\n```\n",
        "<!-- never run: needs root -->\n```sh\nsudo x\n```\n",
        "<!-- not run -->\n```sh\nsudo x\n```\n",
        "```sh\nsudo x\n",
    ],
)
def test_comments_that_would_go_unheard(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(page)
    with pytest.raises(AssertionError, match=r"page\.md"):
        read_page(tmp_path / "page.md")


def test_options_that_act_at_once_do_not_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    for command in ("--install-completion", "--show-completion", "tune --help", "--version"):
        assert _fault(command) == ""
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", ["tune m --nosuch 1", "nosuch", "plan m", "tune m --seed x"])
def test_commands_that_do_not_exist(command: str) -> None:
    assert _fault(command).startswith(("NoSuchOption", "UsageError", "BadParameter"))
