"""Running the ``farm`` command in a test: in this process, or as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import cli

ROOT = Path(cli.__file__).resolve().parent


@dataclass(frozen=True)
class Ended:
    """How the command ended."""

    code: int
    out: str
    err: str


class Command:
    """The ``farm`` command with a folder, store and cache of its own; it is the current folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    @property
    def store(self) -> Path:
        return self.folder / "farm.db"

    def __call__(self, *arguments: object) -> Ended:
        """Run in this process, which is quick."""
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["farm", *map(str, arguments)])
            patch.chdir(self.folder)
            for name, value in environment(self.folder).items():
                patch.setenv(name, value)
            try:
                cli.main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            else:
                code = 0
        captured = self._capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    def refused(self, *arguments: object) -> str:
        """Run what must be refused; the one sentence that it says."""
        ended = self(*arguments)
        assert ended.code == 2, ended
        assert ended.out == ""
        assert ended.err.startswith("farm: ")
        assert ended.err.count("\n") == 1, "one line"
        return ended.err.removeprefix("farm: ").strip()

    def refused_after_start(self, *arguments: object) -> str:
        """Run what ends with one sentence while it works; that sentence, the last line."""
        ended = self(*arguments)
        assert ended.code == 2, ended
        assert ended.out == ""
        assert "Traceback" not in ended.err
        return ended.err.splitlines()[-1].removeprefix("farm: ")


def start(folder: Path, *arguments: object, **more: str) -> subprocess.Popen[str]:
    """Start a process of its own, in a new process group, as a shell does."""
    return start_program(folder, sys.executable, ROOT / "cli.py", *arguments, **more)


def start_few_blocks(folder: Path, *arguments: object, **more: str) -> subprocess.Popen[str]:
    """The same, and it measures as few blocks as can be judged."""
    program = ROOT / "tests" / "tools" / "few_blocks.py"
    return start_program(folder, sys.executable, program, *arguments, **more)


def start_program(folder: Path, *command: object, **more: str) -> subprocess.Popen[str]:
    """The same for another program, which may start ``farm``."""
    return subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **environment(folder), **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it puts into the background deaf to Ctrl-C, and that is inherited.
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 (it only sets a signal)
    )


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment(folder: Path) -> Mapping[str, str]:
    return {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_DATA_HOME": str(folder / "data"),
        "FARM_STORE": str(folder / "farm.db"),
    }
