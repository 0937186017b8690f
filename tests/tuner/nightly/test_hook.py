"""Commands that are told of a regression."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

from tuner.nightly.hook import tell

VERDICT = json.dumps({"verdict": "regression", "padding": "x" * 100_000})


def test_the_verdict_is_its_standard_input(tmp_path: Path) -> None:
    file = shlex.quote(str(tmp_path / "told.json"))
    assert tell(f"cat > {file} && test -s {file}", VERDICT) == ""
    assert json.loads((tmp_path / "told.json").read_text())["verdict"] == "regression"


def test_a_command_that_does_not_read() -> None:
    assert tell("true", VERDICT) == ""


def test_a_command_that_fails() -> None:
    assert tell("exit 3", VERDICT) == "--on-regression 'exit 3' ended with exit code 3."
    assert "ended with exit code 127" in tell("/nowhere/command", VERDICT)


def test_a_command_that_does_not_end(tmp_path: Path) -> None:
    file = tmp_path / "child"
    command = f"sleep 60 & echo $! > {shlex.quote(str(file))}; wait"
    begun = time.monotonic()
    assert tell(command, VERDICT, 0.5) == f"--on-regression '{command}' was ended after 500 ms."
    assert time.monotonic() - begun < 30
    assert not _lives(int(file.read_text())), "what it started is ended, too"


def _lives(process: int) -> bool:
    for _ in range(100):
        try:
            if Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] == "Z":
                return False
            os.kill(process, 0)
        except (ProcessLookupError, FileNotFoundError):
            return False
        time.sleep(0.05)
    return True


def test_what_it_prints_is_no_result(capfd) -> None:
    assert tell("echo seen", "{}") == ""
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "seen\n")
