"""The command in surroundings that it did not choose: streams, names, folders, numbers."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from db.store import Store
from tests.db.samples import fill, trial
from tests.tools.command import ROOT, Command, environment

_FARM = shlex.join([sys.executable, str(ROOT / "cli.py")])


@pytest.fixture
def stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in a folder with a store that has a trial."""
    command = Command(tmp_path, capsys)
    with Store.open(str(command.store)) as store:
        fill(store)
        store.lease_trial(trial())
    return command


def shell(command: Command, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line in which ``farm`` is the command."""
    return subprocess.run(
        ["/bin/bash", "-c", line.replace("farm ", f"{_FARM} ")],
        cwd=command.folder,
        env={**os.environ, **environment(command.folder), **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("farm results >&-", 0),
        ("farm results <&- >&- 2>&-", 0),
        ("farm --help >&-", 0),
        ("farm query 'SELECT 1' --format csv >&-", 0),
        ("farm results --store '' >&- 2>&-", 2),
        ("farm results >/dev/full", 2),
        ("set -o pipefail; farm results --format json | true", None),
    ],
)
def test_streams_that_lead_nowhere(stored: Command, line: str, code: int | None) -> None:
    ended = shell(stored, line)
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    if code is not None:
        assert ended.returncode == code, ended.stderr
    if "full" in line:
        assert ended.stderr == "farm: No space left on device.\n"


def test_a_library_that_prints_does_not_print_into_a_file(stored: Command) -> None:
    """The number of a closed stream is given to what is opened next."""
    source = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); "
        "from commands.shared.surroundings import open_streams; "
        "open_streams(); f = open('mine', 'w'); os.write(1, b'loud'); "
        "assert f.fileno() > 2"
    )
    program = shlex.join([sys.executable, "-c", source, str(ROOT)])
    ended = shell(stored, f"{program} >&- 2>&- <&-")
    assert ended.returncode == 0
    assert (stored.folder / "mine").read_text() == ""


def test_a_terminal_without_the_characters(stored: Command) -> None:
    statement = "SELECT 'µ ± €' AS name"
    ended = shell(stored, f'farm query "{statement}"', PYTHONIOENCODING="ascii")
    assert ended.returncode == 0, ended.stderr
    assert r"\xb5 \xb1 \u20ac" in ended.stdout
    assert ended.stdout.isascii()


@pytest.mark.parametrize("variable", ["FARM_STORE", "XDG_CACHE_HOME"])
def test_a_variable_that_is_no_text(
    stored: Command, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    ended = shell(stored, f"{variable}=$'/tmp/odd\\xff' farm results")
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"farm: {variable}, which is '/tmp/odd\\udcff', is not text")
    assert ended.stderr.count("\n") == 1


def test_a_current_folder_that_is_no_text(stored: Command) -> None:
    ended = shell(stored, "mkdir $'odd\\xff'; cd $'odd\\xff'; farm results")
    assert ended.returncode == 2
    assert "odd\\udcff', is not text in UTF-8, so that no record can name it" in ended.stderr


def test_a_current_folder_that_is_gone(stored: Command) -> None:
    ended = shell(stored, "mkdir gone; cd gone; rmdir ../gone; farm results")
    told = "farm: The current folder does not exist any more; change to another one.\n"
    assert (ended.returncode, ended.stderr) == (2, told)


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_store(stored: Command, value: str) -> None:
    told = "--store is empty. Give the path of a file, or leave it out."
    assert stored.refused("results", "--store", value) == told


@pytest.mark.parametrize("text", ["~nosuchuser/x", "sqlite:///~nosuchuser/x"])
def test_a_store_in_the_home_of_nobody(stored: Command, text: str) -> None:
    assert "no home folder of that name" in stored.refused("results", "--store", text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("results", "--limit", 10**20),
        ("results", "--limit", "9" * 5000),
        ("results", "--format", "\x1b[31mx\u202e"),
        ("tune", "--non\x1b[31msense\u202e"),
        ("non\x1b[31m\tsense\u202e",),
    ],
)
def test_wrong_usage_is_told_in_characters_that_can_be_seen(
    stored: Command, arguments: tuple[object, ...]
) -> None:
    ended = stored(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err
    assert all(line.isprintable() for line in ended.err.splitlines())


def test_a_profile_with_more_memory_than_can_be_counted(stored: Command) -> None:
    (stored.folder / "odd.toml").write_text(
        'name = "x"\nkind = "cpu"\ndescription = ""\nengines = ["fake"]\n'
        "memory_bytes = 99999999999999999999\n"
    )
    told = stored.refused("devices", "--profiles", stored.folder)
    assert told.startswith(f"Device profile {stored.folder}/odd.toml: at memory_bytes: ")
